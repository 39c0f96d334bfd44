"""A metric over training: one panel per arm, one line per output of its method, a band of one standard deviation.

With ``together: true`` one panel has the headline of every arm, and the steps of a warm-up count (PLGCL Fig. 4).
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...metrics import METRICS, Metric
from ...study import Study
from ..outcomes import Outcome, find_outcomes, valid
from .common import arm_colour, counted, draw_line, label_steps, note_shortfall, per_step, say, scaled

# Outputs beside the headline are grey and dashed: colours belong to arms.
SECONDARY = (("#3B3B3B", (4, 1.4)), ("#8A8A8A", (1.5, 1.2)), ("#5F5F5F", (5, 1.2, 1.2, 1.2)))


def draw(figure: Figure, study: Study, options: dict) -> None:
    """Draw the panels; all share the vertical axis, each has its own steps."""
    arms, metric = study.figure_arms(options), METRICS[options["metric"]]
    found = {arm: find_outcomes(study, arm, options["budget"], lambda run: run.curve) for arm in arms}
    if options["together"]:
        _together(figure, study, metric, found)
        return
    figure.set_size_inches(max(3.6, 2.7 * len(arms)), 2.7)
    panels = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
    for panel, arm in zip(panels, arms, strict=True):
        panel.set_title(study.arms[arm].label, loc="left")
        label_steps(panel)
        if valid(found[arm]):
            _panel(panel, study, arm, metric, found[arm])
            panel.set_xlim(left=0)
        else:
            say(panel, counted(found[arm]))
    panels[0].set_ylabel(metric.title)


def _panel(panel: Axes, study: Study, arm: str, metric: Metric, found: list[Outcome]) -> None:
    headline, outputs = study.arms[arm].headline, study.arms[arm].entry.outputs
    for number, output in enumerate(sorted(outputs, key=lambda output: output != headline)):
        values = scaled(metric, per_step(valid(found), metric.name, output))
        if number == 0:
            style = {"linewidth": 2.0, "markersize": 3.4, "zorder": 4}
            draw_line(panel, values, arm_colour(study, arm), f"{output} (headline)", **style)
        else:
            colour, dashes = SECONDARY[(number - 1) % len(SECONDARY)]
            draw_line(panel, values, colour, output, linewidth=1.2, markersize=2, dashes=dashes, zorder=3)
    corner = "lower right" if metric.higher_is_better else "upper right"
    panel.legend(loc=corner, title=counted(found), title_fontsize=7.5, alignment="left")


def _together(figure: Figure, study: Study, metric: Metric, found: dict[str, list[Outcome]]) -> None:
    figure.set_size_inches(4.6, 3.2)
    panel = figure.subplots()
    panel.set_ylabel(metric.title)
    label_steps(panel)
    if not any(map(valid, found.values())):
        say(panel, "no valid run")
    for arm, outcomes in found.items():
        if valid(outcomes):
            entry = study.arms[arm]
            values = scaled(metric, per_step(valid(outcomes), metric.name, entry.headline))
            values.index += valid(outcomes)[0].record["warmup_steps"]
            draw_line(panel, values, arm_colour(study, arm), entry.label, linewidth=1.6, markersize=3, zorder=3)
    if panel.lines:
        panel.set_xlim(left=0)
        panel.set_xlabel("Training step, warm-up included")
        panel.legend(loc="lower right" if metric.higher_is_better else "upper right")
    note_shortfall(figure, {study.arms[arm].label: outcomes for arm, outcomes in found.items()})
