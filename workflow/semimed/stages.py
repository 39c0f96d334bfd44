"""The stages of the workflow as plain functions: what its scripts call, and what the command line chains without Snakemake.

acquire -> prepare -> split -> warm-up -> train -> predict -> evaluate. Each writes its declared files and returns nothing.
"""

import json
import logging
from pathlib import Path

from . import acquire as acquiring
from . import prepare as preparing
from . import splits
from .config import ROOT
from .datasets import load as load_dataset
from .errors import BadInput
from .files import write_json
from .plan import Plan
from .store import read_cases
from .study import Run, Study

log = logging.getLogger(__name__)


def acquire(plan: Plan, name: str) -> None:
    """Write ``source.json`` of a data set: where its raw files are and what was found."""
    folder = Path(plan.results) / "data" / name
    downloads = Path(plan.config["downloads"]).expanduser()
    given = plan.datasets[name], plan.config["raw"][name]
    acquiring.acquire(load_dataset(name), *given, folder / "source.json", folder / "raw", downloads)


def prepare(plan: Plan, name: str, preparation: str) -> None:
    """Write the arrays and ``cases.csv`` of one preparation."""
    folder = Path(plan.results) / "data" / name
    raw = plan.config["raw"][name]
    place = folder / "raw" if raw == "phantom" else Path(raw).expanduser()
    options = plan.datasets[name]["preparations"][preparation]
    workers = plan.config["threads"]["prepare"]
    preparing.prepare(load_dataset(name), folder / "source.json", options, folder / preparation, workers, True, raw=place)
    write_json(folder / preparation / "options.json", options)


def card(plan: Plan, name: str) -> None:
    """Write ``card.md`` and ``card.html`` of a data set: what it looks like and under which terms it is used."""
    from .reporting.cards import write_card

    write_card(plan, name)


def split(study: Study, fold: int) -> None:
    """Write the split of one fold."""
    options = dict(study.document["split"])
    if "file" in options:
        options["file"] = str(ROOT / options["file"])
    cases = list(read_cases(study.data).cases.values())
    splits.write_split(study.split(fold), splits.make_split(cases, options, fold))
    write_json(f"{study.split(fold)}.json", study.split_options)


def train(plan: Plan, study: Study, run: Run, stage: str = "train", **execution) -> None:
    """Train a run, or with ``stage="warmup"`` its warm-up. ``execution``: resume, save_seconds, threads."""
    from .train import train as do
    from .training_job import Job

    outdated = study.outdated(run.fold)
    if outdated:
        raise BadInput(f"{outdated} was made with other options than {study.name} has now: delete it so that it is made again")
    warming = stage == "warmup"
    target = run.warmup if warming else run
    name = {"study": study.name, "arm": target.key if warming else run.arm.name}
    do(
        Job(
            spec=target.spec,
            folder=Path(target.folder),
            data=Path(study.data),
            split=Path(study.split(run.fold)),
            method_files=list(run.arm.entry.files),
            name={**name, "budget": run.budget, "fold": run.fold, "seed": run.seed},
            stage=stage,
            warmup=Path(run.warmup.folder) if run.warmup and not warming else None,
            kept=[] if warming else run.kept,
            device=plan.config["device"],
            pretrained=run.arm.pretrained,
            **{"threads": plan.config["threads"]["train"], **execution},
        )
    )


def predict(plan: Plan, study: Study, run: Run, checkpoint: str, output: str, subset: str) -> None:
    """Write the predictions of one output of one checkpoint on one subset."""
    from .predict import predict as do

    do(_job(plan, study, run, subset), weights(run, checkpoint), run.predictions(checkpoint, output, subset), output)


def evaluate(plan: Plan, study: Study, run: Run, checkpoint: str, output: str, subset: str) -> None:
    """Write the metrics of one file of predictions."""
    from .predict import evaluate as do

    where = (checkpoint, output, subset)
    do(_job(plan, study, run, subset), run.predictions(*where), run.metrics(*where))


def curve(plan: Plan, study: Study, run: Run) -> None:
    """Write ``curve.csv`` and ``disagreement.csv``: metrics of all outputs of all kept checkpoints on the test cases."""
    from .curve import evaluate_curve

    evaluate_curve(_job(plan, study, run, "test"), _kept(run, run.kept), run.curve, run.disagreement)


def illustrate(plan: Plan, study: Study, run: Run) -> None:
    """Write ``illustrations.npz``: pictures of a few test cases, from the first and the last checkpoint kept for curves."""
    from .illustrate import illustrate as do

    checkpoints = _kept(run, run.kept[:: max(1, len(run.kept) - 1)]) or [weights(run, "last")]
    do(_job(plan, study, run, "test"), checkpoints, study.illustrated_cases, run.illustrations)


def embed(plan: Plan, study: Study, run: Run) -> None:
    """Write ``embeddings.npz``: vectors of test images, or of patches of them, at every kept checkpoint."""
    from .embed import embed as do

    do(_job(plan, study, run, "test"), _kept(run, run.kept), study.embedded_patch, run.embeddings)


def judge_pseudo_labels(plan: Plan, study: Study, run: Run) -> None:
    """Write ``pseudo-labels.csv``: how far predictions on unlabelled training cases could be trusted over training."""
    from .pseudo_labels import judge

    judge(_job(plan, study, run, "unlabelled"), _kept(run, run.kept), run.pseudo_labels)


def weights(run: Run, checkpoint: str) -> Path:
    """Return the file of a run's checkpoint: ``last``, ``best`` or ``step000500``."""
    return Path(run.folder) / "weights" / f"{checkpoint}.pt"


def run_without_snakemake(plan: Plan, study: Study, run: Run, **execution) -> None:
    """Do every stage of one run whose output is missing, in order."""
    name, preparation = study.document["dataset"], study.document["preparation"]
    folder = Path(plan.results) / "data" / name
    if not (folder / "source.json").exists():
        acquire(plan, name)
    outdated = study.outdated(run.fold) or ""
    if not Path(study.data, "cases.csv").exists() or outdated.startswith(study.data):
        prepare(plan, name, preparation)
    if not Path(study.split(run.fold)).exists() or study.outdated(run.fold):
        split(study, run.fold)
    if run.warmup and not _finished(study, run.warmup):
        train(plan, study, run, "warmup", **{**execution, "resume": None})
    if _finished(study, run):
        log.info("%s is finished; delete it to train again", run.folder)
    else:
        train(plan, study, run, **execution)
    for checkpoint in study.checkpoints:
        where = (checkpoint, run.arm.headline, "test")
        predict(plan, study, run, *where)
        evaluate(plan, study, run, *where)


def _kept(run: Run, steps: list[int]) -> list[Path]:
    return [weights(run, f"step{step:06d}") for step in steps]


def _finished(study: Study, job) -> bool:
    from .identity import planned_hash

    record = Path(job.folder) / "run.json"
    return record.exists() and json.loads(record.read_text())["hash"] == planned_hash(study, job)


def _job(plan: Plan, study: Study, run: Run, subset: str):
    from .predict import PredictionJob

    inference, threads = study.document["inference"], plan.config["threads"]["predict"]
    where = (Path(study.data), Path(study.split(run.fold)))
    return PredictionJob(*where, inference, subset, plan.config["device"], threads, run.budget)
