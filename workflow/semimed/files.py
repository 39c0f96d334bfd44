"""Files that are there whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from .errors import BadInput

# Read once: the umask belongs to the whole process, so reading it later would race with other threads.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextlib.contextmanager
def atomic(path: str | Path):
    """Yield a temporary path in the folder of ``path``; rename it to ``path`` on success, remove it on failure.

    The content is flushed to the disk before the rename, so after a power cut the file is the old or the new one.
    Raises ``BadInput`` when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = None
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        try:
            yield Path(temporary)
            _flush(temporary)
            os.chmod(temporary, 0o666 & ~_UMASK)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


@contextlib.contextmanager
def whole_folder(path: str | Path, setting: str = "results", replace: bool = True):
    """Yield an empty folder beside ``path``; on success it takes its place, on failure it is removed.

    What stands there is replaced, or with ``replace=False`` left alone: ``BadInput`` then, unless it is an empty folder. A
    killed process leaves a folder with a leading dot, which the next one removes. Also raises ``BadInput`` as ``atomic``.
    """
    path = Path(path)
    fresh, old = (path.with_name(f".{path.name}.{kind}") for kind in ("fresh", "old"))
    with writable(path, setting):
        for folder in (fresh, old):
            shutil.rmtree(folder, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            yield fresh
            os.sync()  # the rename must not reach the disk before the files, and there may be ten thousands of them
            if replace:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path, old)
            elif path.exists() and not (path.is_dir() and not any(path.iterdir())):
                raise BadInput(f"{path} has appeared meanwhile: move it away, or leave it there to be used, and run again")
            os.rename(fresh, path)
        finally:
            for folder in (fresh, old):
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def writable(path: str | Path, setting: str = "results"):
    """Turn a read-only folder or a full disk under ``path`` into one clear line; ``setting`` says where it is."""
    try:
        yield
    except OSError as error:
        elsewhere = f"set `{setting}:` to a folder you can write"
        reasons = {
            errno.ENOSPC: f"the disk is full; free some space or set `{setting}:` to another disk",
            errno.EDQUOT: f"the quota is used up; free some space or set `{setting}:` to another disk",
            errno.EROFS: f"the file system is read-only; {elsewhere}",
            errno.EACCES: f"permission denied; {elsewhere}",
            errno.EPERM: f"permission denied; {elsewhere}",
            errno.ENOTDIR: f"a file stands where a folder is needed; move it away or change `{setting}:`",
        }
        if error.errno not in reasons:
            raise
        raise BadInput(f"cannot write {path}: {reasons[error.errno]}") from error


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def canonical(value) -> str:
    """Return ``value`` as one line of JSON with sorted keys: equal content gives an equal string."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(*parts: str | bytes | memoryview) -> str:
    """Return the SHA-256 of the parts, each framed by its length, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "big"))
        sha.update(data)
    return sha.hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _flush(path: str | Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_folders(results: str | Path) -> None:
    """Raise ``BadInput`` where a file stands in the place of the results folder, of one above it or of one of its own."""
    results = Path(results)
    kinds = ("data", "splits", "warmups", "runs", "tables", "figures", "logs")
    for place in (*reversed(results.parents), results, *(results / kind for kind in kinds)):
        if place.exists() and not place.is_dir():
            raise BadInput(f"cannot write {place}: a file stands where a folder is needed; move it away or change `results:`")
