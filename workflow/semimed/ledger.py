"""The checksums of files whose source states none: recorded when a file is first got, and checked ever after.

A text file as ``sha256sum`` writes it, so that ``sha256sum -c`` checks it too: 64 digits, two spaces, the name.
"""

import re
from pathlib import Path

from .errors import BadInput
from .files import atomic

LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Ledger:
    """Checksums by name of file; ``path`` is written at every change."""

    def __init__(self, path: str | Path):
        self.path, self.sums = Path(path), {}
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []:
            match = LINE.fullmatch(line)
            if match is None:
                raise BadInput(f"line '{line[:100]}' in {self.path}: a SHA-256, two spaces and a name are expected; delete it")
            self.sums[match[2]] = match[1]

    def record(self, name: str, sha256: str) -> None:
        if self.sums.get(name) == sha256:
            return
        self.sums[name] = sha256
        with atomic(self.path) as temporary:
            temporary.write_text("".join(f"{value}  {key}\n" for key, value in self.sums.items()), encoding="utf-8")
