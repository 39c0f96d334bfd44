"""The card of a data set: what it is, on which terms, what it holds, how the studies split it, what to be wary of.

write_card(plan, "la")    # results/data/la/card.md and card.html
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..datasets import load as load_dataset
from ..errors import BadInput, nearest
from ..files import atomic
from ..plan import Plan
from ..store import read_cases
from ..study import Study
from .card_data import PreparationFacts, describe_preparation
from .card_page import html_page, markdown_page
from .card_pictures import Sample, choose_samples
from .card_splits import StudyFacts, describe_study, read_folds
from .card_warnings import duplicate_warnings, group_warnings, preparation_warnings


@dataclass(frozen=True)
class Card:
    """All that the card of a data set says.

    ``files`` are those that the workflow downloaded (name, url, size in bytes, sha256), ``None`` where it used a copy that was
    there. ``samples`` are training cases of every study in its first fold; volumes are cut as inference of ``kind`` does.
    """

    dataset: str
    title: str
    task: str
    dimensions: int
    channels: int
    classes: tuple[str, ...]
    page: str
    phantom: bool
    layout: str
    found: int
    licence: str
    citation: str
    files: list[dict] | None
    preparations: list[PreparationFacts]
    studies: list[StudyFacts]
    samples: list[Sample]
    kind: str
    warnings: list[str]


def describe(plan: Plan, dataset: str) -> Card:
    """Return the card of a data set from its prepared cases and the splits of the configured studies.

    A few voxels of some images are read, never all. Raises ``BadInput`` where any of its files is missing or damaged.
    """
    studies = [study for study in plan.studies.values() if study.document["dataset"] == dataset]
    if not studies:
        raise BadInput(f"no configured study on the data set '{dataset}'{nearest(dataset, plan.datasets)}")
    facts, data = plan.datasets[dataset], load_dataset(dataset)
    source = _source(Path(plan.results) / "data" / dataset / "source.json")
    using = {study.document["preparation"]: study for study in studies}
    prepared = {name: read_cases(study.data).cases for name, study in using.items()}
    cases_of = {study.name: prepared[study.document["preparation"]] for study in studies}
    folds = {study.name: read_folds(study, cases_of[study.name]) for study in studies}
    preparations = [describe_preparation(using[name], list(prepared[name].values()), data.classes) for name in using]
    shown = next(iter(prepared.values()))
    return Card(
        dataset=dataset,
        title=facts["title"],
        task=data.task,
        dimensions=len(preparations[0].sizes),
        channels=data.channels,
        classes=data.classes,
        page="" if source["phantom"] else facts.get("page", ""),
        phantom=source["phantom"],
        layout=source["layout"],
        found=source["number"],
        licence=source["licence"],
        citation=source["citation"],
        files=source.get("files"),
        preparations=preparations,
        studies=[describe_study(study, folds[study.name], cases_of[study.name], len(data.classes)) for study in studies],
        samples=choose_samples([shown[case] for case in _trained(studies, folds) if case in shown], data.classes, data.task),
        kind=studies[0].document["inference"]["kind"],
        warnings=_warnings(preparations, prepared, studies, folds, data.task),
    )


def write_card(plan: Plan, dataset: str) -> None:
    """Write ``card.md`` and ``card.html`` beside the prepared data; raises ``BadInput`` as ``describe``."""
    card, folder = describe(plan, dataset), Path(plan.results) / "data" / dataset
    for name, text in (("card.md", markdown_page(card)), ("card.html", html_page(card))):
        with atomic(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _source(path: Path) -> dict:
    try:
        source = json.loads(path.read_text())
        missing = {"phantom", "layout", "number", "licence", "citation"} - set(source)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"no usable list of raw data in {path} ({error}): delete it so that it is written again") from error
    if missing:
        raise BadInput(f"no {', '.join(sorted(missing))} in {path}: delete it so that it is written again")
    return source


def _trained(studies: list[Study], folds: dict) -> list[str]:
    """Return the ids, sorted, that train in the first fold of every study: nobody is to see test images by accident."""
    trained = [{row.case for row in folds[study.name][study.folds[0]] if row.subset == "train"} for study in studies]
    return sorted(set.intersection(*trained))


def _warnings(preparations: list[PreparationFacts], prepared: dict, studies: list[Study], folds: dict, task: str) -> list[str]:
    """Return the warnings of all preparations and studies, a preparation named where there are several."""
    found = []
    for facts in preparations:
        cases = prepared[facts.name]
        users = {study.name: folds[study.name] for study in studies if study.document["preparation"] == facts.name}
        lines = [*preparation_warnings(facts, list(cases.values()), task), *duplicate_warnings(cases, users)]
        found += [f"Preparation {facts.name}: {line}" if len(preparations) > 1 else line for line in lines]
    return [*found, *(line for study in studies for line in group_warnings(study.name, folds[study.name]))]
