"""The report: one static HTML page with every study's protocol, tables, figures, costs and what to be wary of."""

import json
import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from .. import __version__
from ..files import atomic
from ..store import read_skipped
from ..study import Study
from .card_page import summary_of
from .outcomes import find_outcomes, read_record, valid
from .page_style import bullets, definitions, figure_html, in_words, page, table_html
from .table_layout import Cell, Column, Table, cautions, lay_out, legend, metric_words
from .tables import Row, collect


def write_report(studies: list[Study], figures: dict[str, list[str]], out_html: str | Path, title: str) -> None:
    """Write the page. ``figures``: study name -> PNG files named after their figure (``curves.png``).

    Images are embedded and nothing is loaded from elsewhere; the cards of the data sets are linked to, those that are there.
    Raises ``BadInput`` for a missing figure, a damaged card or damaged results.
    """
    body = [f"<h1>{escape(title)}</h1>", f'<p class="soft">Made by Semimed {escape(__version__)}.</p>']
    cards = _cards(studies, Path(out_html).parent)
    contents = {study.name: study.document["title"] for study in studies} | ({"data-sets": "Data sets"} if cards else {})
    if len(contents) > 1:
        links = (f'<li><a href="#{escape(name)}">{escape(words)}</a></li>' for name, words in contents.items())
        body.append(f"<ul>{''.join(links)}</ul>")
    for study in studies:
        body += _study(study, figures.get(study.name, []))
    body += cards
    body += ["<h2>Metrics</h2>", definitions(metric_words(studies))]
    with atomic(out_html) as temporary:
        temporary.write_text(page(title, body), encoding="utf-8")


def _study(study: Study, figures: list[str]) -> list[str]:
    rows = collect(study)
    body = [f'<h2 id="{escape(study.name)}">{escape(study.document["title"])}</h2>', *_warnings(study, rows)]
    body += ["<h3>Protocol</h3>", definitions(_protocol(study)), _changes(study)]
    body += [table_html(table) for table in lay_out(study, rows)]
    body += ["<h3>How to read these tables</h3>", bullets(legend(study), "notes")]
    for path in figures:
        options = study.document["figures"].get(Path(path).stem, {})
        body.append(figure_html(path, options.get("caption", Path(path).stem)))
    return [*body, table_html(_costs(study))]


def _warnings(study: Study, rows: list[Row]) -> list[str]:
    """Return what to be wary of, each arm and budget once however many sections show it."""
    once = {(row.arm, str(row.budget)): row for row in rows if row.checkpoint == study.checkpoints[0]}
    found = cautions(list(once.values()))
    skipped = read_skipped(study.data)
    if skipped:
        first = next(iter(skipped))
        found.append(
            f"{len(skipped)} pictures could not be used and were left out, the first {first}: {study.data}/skipped.csv."
        )
    return [f'<div class="warn"><strong>Warnings</strong>{bullets(found)}</div>'] if found else []


def _protocol(study: Study) -> dict[str, str]:
    document = study.document
    preparation = study.dataset["preparations"][document["preparation"]]
    split, recipe = dict(document["split"]), dict(document["recipe"])
    warmup = recipe.pop("warmup", None)
    seeds = sorted({run.seed for run in study.runs})
    checkpoint = (
        "last; beside it the one selected on the validation cases" if study.has_validation else "last (no validation set)"
    )
    protocol = {
        **_source(study),
        "Preparation": f"{document['preparation']} ({in_words(preparation)})",
        "Split": f"{split.pop('source')} ({in_words(split)})",
        "Labels": f"{in_words(document['budgets'])} labelled of the training set, the rest without labels",
        "Backbone": in_words(document["backbone"]),
        "Recipe": in_words(recipe),
        "Warm-up": f"{in_words(warmup)} (methods with a first stage only)" if warmup else "",
        "Prediction": in_words(document["inference"]),
        "Checkpoint": checkpoint,
        "Folds and seeds": f"folds {in_words(list(study.folds))}; seeds {in_words(seeds)}",
        "Tested against": study.arms[document["own"]].label,
    }
    return {word: text for word, text in protocol.items() if text}


def _source(study: Study) -> dict[str, str]:
    """Return what the images are and on which terms; synthetic ones are called so, whatever layout they imitate."""
    dataset = study.dataset
    found = Path(study.data).with_name("source.json")
    if found.exists() and json.loads(found.read_text()).get("phantom"):
        return {"Data set": f"synthetic scans in the raw layout of {dataset['title']}", "Licence": "synthetic images, no terms"}
    told = (part.rstrip(".") for part in (dataset["title"], dataset["citation"]) if part)
    return {"Data set": ". ".join(told) + ".", "Licence": dataset["licence"]}


def _cards(studies: list[Study], folder: Path) -> list[str]:
    """Return what every data set looks like, from the cards beside the prepared data; the page stands in ``folder``."""
    titles = {Path(study.data).with_name("card.html"): study.dataset["title"] for study in studies}
    body = []
    for path, title in titles.items():
        if path.exists():
            link = f'<a href="{escape(quote(os.path.relpath(path, folder)))}">The whole card: preparations, splits, files</a>'
            body += [f"<h3>{escape(title)}</h3>", summary_of(path), f"<p>{link}</p>"]
    return ['<h2 id="data-sets">Data sets</h2>', *body] if body else []


def _changes(study: Study) -> str:
    """Return what each arm changes of the study's protocol."""
    pairs = {}
    for name, arm in study.document["arms"].items():
        changed = {key: value for key, value in arm.items() if key not in ("label", "method", "reinterpretation")}
        words = "; ".join(f"{key}: {in_words(value)}" for key, value in changed.items())
        pairs[name] = f"{study.arms[name].label}; method {arm['method']}" + (f"; {words}" if words else "")
    return f"<details><summary>Arms and what each changes</summary>{definitions(pairs)}</details>"


def _costs(study: Study) -> Table:
    """Return what one run of each arm costs, averaged over the valid runs of all budgets."""
    names = ("Runs", "Iterations", "Images seen", "Time", "Warm-up time", "Peak memory", "Device")
    columns = [Column("Method", left=True), *(Column(name, left=name == "Device") for name in names)]
    table = Table(f"{study.name}-costs", "What one run costs", columns)
    for arm in study.arms.values():
        found = [o for budget in arm.budgets for o in find_outcomes(study, arm.name, budget, lambda run: run.metrics("last"))]
        good = valid(found)
        records = [outcome.record for outcome in good]
        first = [read_record(f"{outcome.run.warmup.folder}/run.json") for outcome in good if outcome.run.warmup]
        texts = [
            str(len(good)) if len(good) == len(found) else f"{len(good)}/{len(found)}",
            _average([record["steps"] + record["warmup_steps"] for record in records], "{:,.0f}".format),
            _average([record["images"] for record in records], "{:,.0f}".format),
            _average([record["seconds"] for record in records], _duration),
            _average([record["seconds"] for record in first if record], _duration),
            _average([record["peak_memory_mb"] for record in records if "peak_memory_mb" in record], _memory),
            ", ".join(sorted({str(record.get("device", "")) for record in records})),
        ]
        table.rows.append([Cell(arm.label), *map(Cell, texts)])
    table.notes = [
        "Means over valid runs. Iterations and images seen include the warm-up; time does not: arms with the same warm-up "
        "share one. Peak memory: of the GPU where there is one, else of the process."
    ]
    return table


def _average(values: list[float], text) -> str:
    return text(sum(values) / len(values)) if values else ""


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GiB"
