"""The history of a training: losses, learning rate and step time, one row per log interval, in ``history.csv``."""

import csv
import time
from pathlib import Path

import torch
from torch import Tensor

from .errors import BadInput
from .files import writable


class History:
    """Means of the terms over each interval. Values stay on the device and come to the CPU once per interval."""

    def __init__(self, path: Path, interval: int, step: int = 0, sums: dict | None = None):
        self.path, self.interval = path, interval
        self.sums: dict[str, Tensor] = dict(sums or {})
        self.count = step % interval
        self.first_bad = None
        self.started = time.monotonic()
        self._cut(step)

    def add(self, step: int, terms: dict[str, Tensor]) -> None:
        """Add the terms of the iteration that made ``step`` steps; remember the first step with a non-finite loss."""
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        bad = ~torch.isfinite(torch.stack([value.float() for value in terms.values()])).all()
        if self.first_bad is None:
            self.first_bad = torch.full((), -1, dtype=torch.long, device=bad.device)
        self.first_bad = torch.where((self.first_bad < 0) & bad, step, self.first_bad)

    def bad_step(self) -> int | None:
        """Return the first step with a non-finite loss, if any; waits for the device."""
        value = -1 if self.first_bad is None else int(self.first_bad)
        return value if value >= 0 else None

    def write(self, step: int, rate: float) -> dict[str, float]:
        """Append the row of a full interval and return it."""
        values = torch.stack([value.float() for value in self.sums.values()]).cpu() / self.count
        row = {"step": step, "lr": rate, "seconds": (time.monotonic() - self.started) / self.count}
        row |= {name: float(value) for name, value in zip(self.sums, values, strict=True)}
        with writable(self.path):
            fresh = not self.path.exists()
            with self.path.open("a", newline="") as handle:
                writer = csv.DictWriter(handle, list(row))
                if fresh:
                    writer.writeheader()
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self.sums, self.count, self.started = {}, 0, time.monotonic()
        return row

    def _cut(self, step: int) -> None:
        """Drop rows after ``step``: they were made after the checkpoint that training goes on from."""
        if not self.path.exists():
            return
        with self.path.open(newline="") as handle:
            rows = list(csv.reader(handle))
        kept = rows[:1] + [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) <= step]
        if len(kept) == 1:
            self.path.unlink()
            return
        with self.path.open("w", newline="") as handle:
            csv.writer(handle).writerows(kept)


def stop_at(step: int, stage: str, names: list[str]) -> BadInput:
    """Return the error that stops a run with a non-finite loss."""
    cases = ", ".join(dict.fromkeys(names))
    return BadInput(
        f"the loss was not finite at step {step} of {stage} (cases {cases}): lower recipe.optimiser.lr, set recipe.clip, or "
        "look at these cases; nothing of that step was saved"
    )
