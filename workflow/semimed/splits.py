"""Who is trained on, who validates, who tests, and whose labels a budget keeps."""

import csv
import logging
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .errors import BadInput, nearest
from .files import atomic
from .random_split import ORDERS, SUBSETS, class_of, draw

COLUMNS = ("case", "group", "subset", "rank")
OPTIONS = {
    "official": {"source", "version", "unit", "file"},
    "random": {"source", "version", "unit", "by", "order", "folds", "seed", *SUBSETS},
}


@dataclass(frozen=True)
class Row:
    """One case of a split; ``rank`` is the order of its unit (case or group) inside the subset, from 0.

    A training case without annotation has none: no budget can keep its label.
    """

    case: str
    group: str
    subset: str
    rank: int | None


def make_split(cases: list, options: dict, fold: int = 0) -> list[Row]:
    """Return the rows of one fold, subset by subset in rank order.

    ``cases`` have ``case``, ``group`` and ``counts`` (voxels or images per class). ``options`` is either
    ``{source: official, file: <csv of case,subset>}``, which keeps the order of the list as rank, or
    ``{source: random, folds, seed, train, validation, test}``, which gives the folds disjoint test sets. The three are
    shares that add up to 1, or numbers that add up to all there is. It draws by group, so that no group is split, unless
    ``by: case`` says otherwise, as some publications do. ``unit`` (case, the default, or group) is what ranks count and
    budgets keep; ``version`` is raised by hand and not read. ``order`` (stratified, balanced or random), for cases of one
    class each, decides the ranks of the training cases (see ``random_split``); the shares then count cases, also by group.
    Cases without annotation (empty ``counts``) only ever train, without a rank; a random split shares out the annotated
    ones, and leaves out of the others those whose group is tested or validates. Raises ``BadInput`` for lists and options
    that contradict themselves or the prepared cases.
    """
    source, unit = options.get("source"), options.get("unit", "case")
    if source not in OPTIONS:
        raise BadInput(f"unknown source '{source}' in the split options{nearest(source, OPTIONS)}")
    for key in options:
        if key not in OPTIONS[source]:
            raise BadInput(f"unknown key '{key}' in the {source} split options{nearest(key, OPTIONS[source])}")
    missing = OPTIONS[source] - set(options) - {"version", "unit", "by", "order"}
    if missing:
        raise BadInput(f"no {', '.join(sorted(missing))} in the {source} split options: add it")
    for key in ("unit", "by"):
        if options.get(key, "case") not in ("case", "group"):
            raise BadInput(f"unknown {key} '{options[key]}' in the split options: give case or group")
    if "order" in options and options["order"] not in ORDERS:
        raise BadInput(f"unknown order '{options['order']}' in the split options{nearest(options['order'], ORDERS)}")
    if "order" in options and unit != "case":
        raise BadInput(f"order {options['order']} with unit {unit} in the split options: give unit case, or remove order")
    if source == "official":
        chosen = _official(cases, options["file"], fold)
    else:
        annotated = [case for case in cases if case.counts]
        if not annotated:
            raise BadInput(f"none of the {len(cases)} prepared cases has an annotation: no method can be tested on them")
        chosen = draw(annotated, options, fold)
        held_out = {case.group for subset in ("validation", "test") for case in chosen[subset]}
        chosen["train"] += [case for case in cases if not case.counts and case.group not in held_out]
    chosen["train"].sort(key=lambda case: not case.counts)
    rows = []
    for subset in SUBSETS:
        ranks: dict[str, int] = {}
        for case in chosen[subset]:
            rank = ranks.setdefault(case.case if unit == "case" else case.group, len(ranks)) if case.counts else None
            rows.append(Row(case.case, case.group, subset, rank))
    return rows


def write_split(path: str | Path, rows: list[Row]) -> None:
    """Write the rows as CSV (case, group, subset, rank), atomically."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((row.case, row.group, row.subset, row.rank) for row in rows)


def read_split(path: str | Path) -> list[Row]:
    """Read what ``write_split`` wrote; raises ``BadInput`` where the file is missing, foreign or damaged."""
    rows = []
    for record in _read(path, COLUMNS, "delete it so that it is written again"):
        bare = record["subset"] == "train" and record["rank"] == ""
        if record["subset"] not in SUBSETS or not (bare or (record["rank"] or "").isdigit()):
            raise BadInput(f"damaged line for case {record['case']} in {path}: delete it so that it is written again")
        rows.append(Row(record["case"], record["group"], record["subset"], None if bare else int(record["rank"])))
    return rows


def labelled(rows: list[Row], budget: int | str) -> list[str]:
    """Return the ids of the training cases that keep their label, in rank order; a smaller budget gives a prefix."""
    train = sorted((row for row in rows if row.subset == "train" and row.rank is not None), key=lambda row: row.rank)
    count = budget_count(budget, len({row.rank for row in train}))
    return [row.case for row in train if row.rank < count]


def budget_count(budget: int | str, units: int) -> int:
    """Return how many of ``units`` training units keep their label.

    A number (``8``) is taken as it is; a share (``"5%"``, or ``"5pct"`` as in paths) is floor(share x units), at least
    1. Raises ``BadInput`` naming the budget and the number of units for anything else.
    """
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)(?:%|pct)", str(budget).strip())
    if match is None:
        raise BadInput(f"budget '{budget}' for {units} training units: give a whole number such as 8 or a share such as 5%")
    # exact arithmetic: a share of 7 % of 100 units must not come out as 6
    count = Fraction(match[1]) if match[1] else Fraction(match[2]) / 100 * units
    if count <= 0 or count > units:
        raise BadInput(f"budget '{budget}' for {units} training units: give 1 to {units}, or a share above 0% and up to 100%")
    return max(1, int(count))


def check_classes(rows: list[Row], budget: int | str, cases, classes) -> None:
    """Raise ``BadInput`` naming a class that has no labelled case at a budget; for classification.

    ``cases`` are the prepared cases (``case`` and ``counts``, images per class), ``classes`` the names of all classes. Without
    an example a class cannot be learnt, and the tables would hide that in a mean over classes.
    """
    kept = set(labelled(rows, budget))
    train = {row.case for row in rows if row.subset == "train"}
    class_in = {case.case: classes[class_of(case)] for case in cases if case.case in train and case.counts}
    for name in classes:
        if name not in class_in.values():
            raise BadInput(f"class {name} with no training case in the split: add images of it, or change the split's seed")
        if not any(class_in.get(case) == name for case in kept):
            raise BadInput(
                f"class {name} with no labelled case at the budget {budget} in the split: raise the budget, or give the split "
                f"order stratified or balanced and a budget of at least {len(classes)} cases"
            )


def check_groups(rows: list[Row]) -> None:
    """Raise ``BadInput`` naming a group that stands in two subsets; for splits by group that were read back."""
    subset_of: dict[str, str] = {}
    for row in rows:
        if subset_of.setdefault(row.group, row.subset) != row.subset:
            raise BadInput(
                f"group {row.group} on both sides ({subset_of[row.group]} and {row.subset}) in the split: "
                "delete the file so that it is written again"
            )


def _official(cases: list, file: str | Path, fold: int) -> dict[str, list]:
    """Return the cases of each subset in the order of the list; prepared cases that no list names are left out."""
    if fold != 0:
        raise BadInput(f"fold {fold} of the official list {file}: it has the one fold 0; set the study's folds to 1")
    prepared = {case.case: case for case in cases}
    subset_of: dict[str, str] = {}
    subset_of_group: dict[str, str] = {}
    chosen: dict[str, list] = {subset: [] for subset in SUBSETS}
    for record in _read(file, ("case", "subset"), "restore it from the repository"):
        name, subset = record["case"], record["subset"]
        if subset not in SUBSETS:
            raise BadInput(f"unknown subset '{subset}' of id {name} in {file}{nearest(subset, SUBSETS)}")
        if name in subset_of:
            both = "twice in" if subset_of[name] == subset else f"in both {subset_of[name]} and {subset} of"
            raise BadInput(f"id {name} stands {both} {file}: remove one of the two lines")
        if name not in prepared:
            raise BadInput(
                f"id {name} of {file} has no prepared case: add it to the raw folder and run acquire and prepare again"
            )
        case = prepared[name]
        if subset_of_group.setdefault(case.group, subset) != subset:
            raise BadInput(f"group {case.group} is split over two subsets in {file}: keep all its cases in one")
        if subset != "train" and not case.counts:
            raise BadInput(f"id {name} has no annotation, but {file} has it in {subset}: put it into train, or remove the line")
        subset_of[name] = subset
        chosen[subset].append(case)
    for subset in ("train", "test"):
        if not chosen[subset]:
            raise BadInput(f"no {subset} case in {file}: add the ids of that subset")
    left_out = len(cases) - len(subset_of)
    if left_out:
        logging.getLogger(__name__).info("%d of %d prepared cases are in no list of %s: left out", left_out, len(cases), file)
    return chosen


def _read(path: str | Path, columns: tuple[str, ...], mend: str) -> list[dict]:
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            found = tuple(reader.fieldnames or ())
            records = list(reader)
    except FileNotFoundError as error:
        raise BadInput(f"no split list {path}: {mend}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"unreadable split list {path} ({error}): {mend}") from error
    if found != columns or not records or any(None in record or None in record.values() for record in records):
        raise BadInput(f"columns {', '.join(found)} or lines cut short in {path}: {', '.join(columns)} are expected; {mend}")
    return records
