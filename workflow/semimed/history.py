"""The history of a training: losses, learning rate and step time, one row per log interval, in ``history.csv``."""

import csv
import time
from pathlib import Path

import torch
from torch import Tensor

from .errors import BadInput
from .files import atomic, writable


class History:
    """Means of the terms over each interval. Values stay on the device and come to the CPU once per interval.

    ``sums`` is name -> (sum, count): a diagnostic need not be logged at every step.
    """

    def __init__(self, path: Path, interval: int, step: int = 0, sums: dict | None = None):
        self.path, self.interval = path, interval
        self.sums: dict[str, tuple[Tensor, int]] = dict(sums or {})
        self.steps = 0  # since `started`: those before a resume cost no time of this job
        self.first_bad = None
        self.started = time.monotonic()
        self._cut(step)

    def add(self, step: int, terms: dict[str, Tensor], diagnostics: dict[str, Tensor] | None = None) -> None:
        """Add what the iteration that made ``step`` steps gave; remember the first step with a non-finite loss."""
        self.steps += 1
        for name, value in {**terms, **(diagnostics or {})}.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)
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
        device = self.first_bad.device
        values = torch.stack([total.float().to(device) / count for total, count in self.sums.values()]).cpu()
        row = {"step": step, "lr": rate, "seconds": (time.monotonic() - self.started) / self.steps}
        row |= {name: float(value) for name, value in zip(self.sums, values, strict=True)}
        with writable(self.path):
            columns, rows = self._read()
            if set(row) <= set(columns):
                with self.path.open("a", newline="") as handle:
                    csv.DictWriter(handle, columns).writerow(_printed(row))
            else:
                self._write([*columns, *(name for name in row if name not in columns)], [*rows, _printed(row)])
        self.sums, self.steps, self.started = {}, 0, time.monotonic()
        return row

    def _cut(self, step: int) -> None:
        """Drop rows after ``step``: they were made after the checkpoint that training goes on from."""
        columns, rows = self._read()
        kept = [row for row in rows if None not in row.values() and int(row["step"]) <= step]
        if kept:
            self._write(columns, kept)
        else:
            self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[list[str], list[dict]]:
        if not self.path.exists():
            return [], []
        with self.path.open(newline="") as handle:
            reader = csv.DictReader(handle)
            rows = list(reader)
            return list(reader.fieldnames or []), rows

    def _write(self, columns: list[str], rows: list[dict]) -> None:
        with atomic(self.path) as temporary, temporary.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(rows)


def _printed(row: dict) -> dict:
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}


def loss_of(row: dict[str, float]) -> float:
    """Return the loss to show of a row: the supervised one, or the first there is (a warm-up without labels)."""
    return row.get("supervised", list(row.values())[3])


def stop_at(step: int, stage: str, names: list[str]) -> BadInput:
    """Return the error that stops a run with a non-finite loss."""
    cases = ", ".join(dict.fromkeys(names))
    return BadInput(
        f"the loss was not finite at step {step} of {stage} (cases {cases}): lower recipe.optimiser.lr, set recipe.clip, or "
        "look at these cases; nothing of that step was saved"
    )
