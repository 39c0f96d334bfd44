"""What the runs of a study left behind, and whether their numbers may be shown."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..errors import BadInput
from ..identity import evaluation_hash, planned_hash
from ..metrics import METRICS
from ..study import Run, Study

VALID, STALE, MISSING = "valid", "stale", "missing"
NEEDED = ("hash", "steps", "warmup_steps", "images", "seconds", "engine")


@dataclass(frozen=True)
class Outcome:
    """One run's result: ``state`` valid, stale or missing; ``record`` its ``run.json`` ({} where missing)."""

    run: Run
    state: str
    record: dict
    path: str

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores in ``path``: case, class, metrics as stored (Dice as a fraction), and further columns.

        Segmentation has a row per case and class; classification one per class without a case, and one per case without a
        class, where the metrics that are means over cases stand.
        """
        return read_scores(self.path)

    def value(self, metric: str) -> float:
        """Return the run's mean of a metric over the rows that name a class; NaN where one of them has no number."""
        return float(column(self.scores, metric, self.path)[self.scores["class"] != ""].mean(skipna=False))

    def by_case(self, metric: str) -> pd.Series:
        """Return the metric per case (index: case id), averaged over classes; NaN where a class has no number."""
        values, cases = column(self.scores, metric, self.path), self.scores["case"]
        return values[cases != ""].groupby(cases).agg(lambda scores: scores.mean(skipna=False))


def find_outcomes(study: Study, arm: str, budget: int | str, path_of: Callable[[Run], str]) -> list[Outcome]:
    """Return the outcome of every planned run of an arm at a budget; ``path_of(run)`` is the CSV file that must be there.

    A run is missing without ``run.json`` or that file, stale when the hash in ``run.json`` is not the planned one.
    Raises ``BadInput`` for a ``run.json`` that cannot be read.
    """
    return [_outcome(study, run, path_of(run)) for run in study.select([arm], budget)]


def valid(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return the outcomes whose numbers may be shown."""
    return [outcome for outcome in outcomes if outcome.state == VALID]


def shortfall(outcomes: Iterable[Outcome]) -> str:
    """Return what is not valid in words, e.g. ``"1 stale, 2 missing"``; empty when all runs are valid."""
    count = Counter(outcome.state for outcome in outcomes)
    return ", ".join(f"{count[state]} {state}" for state in (STALE, MISSING) if count[state])


def read_record(path: str | Path) -> dict | None:
    """Return a ``run.json``, ``None`` where there is none. Raises ``BadInput`` when it is damaged."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"damaged run record {path} ({error}): delete its folder so that the run is made again") from error
    lacking = [key for key in NEEDED if key not in record] if isinstance(record, dict) else ["mapping"]
    if lacking:
        raise BadInput(f"no '{lacking[0]}' in run record {path}: delete its folder so that the run is made again")
    return record


def read_scores(path: str | Path) -> pd.DataFrame:
    """Return a CSV of scores, one row per case and class. Raises ``BadInput`` when it is damaged or empty."""
    numbers = {metric: ["", "nan", "NaN"] for metric in METRICS}
    try:
        frame = pd.read_csv(path, dtype={"case": str, "class": str}, keep_default_na=False, na_values=numbers)
    except (OSError, ValueError) as error:
        raise BadInput(f"damaged scores {path} ({error}): delete the file so that the run is evaluated again") from error
    if not ({"case", "class"} <= set(frame.columns) or {"bin"} <= set(frame.columns)) or frame.empty:
        raise BadInput(f"no scores per case and class in {path}: delete the file so that the run is evaluated again")
    return frame


def column(frame: pd.DataFrame, metric: str, path: str | Path) -> pd.Series:
    """Return one metric's column of scores as numbers. Raises ``BadInput`` where it is missing or holds words."""
    if metric not in frame.columns or not pd.api.types.is_numeric_dtype(frame[metric]):
        raise BadInput(f"no numbers of metric '{metric}' in {path}: delete the file so that the run is evaluated again")
    return frame[metric].astype(float)


def _outcome(study: Study, run: Run, path: str) -> Outcome:
    record = read_record(f"{run.folder}/run.json")
    if record is None or not Path(path).is_file():
        return Outcome(run, MISSING, record or {}, path)
    found = Outcome(run, VALID, record, path)
    expected = evaluation_hash(record["hash"], study.document["inference"])
    fresh = record["hash"] == planned_hash(study, run) and set(found.scores.get("made_by", ())) == {expected}
    return found if fresh else Outcome(run, STALE, record, path)
