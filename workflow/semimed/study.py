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


def at_budget(settings: dict, budget: int | str) -> dict:
    """Return settings with the steps that they give for a budget, where they give them per budget."""
    steps = settings["recipe"]["steps"]
    if not isinstance(steps, dict):
        return settings
    return {**settings, "recipe": {**settings["recipe"], "steps": {str(key): n for key, n in steps.items()}[str(budget)]}}


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
        settings = {**at_budget(self.arm.settings, self.budget), "budget": self.budget, "fold": self.fold, "seed": self.seed}
        if "warmup_steps" in settings:
            settings["warmup_steps"] = self.warmup.settings["recipe"]["steps"] if self.warmup else 0
        return settings

    @cached_property
    def spec(self) -> str:
        return canonical(self.settings)

    @cached_property
    def warmup(self) -> Warmup | None:
        if self.arm.warmup_settings is None:
            return None
        entry, where = self.arm.entry, (self.budget, self.fold, self.seed, self.results)
        return Warmup(self.study, entry.name, at_budget(self.arm.warmup_settings, self.budget), *where, entry.files)

    @property
    def folder(self) -> str:
        return f"{self.results}/runs/{self.study}/{self.arm.name}/{budget_name(self.budget)}/fold{self.fold}-seed{self.seed}"

    @property
    def kept(self) -> list[int]:
        """Steps at which weights are kept for curves, evenly spaced, the last step included."""
        recipe = self.settings["recipe"]
        steps, points = recipe["steps"], recipe["keep"]
        return sorted({max(1, round(steps * k / points)) for k in range(1, points + 1)})

    @property
    def curve(self) -> str:
        return f"{self.folder}/curve.csv"

    @property
    def pseudo_labels(self) -> str:
        return f"{self.folder}/pseudo-labels.csv"

    @property
    def disagreement(self) -> str:
        return f"{self.folder}/disagreement.csv"

    @property
    def illustrations(self) -> str:
        return f"{self.folder}/illustrations.npz"

    @property
    def embeddings(self) -> str:
        return f"{self.folder}/embeddings.npz"

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
    pretrained: Path | None = None  # the file of weights that its networks start from


# What each kind of figure is made from, beside the record of a run.
FIGURE_FILES = {
    **dict.fromkeys(("bars", "sensitivity", "budgets", "heatmap"), lambda run: [run.metrics("last")]),
    "curves": lambda run: [run.curve],
    "agreement": lambda run: [run.curve, run.disagreement],
    "overlays": lambda run: [run.metrics("last"), run.predictions("last")],
    "illustrations": lambda run: [run.illustrations],
    "tsne": lambda run: [run.embeddings],
    "confusion": lambda run: [run.metrics("last"), run.predictions("last")],
    "reliability": lambda run: [run.pseudo_labels],
}
SINGLE_RUN = ("illustrations", "tsne")  # of the first fold and seed


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
    def task(self) -> str:
        return self.dataset["task"]

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
        keys = ("title", "tables", "metrics", "own", "published", "notes", "std_ddof")
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
        """Return the arms of a figure in order: its list, or those of its series or grid, each once."""
        lines = [*figure.get("series", {}).values(), *figure.get("grid", {}).values()]
        return list(dict.fromkeys([*figure.get("arms", []), *(arm for line in lines for arm in line.values())]))

    def figure_inputs(self, name: str) -> list[str]:
        """Return the files a figure is made from."""
        figure = self.document["figures"][name]
        arms, kind = self.figure_arms(figure), figure["kind"]
        runs = [run for arm in arms for run in self.figure_runs(figure, arm)]
        files = [path for run in runs for path in (f"{run.folder}/run.json", *FIGURE_FILES[kind](run))]
        return [*files, f"{self.data}/cases.csv"] if kind in ("overlays", "confusion") else files

    def figure_runs(self, figure: dict, arm: str) -> list[Run]:
        """Return an arm's runs at the budget of a figure, or at all; where pictures are shown only the first of them."""
        runs = self.select([arm], figure.get("budget"))
        return runs[:1] if figure["kind"] in SINGLE_RUN else runs

    @property
    def illustrated_cases(self) -> int:
        """Return how many cases are illustrated: as many as the largest of the study's figures shows."""
        return max((figure["cases"] for figure in self._figures("illustrations")), default=3)

    @property
    def embedded_patch(self) -> int:
        """Return the side in pixels of embedded patches, the same in all figures of a study."""
        return next((figure["patch"] for figure in self._figures("tsne")), 32)

    def _figures(self, kind: str) -> list[dict]:
        return [figure for figure in self.document["figures"].values() if figure["kind"] == kind]

    def select(self, arms=None, budget=None) -> list[Run]:
        """Return the study's runs of some arms (all by default) at one budget (all by default)."""
        return [r for r in self.runs if (arms is None or r.arm.name in arms) and (budget is None or r.budget == budget)]
