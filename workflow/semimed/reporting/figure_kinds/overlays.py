"""Predictions over images: a row per case, the ground truth and each arm's prediction as contours on one picture.

With one foreground class ground truth and prediction have a colour each; with several every class has one, and the ground
truth is a thin white line.
"""

import zipfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...errors import BadInput
from ...metrics import METRICS, Metric
from ...store import Case, load_image, load_label, read_cases
from ...study import Run, Study
from ..outcomes import Outcome, find_outcomes, valid
from .common import CLASSES, FAINT, counted, say, scaled
from .pictures import View, bare, short_name, show_contours, show_image, view_of

TRUTH, PREDICTION = "#F0E442", "#56B4E9"  # yellow and sky blue: apart from each other and from grey for every reader


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the best to the worst case of the study's own arm (of the first arm with a run, where it has none)."""
    arms, metric, budget = study.figure_arms(options), METRICS[options["metric"]], options["budget"]
    found = {arm: find_outcomes(study, arm, budget, lambda run: run.metrics("last")) for arm in arms}
    shown = _same_run(study, {arm: [one for one in valid(found[arm]) if _predicted(one)] for arm in arms})
    if not shown:
        figure.set_size_inches(4, 1.5)
        panel = figure.subplots()
        panel.set_axis_off()
        say(panel, "no valid run with predictions\n" + "\n".join(f"{study.arms[a].label}: {counted(found[a])}" for a in arms))
        return
    own = study.document["own"] if study.document["own"] in shown else next(iter(shown))
    cases = chosen_cases(shown[own], metric, options["cases"])
    prepared = read_cases(study.data).cases
    for _, name in cases:
        if name not in prepared:
            raise BadInput(f"case {name} of {shown[own].path} is not in {study.data}/cases.csv: evaluate the run again")
    kind, chosen = study.document["inference"]["kind"], [prepared[name] for _, name in cases]
    views = [view_of(load_label(case), case.spacing, kind) for case in chosen]
    heights, columns = [view.height for view in views], len(arms) + 1
    figure.set_size_inches(1.5 * columns, 1.5 * sum(heights) + 0.2 * len(cases) + 0.7)
    panels = figure.subplots(len(cases), columns, squeeze=False, height_ratios=heights)
    for line, view, (rank, name) in zip(panels, views, cases, strict=True):
        _row(line, prepared[name], view, arms, shown, metric)
        line[0].set_ylabel(f"{rank}\n{short_name(name)}", fontsize=7.5)
    above = {"xycoords": "axes fraction", "xytext": (0, 16), "textcoords": "offset points", "ha": "center", "fontsize": 8.5}
    for panel, title in zip(panels[0], ["Image", *(study.arms[arm].label for arm in arms)], strict=True):
        panel.annotate(title, (0.5, 1), fontweight="bold", **above)
    _legend(figure, study, shown, own)


def chosen_cases(outcome: Outcome, metric: Metric, count: int) -> list[tuple[str, str]]:
    """Return (rank in words, case id) of evenly spread cases of a run, best first: best, median and worst for three."""
    values = outcome.by_case(metric.name).sort_values(ascending=not metric.higher_is_better, kind="stable")
    count = min(count, len(values))
    places = np.linspace(0, len(values) - 1, count).round().astype(int) if count > 1 else [len(values) // 2]
    words = {0: "best", len(values) - 1: "worst"} if count > 1 else {}
    if count % 2:
        words[places[count // 2]] = "median"
    return [(words.get(place, f"{place + 1} of {len(values)}"), values.index[place]) for place in places]


def _row(line: list[Axes], case: Case, view: View, arms: list[str], shown: dict[str, Outcome], metric: Metric) -> None:
    image, label = load_image(case), load_label(case)
    several, style = _several(shown), {"width": 1.0, "edge": True} if len(image) == 3 else {}
    _picture(line[0], image, view)
    show_contours(line[0], view.of(label), CLASSES if several else [TRUTH], **style)
    for panel, arm in zip(line[1:], arms, strict=True):
        if arm not in shown:
            bare(panel)
            panel.set_box_aspect(view.height)
            say(panel, "no valid run")
            continue
        _picture(panel, image, view)
        prediction = view.of(_prediction(shown[arm].run, case))
        if several:
            show_contours(panel, prediction, CLASSES, **style)
            show_contours(panel, view.of(label), ["white"], width=0.6, edge=True)
        else:
            show_contours(panel, view.of(label), [TRUTH], **style)
            show_contours(panel, prediction, [PREDICTION], **style)
        value = scaled(metric, shown[arm].by_case(metric.name)[case.case])
        panel.set_title(f"{metric.title.split(' (')[0]} {value:.1f} {metric.unit}", fontsize=7.5, fontweight="normal")


def _picture(panel: Axes, image: np.ndarray, view: View) -> None:
    if len(image) == 3 and view.plane is None:
        show_image(panel, view.of(np.moveaxis(image, 0, -1)), view.aspect)
    else:
        show_image(panel, view.of(image[0]), view.aspect, tuple(np.percentile(image[0], (1, 99.5))))


def _several(shown: dict[str, Outcome]) -> list[str]:
    """Return the names of the foreground classes where there are several; one class has no colour of its own."""
    names = list(next(iter(shown.values())).scores["class"].unique())
    return names if len(names) > 1 else []


def _predicted(outcome: Outcome) -> bool:
    return Path(outcome.run.predictions("last")).is_file()


def _prediction(run: Run, case: Case) -> np.ndarray:
    path = run.predictions("last")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            prediction = arrays[case.case]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BadInput(f"no prediction of case {case.case} in {path} ({error}): delete the file, it is made again") from error
    if prediction.shape != case.shape:
        raise BadInput(f"prediction {prediction.shape} of case {case.case} in {path}, image {case.shape}: predict again")
    return prediction


def _same_run(study: Study, outcomes: dict[str, list[Outcome]]) -> dict[str, Outcome]:
    """Return one outcome per arm, of one fold (the same test cases) and where it exists of one seed."""
    own = outcomes.get(study.document["own"]) or next((some for some in outcomes.values() if some), [])
    if not own:
        return {}
    fold, seed = own[0].run.fold, own[0].run.seed
    same_fold = {arm: [one for one in some if one.run.fold == fold] for arm, some in outcomes.items()}
    return {arm: min(some, key=lambda one: one.run.seed != seed) for arm, some in same_fold.items() if some}


def _legend(figure: Figure, study: Study, shown: dict[str, Outcome], own: str) -> None:
    several = _several(shown)
    handles = [Line2D([], [], color=CLASSES[number % len(CLASSES)], label=name) for number, name in enumerate(several)]
    if several:
        handles.append(Line2D([], [], color="white", linewidth=0.8, label="ground truth"))
    else:
        handles = [Line2D([], [], color=TRUTH, label="ground truth"), Line2D([], [], color=PREDICTION, label="prediction")]
    style = {"facecolor": "#5A5A5A", "labelcolor": "white", "frameon": True}
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), **style)
    run = shown[own].run
    others = [f"{study.arms[arm].label} seed {one.run.seed}" for arm, one in shown.items() if one.run.seed != run.seed]
    words = [f"fold {run.fold}, seed {run.seed}", *others, f"cases ranked by {study.arms[own].label}"]
    figure.supxlabel("; ".join(words), fontsize=7, color=FAINT)
