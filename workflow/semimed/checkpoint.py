"""Checkpoints: written whole or not at all, read without trust, the previous one kept.

A checkpoint holds tensors and plain Python values only (``weights_only``) and the hash of what makes the run.
"""

import io
import logging
import os
import pickle
from pathlib import Path

import torch

from .errors import BadInput
from .files import atomic

FORMAT = 1
log = logging.getLogger(__name__)


def save(path: str | Path, content: dict) -> None:
    """Write a checkpoint atomically."""
    # By way of memory: PyTorch's own writer hides the reason of a failed write (a full disk) in a RuntimeError.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: str | Path) -> dict:
    """Return a checkpoint, on the CPU. Raises ``BadInput`` when it is missing, unreadable, damaged, or none of ours."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"no checkpoint {path}: train the run first") from error
    except OSError as error:
        raise BadInput(f"checkpoint {path} cannot be read ({error.strerror}): mend the file system, then run again") from error
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
        raise BadInput(f"checkpoint {path} is damaged: delete it and train the run again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadInput(f"{path} is not a checkpoint of this program (or of another version): delete it and train again")
    return content


class ResumeFile:
    """The resume checkpoint of a run: ``resume.pt`` and, behind it, ``resume.previous.pt``."""

    def __init__(self, folder: str | Path):
        self.current = Path(folder) / "resume.pt"
        self.previous = Path(folder) / "resume.previous.pt"

    def save(self, content: dict) -> None:
        """Write a new checkpoint; the one before it stays as the previous one."""
        fresh = self.current.with_name("resume.new.pt")
        save(fresh, content)
        if self.current.exists():
            os.replace(self.current, self.previous)
        os.replace(fresh, self.current)

    def load(self, identity: str) -> dict | None:
        """Return the newest readable checkpoint of this very run, ``None`` where training starts from step 0.

        A damaged one is passed over for the previous one, and said so; when every one is damaged that is ``BadInput``.
        """
        found = [path for path in (self.current, self.previous) if path.exists()]
        for path in found:
            try:
                content = load(path)
            except BadInput as error:
                log.warning("%s; trying the previous one", error)
                continue
            if content["hash"] != identity:
                log.warning("%s belongs to another configuration, data or code; training starts from step 0", path)
                return None
            return content
        if found:
            raise BadInput(f"every checkpoint in {self.current.parent} is damaged: delete the folder to train from step 0")
        return None
