"""What makes a run: its settings, its method's source, its cases, its split and its warm-up, in one hash.

The hash stands in every checkpoint and in ``run.json``. A checkpoint of another hash is not resumed, and a table cell
is filled only from a run whose hash equals that of the planned run, so an old number never appears under a new value.
"""

from pathlib import Path

from .config import ROOT
from .files import canonical, digest, file_digest
from .study import Run, Study, Warmup

PACKAGE = Path(__file__).parent


def identify(spec: str, method_files, cases: str | Path, split: str | Path, warmup: str | None = None) -> str:
    """Return the hash of a training: its spec (canonical JSON), source files, ``cases.csv``, split and warm-up's hash."""
    sources = [file_digest(path) for path in sorted(map(Path, method_files), key=lambda path: path.name)]
    return digest(spec, *sources, file_digest(cases), file_digest(split), warmup or "")


def planned_hash(study: Study, job: Run | Warmup) -> str | None:
    """Return the hash the run (or warm-up) would have if it were trained now; ``None`` without up-to-date data."""
    files = job.arm.entry.files if isinstance(job, Run) else job.files
    warmup = getattr(job, "warmup", None)
    if study.outdated(job.fold):
        return None
    try:
        before = planned_hash(study, warmup) if warmup else None
        return identify(job.spec, files, f"{study.data}/cases.csv", study.split(job.fold), before)
    except FileNotFoundError:
        return None


def evaluation_hash(run_hash: str, inference: dict) -> str:
    """Return what stands in predictions and scores: which weights made them, and in which way of inference."""
    return digest(run_hash, canonical({key: value for key, value in inference.items() if key != "batch"}))


def relative_sources(files) -> list[str]:
    """Return source files relative to the repository, as they stand as inputs of the workflow's rules."""
    return [str(Path(path).relative_to(ROOT)) for path in files]


def engine_hash() -> str:
    """Return the hash of the shared engine code (all of the library but the methods), recorded in ``run.json``."""
    own = PACKAGE / "methods"
    files = sorted(path for path in PACKAGE.rglob("*.py") if own not in path.parents or path == own / "base.py")
    return digest(*(f"{path.relative_to(PACKAGE)}:{file_digest(path)}" for path in files))
