"""The partial file of a download: what has come so far, of which version of which file, and who may write it.

It stands in ``<path>.part``; ``<path>.part.json`` beside it says of which URL and version it is the beginning. Nothing else is
left by a kill but ``<path>.part.lock``, which only counts while its process lives.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput

CHUNK = 2**20


@dataclass(frozen=True)
class Wanted:
    """The file as the caller states it."""

    path: Path
    size: int | None
    sha256: str | None
    md5: str | None

    def hashes(self):
        """Return new hash objects by name, to be fed with the bytes of the file."""
        known = {"sha256": hashlib.sha256()}
        # Archives state it; it guards against accidents, not against attacks.
        return known | {"md5": hashlib.md5(usedforsecurity=False)} if self.md5 else known

    def fault(self, length, hashes) -> str:
        """Return what is wrong with a file of ``length`` bytes, or nothing."""
        if self.size not in (None, length):
            return f"it has {length} bytes instead of {self.size}"
        for name, value in hashes.items():
            stated = getattr(self, name)
            if stated and value.hexdigest() != stated.lower():
                return f"its {name} is {value.hexdigest()} instead of {stated}"
        return ""

    def found(self, urls) -> str:
        """Return the SHA-256 of the file that is there already; it may be the user's own, so it is never replaced."""
        if not self.path.is_file():
            raise BadInput(f"{self.path} is not a file: move it away, a download belongs there")
        hashes = self.hashes()
        length = feed(hashes, self.path)
        if fault := self.fault(length, hashes):
            then = "then it is downloaded" if urls else "and get it again by hand"
            raise BadInput(f"{self.path} is not the stated file, {fault}: delete it, {then}")
        return hashes["sha256"].hexdigest()


class Partial:
    """The bytes that have come so far, hashed, and the version (``validator``) of the file at ``url`` they belong to."""

    def __init__(self, wanted: Wanted):
        self.wanted = wanted
        self.file, self.note = Path(f"{wanted.path}.part"), Path(f"{wanted.path}.part.json")
        try:
            note = json.loads(self.note.read_text())
            self.url, self.validator, self.total = note["url"], note["validator"], note["total"] and int(note["total"])
            self.hashes = wanted.hashes()
            self.length = feed(self.hashes, self.file)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            self.discard()
        if self.total is not None and (self.length > self.total or wanted.size not in (None, self.total)):
            self.discard()

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.url = self.validator = self.total = None
        self.length, self.hashes = 0, self.wanted.hashes()

    def begin(self, url, validator, total) -> None:
        """Start over. The old bytes go before the new note comes: no note ever stands beside another version's bytes."""
        self.discard()
        self.url, self.validator, self.total = url, validator, total
        # Not by way of a temporary file, which a kill would leave behind: half a note counts as none.
        self.note.write_text(json.dumps({"url": url, "validator": validator, "total": total}))

    def resumable(self, url) -> int:
        """Return from which byte a download from ``url`` can go on, 0 where it has to start over."""
        return self.length if url == self.url and self.validator else 0

    def complete(self, url) -> bool:
        return url == self.url and self.length == self.total

    def add(self, piece, handle) -> None:
        handle.write(piece)
        self.length += len(piece)
        for value in self.hashes.values():
            value.update(piece)

    def publish(self) -> str:
        """Flush the file to the disk, give it its name and return its SHA-256."""
        folder = os.open(self.file.parent, os.O_RDONLY)
        try:
            with self.file.open("rb") as handle:
                os.fsync(handle.fileno())
            os.replace(self.file, self.wanted.path)
            os.fsync(folder)
        finally:
            os.close(folder)
        self.note.unlink(missing_ok=True)
        return self.hashes["sha256"].hexdigest()


def feed(hashes, path) -> int:
    """Feed a file's bytes to ``hashes`` and return how many there are."""
    length = 0
    with open(path, "rb") as handle:
        while piece := handle.read(CHUNK):
            length += len(piece)
            for value in hashes.values():
                value.update(piece)
    return length
