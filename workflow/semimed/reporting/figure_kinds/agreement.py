"""How much a method's two branches disagree over training, and how uncertain its headline is (UCMT Fig. 1 d, e)."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...study import Study
from ..outcomes import find_outcomes, valid
from .common import arm_colour, draw_line, label_steps, note_shortfall, per_step, say


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw two panels with a line per arm; methods with one output have no disagreement."""
    arms, budget = study.figure_arms(options), options["budget"]
    paired = [arm for arm in arms if len(study.arms[arm].entry.outputs) > 1]
    apart = {arm: find_outcomes(study, arm, budget, lambda run: run.disagreement) for arm in paired}
    unsure = {arm: find_outcomes(study, arm, budget, lambda run: run.curve) for arm in arms}
    figure.set_size_inches(6.4, 3.0)
    left, right = figure.subplots(1, 2)
    left.set_title("Disagreement of the branches", loc="left")
    left.set_ylabel("1 − Dice" if study.task == "segmentation" else "Share put into another class")
    right.set_title("Uncertainty of the headline", loc="left")
    right.set_ylabel("Entropy (nats)")
    for panel, name, found in ((left, "disagreement", apart), (right, "uncertainty", unsure)):
        label_steps(panel)
        for arm, outcomes in found.items():
            if valid(outcomes):
                output = study.arms[arm].headline if found is unsure else None
                values = per_step(valid(outcomes), name, output)
                draw_line(panel, values, arm_colour(study, arm), study.arms[arm].label, linewidth=1.6, markersize=3)
        if panel.lines:
            panel.set_xlim(left=0)
            panel.set_ylim(bottom=0)
            panel.yaxis.set_major_locator(MaxNLocator(5))
        else:
            say(panel, "no valid run")
    handles, labels = right.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)))
    note_shortfall(figure, {study.arms[arm].label: apart.get(arm, unsure[arm]) for arm in arms})
