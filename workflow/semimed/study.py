"""Studies, arms, runs and warm-ups, and the path of everything they make."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import registry
from .files import canonical, digest


def budget_name(budget: int | str) -> str:
    """Return a budget as it stands in paths: ``8`` stays, ``5%`` becomes ``5pct``."""
    return str(budget).replace("%", "pct")


@dataclass(frozen=True)
class Warmup:
    """A first stage that arms of a study share: the same settings give the same key, folder and weights."""

    study: str
    method: str
    settings: dict
    budget: int | str
    fold: int
    seed: int
    results: str
    files: tuple[Path, ...]

    @cached_property
    def spec(self) -> str:
        return canonical({**self.settings, "budget": self.budget, "fold": self.fold, "seed": self.seed})

    @cached_property
    def key(self) -> str:
        return f"{self.method}-{digest(canonical(self.settings))[:8]}"

    @property
    def folder(self) -> str:
        return f"{self.results}/warmups/{self.study}/{self.key}/{budget_name(self.budget)}/fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class Run:
    """One training: an arm at a budget, on a fold, from a seed. ``spec`` is all that decides its weights but data and code."""

    study: str
    arm: "Arm"
    budget: int | str
    fold: int
    seed: int
    results: str

    @cached_property
    def settings(self) -> dict:
        return {**self.arm.settings, "budget": self.budget, "fold": self.fold, "seed": self.seed}

    @cached_property
    def spec(self) -> str:
        return canonical(self.settings)

    @cached_property
    def warmup(self) -> Warmup | None:
        if self.arm.warmup_settings is None:
            return None
        entry, where = self.arm.entry, (self.budget, self.fold, self.seed, self.results)
        return Warmup(self.study, entry.name, self.arm.warmup_settings, *where, entry.files)

    @property
    def folder(self) -> str:
        return f"{self.results}/runs/{self.study}/{self.arm.name}/{budget_name(self.budget)}/fold{self.fold}-seed{self.seed}"

    @property
    def kept(self) -> list[int]:
        """Steps at which weights are kept for curves, evenly spaced, the last step included."""
        recipe = self.arm.settings["recipe"]
        steps, points = recipe["steps"], recipe["keep"]
        return sorted({max(1, round(steps * k / points)) for k in range(1, points + 1)})

    def metrics(self, checkpoint: str, output: str | None = None, subset: str = "test") -> str:
        return f"{self.folder}/metrics/{checkpoint}-{output or self.arm.headline}-{subset}.csv"

    def predictions(self, checkpoint: str, output: str | None = None, subset: str = "test") -> str:
        return f"{self.folder}/predictions/{checkpoint}-{output or self.arm.headline}-{subset}.npz"


@dataclass(frozen=True)
class Arm:
    """One row of a study, fully resolved: defaults of the method, the study's recipe, the arm's overrides."""

    name: str
    label: str
    entry: registry.Entry
    budgets: tuple
    settings: dict
    warmup_settings: dict | None
    reinterpretation: bool
    headline: str  # the output that stands in the table


@dataclass(frozen=True)
class Study:
    """One published table: a data set under one protocol with a list of arms."""

    name: str
    document: dict
    dataset: dict
    arms: dict[str, Arm]
    runs: tuple[Run, ...]
    folds: tuple[int, ...]
    results: str
    has_validation: bool

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The headline is the last checkpoint; where validation cases exist the one they select is a second column."""
        return ("last", "best") if self.has_validation else ("last",)

    @property
    def data(self) -> str:
        return f"{self.results}/data/{self.document['dataset']}/{self.document['preparation']}"

    def split(self, fold: int) -> str:
        return f"{self.results}/splits/{self.name}/fold{fold}.csv"

    @property
    def preparation_options(self) -> dict:
        return self.dataset["preparations"][self.document["preparation"]]

    @property
    def split_options(self) -> dict:
        """Return what decides a fold; how many folds there are decides nothing of any one of them."""
        return {key: value for key, value in self.document["split"].items() if key != "folds"}

    def outdated(self, fold: int) -> str | None:
        """Return which of prepared data and split was made with other options than the study has now, if any.

        Snakemake sees such a change by itself; training and tables without it, or after its records were lost, do not.
        """
        cases, rows = f"{self.data}/cases.csv", self.split(fold)
        made = ((cases, f"{self.data}/options.json", self.preparation_options), (rows, f"{rows}.json", self.split_options))
        for path, record, options in made:
            if Path(record).exists() and json.loads(Path(record).read_text()) != options:
                return path
        return None

    @property
    def table_content(self) -> dict:
        """Return what of the study's file decides its table, beside the runs: titles, labels, rows, published names."""
        keys = ("title", "tables", "metrics", "own", "published")
        labels = {name: [arm.label, arm.reinterpretation] for name, arm in self.arms.items()}
        # Rows are printed in the order of the file, which sorted keys would hide.
        order = {name: list(table["rows"]) for name, table in self.document["tables"].items()}
        return {"labels": labels, "order": order, **{key: self.document.get(key) for key in keys}}

    def table_inputs(self) -> list[str]:
        """Return the files a table is made from: record and metrics of every run that stands in it."""
        shown = {arm for table in self.document["tables"].values() for arm in table["rows"]}
        runs = self.select(shown)
        return [f for run in runs for f in (f"{run.folder}/run.json", *map(run.metrics, self.checkpoints))]

    @staticmethod
    def figure_arms(figure: dict) -> list[str]:
        """Return the arms of a figure in order: its list, or those of its series, each once."""
        series = (arm for values in figure.get("series", {}).values() for arm in values.values())
        return list(dict.fromkeys([*figure.get("arms", []), *series]))

    def figure_inputs(self, name: str) -> list[str]:
        """Return the files a figure is made from."""
        figure = self.document["figures"][name]
        files = []
        for run in self.select(self.figure_arms(figure), figure["budget"]):
            files.append(f"{run.folder}/run.json")
            files.append(f"{run.folder}/curve.csv" if figure["kind"] == "curves" else run.metrics("last"))
            if figure["kind"] == "overlays":
                files.append(run.predictions("last"))
        return [*files, f"{self.data}/cases.csv"] if figure["kind"] == "overlays" else files

    def select(self, arms=None, budget=None) -> list[Run]:
        """Return the study's runs of some arms (all by default) at one budget (all by default)."""
        return [r for r in self.runs if (arms is None or r.arm.name in arms) and (budget is None or r.budget == budget)]
