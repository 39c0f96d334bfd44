"""What a long job has finished so far: a line of JSON per item, flushed to the disk, so that a killed job goes on."""

import json
import os
from pathlib import Path


class Journal:
    """A file of finished items. Only lines below the same heading count: another heading starts the file anew.

    ``entries`` is what was found, in the order in which it was written; a line that a kill cut short is dropped, with
    everything behind it.
    """

    def __init__(self, path: str | Path, heading: str):
        self.entries: list = []
        ends = []  # where the heading and each entry end in the file
        path = Path(path)
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
            entry = _parsed(line)
            if entry is None or (not ends and entry != [heading]):
                break
            self.entries += entry if ends else []
            ends.append((ends or [0])[-1] + len(line))
        self.handle = open(path, "r+b" if ends else "wb")  # noqa: SIM115 (open until close)
        if not ends:
            self.add([heading])
        self.ends = ends or [self.handle.tell()]
        self.keep(len(self.entries))

    def keep(self, count: int) -> None:
        """Drop all entries that were found but the first ``count``; before anything is added."""
        del self.entries[count:]
        self.handle.truncate(self.ends[count])
        self.handle.seek(self.ends[count])

    def add(self, entries: list) -> None:
        """Append entries (plain JSON values) and flush them to the disk."""
        self.handle.write(b"".join(json.dumps([entry]).encode() + b"\n" for entry in entries))
        self.handle.flush()
        os.fsync(self.handle.fileno())

    def close(self) -> None:
        self.handle.close()


def _parsed(line: bytes) -> list | None:
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return entry if isinstance(entry, list) and len(entry) == 1 else None
