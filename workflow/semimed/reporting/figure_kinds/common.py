"""What the kinds of figures share: arms, colours, and words for what is missing."""

from matplotlib.axes import Axes

from ...metrics.segmentation import Metric
from ...study import Study
from ..outcomes import Outcome, shortfall, valid

# Distinguishable with the common kinds of colour-blindness (after Okabe-Ito and Tol); the study's own arm has its own.
OWN = "#D55E00"
OTHERS = ("#56606B", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#999933", "#882255", "#44AA99")
FAINT = "#6E6E6E"


def arm_colour(study: Study, arm: str) -> str:
    """Return an arm's colour, the same in every figure of the study."""
    own = study.document["own"]
    return OWN if arm == own else OTHERS[[name for name in study.arms if name != own].index(arm) % len(OTHERS)]


def scaled(metric: Metric, value: float) -> float:
    """Return a stored value in printed units."""
    return 100 * value if metric.percent else value


def counted(outcomes: list[Outcome]) -> str:
    """Return how many runs stand behind something, e.g. ``"2 of 3 runs (1 stale)"``."""
    good = len(valid(outcomes))
    if good < len(outcomes):
        return f"{good} of {len(outcomes)} runs ({shortfall(outcomes)})"
    return f"{good} run{'s' * (good != 1)}"


def say(panel: Axes, words: str) -> None:
    """Print words in the middle of a panel that has nothing else to show."""
    place = {"ha": "center", "va": "center", "transform": panel.transAxes}
    panel.text(0.5, 0.5, words, color=FAINT, fontsize=8, style="italic", **place)
