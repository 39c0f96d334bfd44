"""The comparison tables of a study: what every arm reached, beside the published figures, and how far to trust it.

    rows = collect(study)
    write_csv(study, rows, path); write_markdown(study, rows, path); write_latex(study, rows, path)
    write_all(studies, path)                  # one complete LaTeX document
    print(draw(study))                        # for the terminal

A number comes from valid runs only: a run that is missing, or stale (its hash is not the planned one), gives none and is
counted. Published figures stand beside ours and take no part in means, ranks or tests.
"""

import csv
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from ..errors import BadInput, nearest
from ..files import atomic
from ..metrics import METRICS
from ..statistics import mean_std, paired_test
from ..study import Study
from .latex import document, render
from .outcomes import MISSING, STALE, Outcome, find_outcomes, valid
from .published import published_values
from .table_layout import lay_out, legend, markdown, metric_words, plain, tested_metric


@dataclass(frozen=True)
class Value:
    """A metric of one row in printed units (per cent where the metric is a ``percent`` one, as papers print it).

    ``mean`` is ``None`` without a valid run or where a case has no number, ``std`` with fewer than two runs.
    """

    mean: float | None
    std: float | None
    published: float | None = None
    published_std: float | None = None


@dataclass(frozen=True)
class Row:
    """One arm at one budget in one section, at one checkpoint.

    ``n`` valid of ``expected`` runs, the others ``stale`` or ``missing``; ``p`` against the study's own arm on the study's
    first metric that single cases have (``None`` for the own arm and where nothing can be tested); ``iterations`` with
    warm-up and ``images`` seen, per run; ``empty`` counts masks by what is empty (prediction, reference, both);
    ``engines`` counts runs by the hash of the shared code that made them.
    """

    section: str
    checkpoint: str
    budget: int | str
    arm: str
    label: str
    reinterpretation: bool
    expected: int
    n: int
    stale: int
    missing: int
    values: dict[str, Value]
    p: float | None = None
    iterations: int | None = None
    images: int | None = None
    empty: dict[str, int] = field(default_factory=dict)
    engines: dict[str, int] = field(default_factory=dict)


def collect(study: Study) -> list[Row]:
    """Return the rows of every section, by section, checkpoint (headline first), budget and arm.

    A row's mean and standard deviation are over runs (folds and seeds), a run's value is its mean over test cases and
    classes. Raises ``BadInput`` for a damaged file, an unknown metric or an unknown published row.
    """
    for metric in study.document["metrics"]:
        if metric not in METRICS:
            raise BadInput(f"study {study.name}: metrics: unknown metric '{metric}'{nearest(metric, METRICS)}")
    found: dict[tuple, list[Outcome]] = {}

    def outcomes(checkpoint: str, budget: int | str, arm: str) -> list[Outcome]:
        key = (checkpoint, str(budget), arm)
        if key not in found:
            found[key] = find_outcomes(study, arm, budget, lambda run: run.metrics(checkpoint))
        return found[key]

    return [
        _row(study, section, checkpoint, budget, arm, partial(outcomes, checkpoint, budget))
        for section, table in study.document["tables"].items()
        for checkpoint in study.checkpoints
        for budget in section_budgets(study, table)
        for arm in table["rows"]
        if budget in study.arms[arm].budgets
    ]


def section_budgets(study: Study, table: dict) -> list[int | str]:
    """Return the budgets of a section: its own list, else the study's and then what single arms have besides."""
    if "budgets" in table:
        return list(table["budgets"])
    extra = (budget for arm in table["rows"] for budget in study.arms[arm].budgets)
    return list(dict.fromkeys([*study.document["budgets"], *extra]))


def write_csv(study: Study, rows: list[Row], path: str | Path) -> None:
    """Write one line per row; metrics in printed units at full precision, an empty cell where there is no number."""
    head = ["section", "checkpoint", "budget", "arm", "label", "reinterpretation", "n", "expected", "stale", "missing"]
    metrics = list(study.document["metrics"])
    parts = ("mean", "std", "published", "published_std")
    columns = [*head, *(f"{metric}_{part}" for metric in metrics for part in parts)]
    columns += ["p", "iterations", "images", "empty_predictions", "empty_references", "both_empty"]
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = [getattr(row.values[metric], part) for metric in metrics for part in parts]
            empty = [row.empty.get(kind, 0) for kind in ("prediction", "reference", "both")]
            writer.writerow([*(getattr(row, name) for name in head), *values, row.p, row.iterations, row.images, *empty])


def write_markdown(study: Study, rows: list[Row], path: str | Path) -> None:
    """Write the study's tables as Markdown."""
    with atomic(path) as temporary:
        temporary.write_text(_markdown(study, rows), encoding="utf-8")


def write_latex(study: Study, rows: list[Row], path: str | Path) -> None:
    r"""Write the study's tables as floats for a landscape page; a document that inputs them loads booktabs and xcolor."""
    with atomic(path) as temporary:
        temporary.write_text(render(lay_out(study, rows)), encoding="utf-8")


def write_all(studies: list[Study], path: str | Path) -> None:
    """Write one complete LaTeX document with the tables of all studies (inlined: it compiles wherever it is copied)."""
    contents = [(study.document["title"], lay_out(study, collect(study))) for study in studies]
    with atomic(path) as temporary:
        temporary.write_text(document(contents, metric_words(studies)), encoding="utf-8")


def draw(study: Study) -> str:
    """Return the tables as Markdown for the terminal, whatever is there: missing and stale cells empty and counted."""
    return _markdown(study, collect(study))


def _markdown(study: Study, rows: list[Row]) -> str:
    parts = [f"# {plain(study.document['title'])}", "", *(markdown(table) for table in lay_out(study, rows))]
    return "\n".join([*parts, "## How to read these tables", "", *(f"- {plain(line)}" for line in legend(study)), ""])


def _row(study: Study, section: str, checkpoint: str, budget: int | str, arm: str, outcomes) -> Row:
    """``outcomes(arm)`` gives an arm's outcomes at this checkpoint and budget."""
    found = outcomes(arm)
    states = Counter(outcome.state for outcome in found)
    good = valid(found)
    # Papers have one number per cell; it is shown once, beside the headline.
    printed = published_values(study, section, arm, budget) if checkpoint == study.checkpoints[0] else {}
    metrics = study.document["metrics"]
    return Row(
        section=section,
        checkpoint=checkpoint,
        budget=budget,
        arm=arm,
        label=study.arms[arm].label,
        reinterpretation=study.arms[arm].reinterpretation,
        expected=len(found),
        n=len(good),
        stale=states[STALE],
        missing=states[MISSING],
        values={metric: _value(study, metric, good, printed.get(metric, (None, None))) for metric in metrics},
        p=None
        if arm == study.document["own"]
        else _p_value(valid(outcomes(study.document["own"])), good, tested_metric(study)),
        iterations=_mean([outcome.record["steps"] + outcome.record["warmup_steps"] for outcome in good]),
        images=_mean([outcome.record["images"] for outcome in good]),
        empty=_empty(good),
        engines=dict(Counter(outcome.record["engine"] for outcome in good)),
    )


def _value(study: Study, metric: str, outcomes: list[Outcome], published: tuple[float | None, float | None]) -> Value:
    scale = 100 if METRICS[metric].percent else 1
    mean, std = mean_std([scale * outcome.value(metric) for outcome in outcomes], study.document["std_ddof"])
    return Value(*(number if math.isfinite(number) else None for number in (mean, std)), *published)


def _p_value(own: list[Outcome], other: list[Outcome], metric: str | None) -> float | None:
    """Pair by case, each case averaged over the folds and seeds both arms have: a lucky seed is not a second patient."""
    ours = {(outcome.run.fold, outcome.run.seed): outcome for outcome in own}
    pairs = [(ours[key], outcome) for outcome in other if (key := (outcome.run.fold, outcome.run.seed)) in ours]
    if not pairs or metric is None:
        return None
    cases = [pd.DataFrame({"ours": a.by_case(metric), "other": b.by_case(metric)}) for a, b in pairs]
    means = pd.concat(cases).groupby(level=0).agg(lambda scores: scores.mean(skipna=False))
    return paired_test(means["ours"], means["other"])


def _mean(counts: list[int]) -> int | None:
    return round(sum(counts) / len(counts)) if counts else None


def _empty(outcomes: list[Outcome]) -> dict[str, int]:
    count = Counter(kind for outcome in outcomes for kind in outcome.scores.get("empty", ()) if kind)
    return dict(count)
