"""The plan: every study, arm, run and warm-up that a configuration asks for.

Built once, without torch and without touching data, in milliseconds for thousands of runs.

    plan = Plan(config)                       # config: the contents of config/config.yaml
    for run in plan.studies["cml-la"].runs:   # run = arm x budget x fold x seed
        run.folder, run.spec, run.warmup
"""

import csv
import os
from functools import cached_property
from pathlib import Path

from . import config as configuration
from . import registry
from .checks import check_figures, check_metrics, check_network, check_recipe, check_steps, check_tables, check_task
from .errors import BadInput, nearest
from .files import file_digest
from .study import Arm, Run, Study, Warmup


class Plan:
    """Everything a configuration asks for. Raises ``BadInput`` with the file and the key at the first mistake."""

    def __init__(self, config: dict, where: str = "config/config.yaml", root: Path = configuration.ROOT):
        self.root = Path(root)
        self.config = configuration.checked(config, "config", where)
        known = [path.stem for path in (self.root / "config" / "datasets").glob("*.yaml")]
        for key in ("raw", "datasets"):
            for name in self.config[key]:
                if name not in known:
                    hint = f"no config/datasets/{name}.yaml{nearest(name, known)}"
                    raise BadInput(f"{where}: {key}: unknown data set '{name}', {hint}")
        self.weights = _weights(self.config["weights"], where)
        self.results = os.path.normpath(self.config["results"])
        self.studies = {name: self._study(name) for name in self.config["studies"]}
        self.runs = {run.folder: run for study in self.studies.values() for run in study.runs}
        self.warmups = {run.warmup.folder: run.warmup for run in self.runs.values() if run.warmup}

    def first_run_of(self, warmup: Warmup) -> Run:
        """Return the first of the runs that share a warm-up."""
        return next(run for run in self.runs.values() if run.warmup and run.warmup.folder == warmup.folder)

    def study(self, name: str) -> Study:
        if name not in self.studies:
            raise BadInput(f"study '{name}' is not in `studies:` of the configuration{nearest(name, self.studies)}")
        return self.studies[name]

    @property
    def gpus_per_job(self) -> int:
        """Return 1 where training and prediction run on a GPU of this machine (told without torch), else 0."""
        device = self.config["device"]
        return int(Path("/dev/nvidia0").exists() if device == "auto" else device != "cpu")

    @cached_property
    def datasets(self) -> dict[str, dict]:
        return {study.document["dataset"]: study.dataset for study in self.studies.values()}

    def _study(self, name: str) -> Study:
        path = self.root / "config" / "studies" / f"{name}.yaml"
        where = str(path.relative_to(self.root))
        document = configuration.checked(configuration.load_yaml(path), "study", where)
        dataset = self._dataset(document, where)
        folds, has_validation = self._folds(document, where)
        arms = {key: self._arm(key, arm, document, dataset, has_validation, where) for key, arm in document["arms"].items()}
        if document["own"] not in arms:
            raise BadInput(f"{where}: own: no arm '{document['own']}'{nearest(document['own'], arms)}")
        check_metrics(document, dataset["task"], where)
        check_tables(document, arms, where)
        check_figures(document, dataset["task"], arms, where)
        runs = tuple(
            Run(name, arm, budget, fold, seed, self.results)
            for arm in arms.values()
            for budget in arm.budgets
            for fold in folds
            for seed in document["arms"][arm.name].get("seeds", document.get("seeds", self.config["seeds"]))
        )
        return Study(name, document, dataset, arms, runs, folds, self.results, has_validation)

    def _dataset(self, document: dict, where: str) -> dict:
        name = document["dataset"]
        path = self.root / "config" / "datasets" / f"{name}.yaml"
        given = configuration.merge(configuration.load_yaml(path), self.config["datasets"].get(name, {}))
        dataset = configuration.checked(given, "dataset", str(path.relative_to(self.root)))
        if document["preparation"] not in dataset["preparations"]:
            hint = nearest(document["preparation"], dataset["preparations"])
            raise BadInput(f"{where}: preparation: '{document['preparation']}' is not known for data set {name}{hint}")
        if name not in self.config["raw"]:
            raise BadInput(f"no raw folder for data set '{name}'; add a line to `raw:`, e.g. `{name}: resources/raw/{name}`")
        return dataset

    def _folds(self, document: dict, where: str) -> tuple[tuple[int, ...], bool]:
        split = document["split"]
        if split["source"] == "official":
            if "by" in split:
                raise BadInput(f"{where}: split.by: an official list says itself which case goes where; remove the key")
            listed = self.root / split.get("file", "")
            if not listed.is_file():
                raise BadInput(f"{where}: split.file: no file '{split.get('file', '')}'; name a list of resources/splits/")
            with listed.open() as handle:
                has_validation = any(row["subset"] == "validation" for row in csv.DictReader(handle))
            count = 1
        else:
            count, has_validation = split["folds"], split["validation"] > 0
        wanted = self.config["folds"]
        folds = tuple(range(count)) if wanted == "all" else tuple(fold for fold in wanted if fold < count)
        if not folds:
            raise BadInput(f"folds: {wanted} names no fold of {where}, which has {count} (counted from 0)")
        return folds, has_validation

    def _backbone(self, given: dict, network: registry.Network, at: str) -> tuple[dict, Path | None]:
        """Return all options of a backbone, and the file of its pretrained weights where it starts from one."""
        options = {key: value for key, value in given.items() if key != "name"}
        backbone, pretrained = {"name": given["name"], **registry.resolved(options, network.options, f"{at}: backbone")}, None
        if backbone.get("pretrained"):
            # Name and content decide a run, where the file lies does not.
            pretrained = self.weights.get(given["name"])
            backbone["weights"] = pretrained and f"{pretrained.name} {file_digest(pretrained)[:16]}"
        return backbone, pretrained

    def _arm(self, name: str, arm: dict, document: dict, dataset: dict, has_validation: bool, where: str) -> Arm:
        at = f"{where}: arms.{name}"
        try:
            entry = registry.method(arm["method"])
            # Merged as an entry, not as the whole, so that the options of another backbone are replaced.
            given = configuration.merge({"it": document["backbone"]}, {"it": arm.get("backbone", {})})["it"]
            network = registry.backbone(given["name"])
        except BadInput as error:
            raise BadInput(f"{at}: {error}") from error
        check_task(dataset["task"], entry, network, given["name"], at)
        preparation = dataset["preparations"][document["preparation"]]
        backbone, pretrained = self._backbone(given, network, at)
        data = {
            "dataset": document["dataset"],
            "preparation": {"name": document["preparation"], **preparation},
            "split": {key: value for key, value in document["split"].items() if key != "folds"},
            "backbone": backbone,
            "method": entry.name,
        }
        recipe = configuration.merge(document["recipe"], arm.get("recipe", {}))
        warmup_recipe = recipe.pop("warmup", {})
        budgets = tuple(arm.get("budgets", document["budgets"]))
        check_recipe(recipe, document["inference"], dataset["task"], preparation, at)
        check_steps(recipe, budgets, at)
        check_network(recipe["patch"], entry, given["name"], at)
        headline = arm.get("output", entry.outputs[0])
        if headline not in entry.outputs:
            raise BadInput(f"{at}: output: method {entry.name} has no '{headline}'{nearest(headline, entry.outputs)}")
        # How many windows go through at once decides nothing.
        validation = {**{k: v for k, v in document["inference"].items() if k != "batch"}, "output": headline}
        if "select_by" in document:
            validation["select_by"] = document["select_by"]
        settings = {
            **data,
            "hyperparameters": registry.resolved(
                arm.get("hyperparameters", {}), entry.defaults[dataset["task"]], f"{at}: hyperparameters", entry.words
            ),
            "recipe": recipe,
            "validation": validation if has_validation else None,
        }
        warmup = _warmup(entry, arm, recipe, warmup_recipe, at)
        if entry.warmup is not None:
            settings["warmup"] = registry.resolved(arm.get("warmup", {}), entry.warmup, f"{at}: warmup", entry.words)
            settings["warmup_steps"] = 0  # each run has that of its own warm-up
        if warmup is not None:
            check_steps(warmup["recipe"], budgets, f"{at}: warmup")
            selecting = settings["validation"] if entry.warmup_checkpoint == "best" else None
            warmup = {**data, **warmup, "warmup": settings["warmup"], "validation": selecting}
        label = arm.get("label", name)
        return Arm(name, label, entry, budgets, settings, warmup, arm["reinterpretation"], headline, pretrained)


def _warmup(entry: registry.Entry, arm: dict, recipe: dict, override: dict, at: str) -> dict | None:
    """Return the warm-up stage's recipe, ``None`` for a method without one or a recipe without steps for it."""
    if entry.warmup is None and "warmup" in arm:
        raise BadInput(f"{at}: warmup: method {entry.name} has no warm-up; remove the key")
    if entry.warmup is None or not override.get("steps"):
        return None
    # Steps as they are given: merged, a budget that is left out would take those of the main stage.
    return {"recipe": {**configuration.merge(recipe, override), "steps": override["steps"], "keep": 0}}


def _weights(given: dict[str, str], where: str) -> dict[str, Path]:
    """Return the configured files of pretrained weights by backbone; each must be there, for its content is in the plan."""
    known = [name for name in registry.backbones() if "pretrained" in registry.backbone(name).options]
    files = {name: Path(path).expanduser() for name, path in given.items()}
    for name, path in files.items():
        if name not in known:
            raise BadInput(f"{where}: weights: no backbone '{name}' that starts from pretrained weights{nearest(name, known)}")
        if not path.is_file():
            raise BadInput(f"{where}: weights: no file {path} for {name}; get it, or remove the line to start from random ones")
    return files
