"""What the card of a data set says, as plain words and tables: its main facts, and a section for each preparation and study."""

import re
from dataclasses import dataclass, field

from .card_data import Intensities, PreparationFacts
from .card_splits import StudyFacts
from .page_style import in_words
from .table_layout import Cell, Column, Table

NON_COMMERCIAL = (
    "The licence is non-commercial: results may be published, but weights trained on these images may not be used commercially."
)
NAMED = 3  # how many of the cases that were left out are named


@dataclass
class Section:
    """A part of the card; ``intensities`` are drawn as a histogram where there are pictures."""

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    intensities: Intensities | None = None


def main_facts(card) -> dict[str, str]:
    """Return what a reader of the report wants to know first."""
    if card.dimensions == 3:
        kind = "volumes" if card.channels == 1 else f"volumes of {card.channels} channels"
    else:
        kind = "colour images" if card.channels == 3 else "grey images"
    if card.task == "classification":
        kind += f", one class per image: {', '.join(card.classes)}"
    else:
        kind += f", outlined in each: {', '.join(card.classes[1:])}"
    facts = {
        "What": kind,
        "Cases": " and ".join(dict.fromkeys(map(_cases, card.preparations))),
        "Licence": card.licence,
        "Terms": NON_COMMERCIAL if re.search(r"\bNC\b|non-?commercial", card.licence, re.IGNORECASE) else "",
        "To be cited": card.citation,
        "Page": card.page,
        "Raw files": _origin(card),
        "Used by": ", ".join(study.name for study in card.studies),
    }
    return {word: text for word, text in facts.items() if text}


def sections(card) -> list[Section]:
    """Return a section for each preparation and each study, and one on the downloaded files where there are any."""
    found = [_preparation(facts, card.task) for facts in card.preparations]
    found += [_study(facts, card.classes) for facts in card.studies]
    if card.files:
        columns = [Column("File", left=True), Column("Bytes"), Column("SHA-256", left=True), Column("From", left=True)]
        rows = [
            [file["name"], f"{file['size']:,}", file["sha256"], " or ".join(file["urls"]) or "by hand"] for file in card.files
        ]
        found.append(Section("Raw files", tables=[_table("Checked and unpacked", columns, rows)]))
    return found


def _cases(facts: PreparationFacts) -> str:
    groups = "each a group of its own" if facts.groups == facts.cases else f"in {facts.groups:,} groups"
    return f"{facts.cases:,}, {groups}" + (f", {facts.unannotated:,} without annotation" if facts.unannotated else "")


def _origin(card) -> str:
    origin = "checked and unpacked by the workflow" if card.files else "a copy already on this machine"
    layout = f", layout {card.layout}" if card.layout != "." else ""
    return f"{'drawn by this program' if card.phantom else origin}{layout}, {card.found:,} cases found"


def _preparation(facts: PreparationFacts, task: str) -> Section:
    left_out = [f"{case} ({reason})" for case, reason in facts.skipped.items()]
    told = {
        "Options": in_words(facts.options),
        "Cases": _cases(facts),
        "Left out": f"{len(left_out):,}, listed in skipped.csv: {'; '.join(left_out[:NAMED])}" if left_out else "",
        "Spacing": "" if facts.spacing else "unknown",
    }
    tables = [_spread("Size in voxels" if len(facts.sizes) == 3 else "Size in pixels", facts.sizes)]
    tables += [_spread("Spacing in mm", facts.spacing)] if facts.spacing else []
    share = "Share of images" if task == "classification" else "Share of voxels"
    rows = [[kind.name, f"{kind.share:.2%}", f"{kind.cases:,}"] for kind in facts.classes]
    tables.append(_table("Classes", [Column("Class", left=True), Column(share), Column("Cases with it")], rows))
    tables.append(_intensities(facts))
    return Section(f"Preparation {facts.name}", {w: text for w, text in told.items() if text}, tables, facts.intensities)


def _spread(title: str, axes: tuple[tuple[float, float, float], ...]) -> Table:
    names = ("rows", "columns") if len(axes) == 2 else [f"axis {number + 1}" for number in range(len(axes))]
    rows = [[name, *(f"{value:.5g}" for value in axis)] for name, axis in zip(names, axes, strict=True)]
    return _table(title, [Column("Axis", left=True), *map(Column, ("Smallest", "Median", "Largest"))], rows)


def _intensities(facts: PreparationFacts) -> Table:
    summary = facts.intensities.summary
    colours = len(summary) == 3 and len(facts.sizes) == 2
    names = ("red", "green", "blue") if colours else [str(number + 1) for number in range(len(summary))]
    rows = [[name, *(f"{value:.4g}" for value in numbers)] for name, numbers in zip(names, summary, strict=True)]
    columns = [Column("Channel", left=True), *map(Column, ("Mean", "Std", "1 %", "Median", "99 %"))]
    table = _table("Intensities", columns, rows)
    table.notes = [_looked_at(facts.intensities)]
    return table


def _looked_at(facts: Intensities) -> str:
    few = f"{facts.cases:,} of {facts.of:,} cases, evenly spaced" if facts.cases < facts.of else f"all {facts.of:,} cases"
    return f"From {few}; at most {facts.voxels:,} voxels of each."


def _study(facts: StudyFacts, classes: tuple[str, ...]) -> Section:
    several, by_class = facts.folds > 1, facts.subsets[0].classes is not None
    columns = [Column("Subset", left=True), Column("Cases"), Column("Groups")]
    columns += [Column("Cases, all folds"), Column("Groups, all folds")] if several else []
    columns += map(Column, classes if by_class else ())
    rows = []
    for subset in facts.subsets:
        row = [subset.name, f"{subset.cases:,}", f"{subset.groups:,}"]
        row += [_range(subset.cases_range), _range(subset.groups_range)] if several else []
        rows.append([*row, *(f"{count:,}" for count in subset.classes or ())])
    told, source = dict(facts.split), facts.split["source"]
    del told["source"]
    table = _table("Subsets and labels", columns, rows)
    if several:
        table.notes = [f"Numbers of fold {facts.fold}; all folds: from the fewest to the most of {facts.folds} folds."]
    split = f"{source} ({in_words(told)})" if told else source
    return Section(f"{facts.title} ({facts.name})", {"Preparation": facts.preparation, "Split": split}, [table])


def _table(title: str, columns: list[Column], rows: list[list[str]]) -> Table:
    return Table(title, title, columns, [list(map(Cell, row)) for row in rows])


def _range(numbers: tuple[int, int]) -> str:
    low, high = numbers
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
