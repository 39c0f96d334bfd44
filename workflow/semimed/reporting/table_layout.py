"""The layout of a table, decided once: what stands in each cell and how it is marked. Markdown, LaTeX and HTML print it."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby

from ..metrics import METRICS, Metric
from ..study import Study

DAGGER = "†"
CHECKPOINTS = {"last": "last checkpoint", "best": "checkpoint selected on the validation cases"}
EMPTY_MASKS = {
    "prediction": "an empty prediction (Dice 0, distances the diagonal of the case)",
    "reference": "an empty reference with a prediction (scored the same)",
    "both": "both masks empty (Dice 1, distances 0)",
}


@dataclass(frozen=True)
class Cell:
    """Plain text and its mark: ``best`` (bold), ``second`` (underlined), ``published`` (grey italic) or none."""

    text: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Column:
    """``name`` under an optional ``group`` that spans neighbouring columns; ``left`` aligned for words."""

    name: str
    group: str = ""
    left: bool = False


@dataclass
class Table:
    """``groups`` are the row numbers at which another budget begins; ``name`` is unique among a study's tables.

    ``legend`` says how to read the table (the same in all tables of a study), ``notes`` what is special in this one.
    """

    name: str
    title: str
    columns: list[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    legend: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def lay_out(study: Study, rows: list) -> list[Table]:
    """Return one table per section and checkpoint from the rows of ``tables.collect``."""
    tables: list[Table] = []
    for (section, checkpoint), group in groupby(rows, key=lambda row: (row.section, row.checkpoint)):
        group = list(group)
        printed = {metric for row in group for metric, value in row.values.items() if value.published is not None}
        title = f"{study.document['tables'][section]['title']}: {CHECKPOINTS[checkpoint]}"
        table = Table(f"{study.name}-{section}-{checkpoint}", title, _columns(study, printed))
        for _, block in groupby(group, key=lambda row: str(row.budget)):
            block = list(block)
            ranks = {metric: ranked(block, metric) for metric in study.document["metrics"]}
            table.groups.append(len(table.rows))
            table.rows += [_cells(row, ranks, printed, study.document["own"], row is block[0]) for row in block]
        table.legend, table.notes = legend(study), _notes(study, group, bool(printed))
        tables.append(table)
    return tables


def ranked(rows: list, metric: str) -> dict[str, str]:
    """Return arm -> ``best`` or ``second`` on the unrounded means of rows of one budget; equal means share a mark.

    Only arms with a number take part, and there is no best among fewer than two.
    """
    means = {row.arm: row.values[metric].mean for row in rows if row.values[metric].mean is not None}
    order = sorted(set(means.values()), reverse=METRICS[metric].higher_is_better)
    if len(means) < 2:
        return {}
    marks = dict(zip(order, ("best", "second"), strict=False))
    return {arm: marks[mean] for arm, mean in means.items() if mean in marks}


def markdown(table: Table) -> str:
    """Return a table as GitHub Markdown with padded columns, so that it can be read in a terminal too."""
    heads = [column.name if column.name != "ours" else column.group for column in table.columns]
    lines = [[plain(head) for head in heads], *([_marked(cell) for cell in row] for row in table.rows)]
    widths = [max(3, *(len(line[k]) for line in lines)) for k in range(len(heads))]
    rule = [
        ("-" * width if column.left else "-" * (width - 1) + ":") for column, width in zip(table.columns, widths, strict=True)
    ]
    text = [f"## {plain(table.title)}", ""]
    for line in (lines[0], rule, *lines[1:]):
        cells = (c.ljust(w) if column.left else c.rjust(w) for c, w, column in zip(line, widths, table.columns, strict=True))
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join([*text, "", *(f"- {plain(note)}" for note in table.notes), *([""] if table.notes else [])])


def plain(text: str) -> str:
    """Return text as Markdown that prints it: escape what Markdown would read as markup or as a cell's end."""
    for character in "\\|*_`<>[]":
        text = text.replace(character, "\\" + character)
    return text


def metric_head(metric: Metric) -> str:
    """Return a metric's title with an arrow for the better direction."""
    return f"{metric.title} {'↑' if metric.higher_is_better else '↓'}"


def metric_words(studies: list[Study]) -> dict[str, str]:
    """Return what the metrics of some studies mean, by title."""
    names = dict.fromkeys(name for study in studies for name in study.document["metrics"])
    return {METRICS[name].title: METRICS[name].doc for name in names}


def tested_metric(study: Study) -> str | None:
    """Return the metric of the paired test: the study's first one that a single case has a value of."""
    return next((name for name in study.document["metrics"] if METRICS[name].per_case), None)


def p_text(p: float | None) -> str:
    """Return a p-value as printed: three decimals, ``<0.001`` below, empty for none."""
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _columns(study: Study, printed: set[str]) -> list[Column]:
    columns = [Column("Labels"), Column("Method", left=True)]
    for name in study.document["metrics"]:
        head = metric_head(METRICS[name])
        columns += [Column("ours", head), Column("paper", head)] if name in printed else [Column(head)]
    return [*columns, Column("p"), Column("n"), Column("Iterations"), Column("Images seen")]


def _cells(row, ranks: dict, printed: set[str], own: str, first: bool) -> list[Cell]:
    cells = [Cell(str(row.budget) if first else ""), Cell(row.label + (f" {DAGGER}" if row.reinterpretation else ""))]
    for name, value in row.values.items():
        decimals = METRICS[name].decimals
        cells.append(Cell(_number(value.mean, value.std, decimals), ranks[name].get(row.arm, "")))
        if name in printed:
            cells.append(Cell(_number(value.published, value.published_std, decimals), "published"))
    runs = str(row.n) if row.n == row.expected else f"{row.n}/{row.expected}"
    p = "–" if row.arm == own else p_text(row.p)
    return [*cells, Cell(p), Cell(runs), *(Cell("" if n is None else f"{n:,}") for n in (row.iterations, row.images))]


def _number(mean: float | None, std: float | None, decimals: int) -> str:
    if mean is None:
        return ""
    return f"{mean:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}")


def legend(study: Study) -> list[str]:
    """Return the sentences that say how to read every table of a study."""
    own, tested = study.arms[study.document["own"]].label, tested_metric(study)
    over = "test cases and classes" if study.task == "segmentation" else "classes, each over all test cases"
    deviation = "standard deviation" if study.document["std_ddof"] else "standard deviation (divided by n)"
    return [
        f"Mean ± {deviation} over runs (folds and seeds); the value of a run is its mean over {over}. "
        "n: number of runs; one run has no ±. Per number of labels the best mean is bold, the second underlined.",
        f"p: two-sided Wilcoxon signed-rank test against {own} at the same number of labels on {METRICS[tested].title} per "
        "test case, each case averaged over the folds and seeds that both have; not corrected for the number of comparisons."
        if tested
        else "p: no test, because none of the metrics has a value for a single case.",
        "Iterations (with warm-up) and images seen: per run.",
    ]


def _notes(study: Study, rows: list, printed: bool) -> list[str]:
    notes = []
    if printed:
        paper = study.document["published"]["paper"]
        notes.append(f"paper: copied from the publication ({paper}), not measured here; it takes no part in marks and tests.")
    if any(row.reinterpretation for row in rows):
        notes.append(f"{DAGGER} a re-interpretation: the paper leaves this method open, see its file for our reading.")
    return [*notes, *study.document.get("notes", []), *_weights(study, rows), *cautions(rows)]


def _weights(study: Study, rows: list) -> list[str]:
    """Return what networks that could have started from pretrained weights started from."""
    started = {}
    for name in dict.fromkeys(row.arm for row in rows):
        backbone = study.arms[name].settings["backbone"]
        if "weights" in backbone:
            started.setdefault((backbone["name"], backbone["weights"]), []).append(study.arms[name].label)
    notes = []
    for (backbone, weights), labels in started.items():
        words = f"pretrained weights ({weights})" if weights else "random weights: no file of pretrained ones is configured"
        notes.append(f"{backbone} starts from {words} ({', '.join(labels)}).")
    return notes


def cautions(rows: list) -> list[str]:
    """Return what a reader must know about the runs behind some rows: stale, missing, empty masks, unlike engines."""
    return [*_shortfalls(rows), *_empties(rows), *_engines(rows)]


def _shortfalls(rows: list) -> list[str]:
    total = sum(row.expected for row in rows)
    notes = []
    for state, why in (("stale", "made with other settings, code or data than planned now"), ("missing", "not there")):
        found = [(row, getattr(row, state)) for row in rows if getattr(row, state)]
        if found:
            listed = ", ".join(f"{row.label} at {row.budget} ({count})" for row, count in found)
            count = sum(count for _, count in found)
            notes.append(f"{count} of {total} runs {state} ({why}), without a number here: {listed}.")
    return notes


def _empties(rows: list) -> list[str]:
    notes = []
    for kind, words in EMPTY_MASKS.items():
        found = [f"{row.label} at {row.budget} ({row.empty[kind]})" for row in rows if row.empty.get(kind)]
        if found:
            notes.append(f"Cases and classes with {words}, counted in the means: {', '.join(found)}.")
    return notes


def _engines(rows: list) -> list[str]:
    count = sum((Counter(row.engines) for row in rows), Counter())
    if len(count) < 2:
        return []
    listed = ", ".join(f"{engine[:8]} ({runs} runs)" for engine, runs in sorted(count.items()))
    return [f"The runs were made by {len(count)} versions of the shared training code: {listed}."]


def _marked(cell: Cell) -> str:
    text = plain(cell.text)
    marks = {"best": ("**", "**"), "second": ("<u>", "</u>"), "published": ("*", "*")}
    before, after = marks.get(cell.mark, ("", "")) if text else ("", "")
    return before + text + after
