"""The published figures of ``resources/published/tables.csv``: copied from papers, never mixed with measured ones."""

import csv
from functools import cache
from pathlib import Path

from ..config import ROOT
from ..errors import BadInput, nearest
from ..study import Study

TABLES = ROOT / "resources" / "published" / "tables.csv"


def published_values(study: Study, section: str, arm: str, budget: int | str) -> dict[str, tuple[float, float | None]]:
    """Return metric -> (value, standard deviation or ``None``) as printed in the paper, for one cell row of a section.

    Empty where the section, the arm or the budget is not published. Raises ``BadInput`` for a row name that the published
    table does not have: a typing error must not look like a gap in the paper.
    """
    table = study.document["tables"][section]
    source = study.document.get("published")
    row = table["rows"].get(arm)
    if not source or row is None or "published" not in table:
        return {}
    figures = _figures(TABLES).get((source["paper"], table["published"], source["dataset"]), {})
    if not any(method == row for _, method, _ in figures):
        hint = nearest(row, {method for _, method, _ in figures})
        raise BadInput(f"study {study.name}: tables.{section}.rows.{arm}: '{row}' is not in the published table{hint}")
    labelled = next((names for key, names in source["labelled"].items() if str(key) == str(budget)), [])
    found = {}
    for metric, name in study.document["metrics"].items():
        keys = ((words, row, name) for words in labelled)
        value = next((figures[key] for key in keys if key in figures), None)
        if value is not None:
            # Some papers print fractions where ours are per cent.
            scale = source.get("scale", {}).get(metric, 1)
            found[metric] = tuple(None if number is None else round(number * scale, 6) for number in value)
    return found


@cache
def _figures(path: Path) -> dict:
    """Return (paper, table, data set) -> (labelled, method, metric) -> (value, std or ``None``)."""
    figures = {}
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            for line in csv.DictReader(handle):
                table = figures.setdefault((line["paper"], line["table"], line["dataset"]), {})
                value = float(line["value"]), float(line["std"]) if line["std"] else None
                table[line["labelled"], line["method"], line["metric"]] = value
    except (OSError, KeyError, ValueError) as error:
        raise BadInput(f"damaged published figures {path} ({error}): restore the file from the repository") from error
    return figures
