"""Recipes, tables and figures of a study that name what is not there, contradict each other, or lack what they need."""

from . import registry
from .errors import BadInput, nearest
from .study import Arm, Study

# What may be done with each kind of sample: how whole cases are inferred, and the geometry drawn in training.
KINDS = {"patch": "sliding", "slice": "slices", "image": "whole"}
# In classification every view of an image turns it by itself.
AUGMENTS = {
    "patch": ("rotate-flip", "rotate-flip-half", "none"),
    "slice": ("turn-or-tilt", "flip-rotate", "rotate-crop", "none"),
    "image": ("turn-or-tilt", "flip-rotate", "rotate-crop", "none"),
}

# The metrics of each task, as its module of `metrics` has them.
METRICS = {
    "segmentation": ("dice", "jaccard", "hd95_voxel", "asd_voxel", "hd95_mm", "assd_mm"),
    "classification": (
        *(f"{name}_ovr018" for name in ("acc", "sens", "spec", "prec", "f1")),
        "accuracy",
        "acc_argmax_ovr",
        *(f"{name}_argmax" for name in ("sens", "spec", "prec", "f1")),
        "auc",
        "balanced_accuracy",
    ),
}

# What a figure must have, beside kind and caption. That of `budgets` has no budget of its own: it shows all of its arms.
NEEDED = {
    **dict.fromkeys(
        ("curves", "agreement", "bars", "overlays", "illustrations", "tsne", "confusion", "reliability"), ("arms", "budget")
    ),
    "sensitivity": ("series", "budget"),
    "heatmap": ("grid", "rows_title", "columns_title", "budget"),
    "budgets": ("arms",),
}
KEPT = ("curves", "agreement", "tsne", "reliability")  # drawn from checkpoints kept during training
ONLY = {
    **dict.fromkeys(("overlays", "illustrations"), "segmentation"),
    **dict.fromkeys(("confusion", "reliability"), "classification"),
}


def check_task(task: str, entry: registry.Entry, network: registry.Network, name: str, at: str) -> None:
    """Raise ``BadInput`` for a method or a backbone that is not for the data set's task."""
    if task not in entry.tasks:
        raise BadInput(
            f"{at}: method: {entry.name} is for {' and '.join(entry.tasks)}, the data set is for {task}; remove the arm"
        )
    if task != network.task:
        raise BadInput(f"{at}: backbone: {name} is for {network.task}, the data set is for {task}; choose another")


def check_steps(recipe: dict, budgets: tuple, at: str) -> None:
    """Raise ``BadInput`` for steps that leave a budget out, and for a schedule that counts epochs where none are set."""
    steps = recipe["steps"]
    if 0 in (steps.values() if isinstance(steps, dict) else [steps]):
        raise BadInput(f"{at}: recipe.steps: 0 trains nothing; give 1 or more")
    for budget in budgets if isinstance(steps, dict) else ():
        if str(budget) not in map(str, steps):
            raise BadInput(f"{at}: recipe.steps: none for budget {budget}; add it")
    if recipe["schedule"].get("every") == "epoch" and "epochs" not in recipe:
        raise BadInput(f"{at}: recipe.schedule.every: epoch: into how many does a training divide? set recipe.epochs")


def check_metrics(document: dict, task: str, where: str) -> None:
    """Raise ``BadInput`` for a metric, or a measure of selection, that is not of the data set's task."""
    selecting = [document["select_by"]] if "select_by" in document else []
    for key, names in (("metrics", document["metrics"]), ("select_by", selecting)):
        for name in names:
            if name not in METRICS[task]:
                raise BadInput(f"{where}: {key}: '{name}' is not for {task}{nearest(name, METRICS[task])}")


def check_recipe(recipe: dict, inference: dict, task: str, preparation: dict, at: str) -> None:
    """Raise ``BadInput`` for a recipe that lacks a key, or whose sample, patch and augment do not go with the rest."""
    for key in ("steps", "labelled", "unlabelled", "patch", "optimiser", "schedule"):
        if key not in recipe:
            raise BadInput(f"{at}: recipe: '{key}' is missing; set it in the study's recipe")
    sample, kind = recipe["sample"], inference["kind"]
    if task == "classification" and (sample, recipe["augment"]) != ("image", "none"):
        raise BadInput(f"{at}: recipe: classification needs sample: image and augment: none; its views turn images themselves")
    size = preparation.get("size")
    if task == "classification" and recipe["patch"] != size:
        raise BadInput(f"{at}: recipe.patch {recipe['patch']}: the preparation's size is {size}; make them equal")
    if KINDS[sample] != kind:
        raise BadInput(f"{at}: inference.kind '{kind}' does not go with recipe.sample '{sample}': set it to {KINDS[sample]}")
    if recipe["augment"] not in AUGMENTS[sample]:
        hint = nearest(recipe["augment"], AUGMENTS[sample])
        raise BadInput(f"{at}: recipe.augment '{recipe['augment']}' is not for samples of kind '{sample}'{hint}")
    if sample != "patch" and len(recipe["patch"]) != 2:
        raise BadInput(f"{at}: recipe.patch {recipe['patch']}: a sample of kind '{sample}' has two sides, rows and columns")
    stride, patch = inference.get("stride", recipe["patch"]), recipe["patch"]
    if len(stride) != len(patch) or any(step > side for step, side in zip(stride, patch, strict=True)):
        raise BadInput(
            f"{at}: inference.stride {stride} leaves gaps between patches {patch}; one number per axis, none above it"
        )


def check_network(patch: list[int], entry: registry.Entry, name: str, at: str) -> None:
    """Raise ``BadInput`` for a patch that backbone ``name`` or the method cannot take."""
    network, sides = registry.backbone(name), "x".join(map(str, patch))
    if network.dimensions != len(patch):
        raise BadInput(
            f"{at}: backbone: {name} is for {network.dimensions} dimensions, recipe.patch has {len(patch)}; choose another"
        )
    if len(patch) not in entry.dimensions:
        raise BadInput(f"{at}: method: {entry.name} is not for {len(patch)} dimensions, which recipe.patch has; remove the arm")
    if any(side % network.divisor for side in patch):
        raise BadInput(f"{at}: recipe.patch {sides}: every side must be a multiple of {network.divisor} for {name}; change it")


def check_tables(document: dict, arms: dict[str, Arm], where: str) -> None:
    """Raise ``BadInput`` for a table of an arm that the study does not have."""
    for name, table in document["tables"].items():
        for arm in table["rows"]:
            if arm not in arms:
                raise BadInput(f"{where}: tables.{name}: no arm '{arm}'{nearest(arm, arms)}")


def check_figures(document: dict, task: str, arms: dict[str, Arm], where: str) -> None:
    """Raise ``BadInput`` for a figure that lacks a key, or whose arms, budget, metric or data do not go with its kind."""
    for name, figure in document["figures"].items():
        kind, at = figure["kind"], f"{where}: figures.{name}"
        if ONLY.get(kind, task) != task:
            raise BadInput(f"{at}: kind '{kind}' is for {ONLY[kind]}; remove the figure")
        for key in NEEDED[kind]:
            if not figure.get(key):
                raise BadInput(f"{at}: no {key}; a figure of kind '{kind}' needs {', '.join(NEEDED[kind])}")
        if "budget" in figure and "budget" not in NEEDED[kind]:
            raise BadInput(f"{at}: budget: a figure of kind '{kind}' shows all budgets of its arms; remove the key")
        if figure["metric"] not in document["metrics"]:
            raise BadInput(
                f"{at}: metric '{figure['metric']}' is not in metrics{nearest(figure['metric'], document['metrics'])}"
            )
        for arm in Study.figure_arms(figure):
            if arm not in arms:
                raise BadInput(f"{at}: no arm '{arm}'{nearest(arm, arms)}")
            _check_arm(arms[arm], figure, at)
        shares = {isinstance(budget, str) for arm in Study.figure_arms(figure) for budget in arms[arm].budgets}
        if kind == "budgets" and len(shares) > 1:
            raise BadInput(f"{at}: its arms have numbers and shares as budgets, which have no common axis; choose other arms")
    sides = {figure["patch"] for figure in document["figures"].values() if figure["kind"] == "tsne"}
    if len(sides) > 1:
        raise BadInput(f"{where}: figures: patch {', '.join(map(str, sorted(sides)))}: all of kind 'tsne' must have the same")


def _check_arm(arm: Arm, figure: dict, at: str) -> None:
    recipe = arm.settings["recipe"]
    if figure["kind"] in KEPT and not recipe["keep"]:
        raise BadInput(f"{at}: arm '{arm.name}' keeps no checkpoints; set recipe.keep of that arm")
    if "budget" in figure and figure["budget"] not in arm.budgets:
        raise BadInput(f"{at}: arm '{arm.name}' has no budget {figure['budget']}")
    if figure["kind"] == "tsne" and len(recipe["patch"]) != 2:
        raise BadInput(
            f"{at}: kind 'tsne' is for two-dimensional samples, recipe.patch is {recipe['patch']}; remove the figure"
        )
    network = registry.backbone(arm.settings["backbone"]["name"])
    if network.task == "classification" or figure["kind"] != "tsne":
        return  # whole images are embedded
    divisor = network.divisor
    if figure["patch"] % divisor:
        raise BadInput(f"{at}: patch {figure['patch']} of arm '{arm.name}' must be a multiple of {divisor}; change it")
    if figure["patch"] > min(recipe["patch"]):
        raise BadInput(f"{at}: patch {figure['patch']} is larger than recipe.patch {recipe['patch']}; make it smaller")
