"""What one training job is given."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Job:
    """What one training needs to know. ``spec`` is the run's (or warm-up's) canonical JSON, all paths are as given."""

    spec: str
    folder: Path
    data: Path
    split: Path
    method_files: list[Path]
    name: dict  # study, arm (or warm-up key), for run.json and messages
    stage: str = "train"  # or "warmup"
    warmup: Path | None = None  # folder of the finished warm-up
    kept: list[int] = field(default_factory=list)
    device: str = "auto"
    threads: int = 1
    resume: Path | None = None  # a checkpoint given by hand
    pretrained: Path | None = None  # the configured weights that the backbone starts from
    save_seconds: float = 60.0
