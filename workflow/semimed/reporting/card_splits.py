"""How many cases and groups stand in each subset of a study and keep their label at each budget. For the card of a data set."""

from dataclasses import dataclass

import numpy as np

from ..errors import BadInput
from ..random_split import SUBSETS
from ..splits import Row, labelled, read_split
from ..store import Case
from ..study import Study


@dataclass(frozen=True)
class SubsetFacts:
    """A subset, or the labelled part of the training set: numbers of the first fold, and the range over all folds.

    ``classes`` are the images of each class in classification, ``None`` in segmentation.
    """

    name: str
    cases: int
    groups: int
    cases_range: tuple[int, int]
    groups_range: tuple[int, int]
    classes: tuple[int, ...] | None


@dataclass(frozen=True)
class StudyFacts:
    """How a study uses a data set; ``fold`` is the one in full, ``folds`` how many there are."""

    name: str
    title: str
    preparation: str
    split: dict
    fold: int
    folds: int
    subsets: tuple[SubsetFacts, ...]


def read_folds(study: Study, cases: dict[str, Case]) -> dict[int, list[Row]]:
    """Return the rows of every fold; raises ``BadInput`` for a split that names cases which are not prepared."""
    folds = {fold: read_split(study.split(fold)) for fold in study.folds}
    for fold, rows in folds.items():
        for row in rows:
            if row.case not in cases:
                raise BadInput(f"case {row.case} of {study.split(fold)} is not in {study.data}/cases.csv: delete the split")
    return folds


def describe_study(study: Study, folds: dict[int, list[Row]], cases: dict[str, Case], classes: int) -> StudyFacts:
    """Return the numbers of a study's folds; raises ``BadInput`` for a budget that a fold cannot meet.

    ``cases`` are the prepared ones by id, ``classes`` how many classes the data set has.
    """
    parts = {name: [{row.case for row in rows if row.subset == name} for rows in folds.values()] for name in SUBSETS}
    parts = {name: found for name, found in parts.items() if any(found)}
    try:
        budgets = {f"labelled at {b}": [set(labelled(rows, b)) for rows in folds.values()] for b in budgets_of(study)}
    except BadInput as error:
        raise BadInput(f"study {study.name}: {error}") from error
    parts |= dict(sorted(budgets.items(), key=lambda item: len(item[1][0])))
    split = {key: value for key, value in study.split_options.items() if key not in ("version", "file")}
    subsets = tuple(
        _subset(name, found, cases, classes if study.task == "classification" else 0) for name, found in parts.items()
    )
    return StudyFacts(
        study.name, study.document["title"], study.document["preparation"], split, study.folds[0], len(folds), subsets
    )


def budgets_of(study: Study) -> list[int | str]:
    """Return the budgets of all arms, each once."""
    return list({str(budget): budget for arm in study.arms.values() for budget in arm.budgets}.values())


def _subset(name: str, found: list[set[str]], cases: dict[str, Case], classes: int) -> SubsetFacts:
    counts = [len(one) for one in found]
    groups = [len({cases[case].group for case in one}) for one in found]
    targets = np.array([cases[case].target for case in found[0] if classes and cases[case].counts], int)
    by_class = tuple(np.bincount(targets, minlength=classes).tolist()) if classes else None
    ranges = [(min(numbers), max(numbers)) for numbers in (counts, groups)]
    return SubsetFacts(name, counts[0], groups[0], *ranges, by_class)
