"""Metrics of class probabilities over a set of cases, one row per class; the mean over the rows is what is printed.

Two conventions stand side by side, because the columns of published tables look alike and mean different things.
*Threshold* (``ovr018``; public code of SRC-MT and RAC-MT, ReCo's ISIC table): each class against the rest, a case is
positive for every class whose probability is 0.18 or more: for several classes, or for none. *Argmax* (``argmax``; ReCo's
NCT table): a case has the one class of highest probability, in a tie the first. In both, a rate over nothing (no case of
the class, none predicted) is 0.

ReCo's ISIC column "SREC" is specificity: were it precision, F1 could not be as low as printed (macro-F1 is at least
macro-precision + macro-recall - 1). Where public code differs: the specificity that PEFAT's prints as macro is the micro one
and its AUC is one-vs-one; ours are per class against the rest.
"""

import numpy as np

from ..errors import BadInput
from .metric import Metric

THRESHOLD = 0.18  # inclusive; public code of SRC-MT and RAC-MT
_SUM_TOLERANCE = 1e-3  # half precision rounds nine probabilities by less


def _rates(suffix: str, at: str, positive: str) -> list[Metric]:
    """Return the four rates of a convention; ``positive`` says when a case counts as positive for a class."""
    docs = {
        "sens": "sensitivity (recall): TP / (TP + FN)",
        "spec": "specificity (ReCo prints it as SREC): TN / (TN + FP)",
        "prec": "precision: TP / (TP + FP)",
        "f1": "2 TP / (2 TP + FP + FN)",
    }
    words = "mean over classes; positive:"
    return [
        Metric(f"{name}_{suffix}", f"{name.upper()}{at} (%)", "%", True, True, 2, f"{doc}, {words} {positive}", per_case=False)
        for name, doc in docs.items()
    ]


_ABOVE = "probability of the class at least 0.18"
_HIGHEST = "the class has the highest probability"
_OVR = "(TP + TN) / all cases, mean over classes; the many true negatives of each class count; positive: "

METRICS = {
    metric.name: metric
    for metric in (
        Metric("acc_ovr018", "ACC@0.18 (%)", "%", True, True, 2, _OVR + _ABOVE),
        *_rates("ovr018", "@0.18", _ABOVE),
        Metric("accuracy", "ACC (%)", "%", True, True, 2, "share of cases whose class has the highest probability"),
        *_rates("argmax", "", _HIGHEST),
        Metric("acc_argmax_ovr", "ACC, one-vs-rest (%)", "%", True, True, 2, _OVR + _HIGHEST),
        Metric("auc", "AUC (%)", "%", True, True, 2, "area under the ROC curve, class against rest, mean over classes", False),
        Metric("balanced_accuracy", "BACC (%)", "%", True, True, 2, "sensitivity; no number if a class has no case", False),
    )
}


def score(probabilities: np.ndarray, truth: np.ndarray, classes) -> list[dict]:
    """Return one row per class: ``class`` and every metric of ``METRICS`` as a fraction.

    ``probabilities`` (n, K) are the class probabilities of n cases, ``truth`` (n,) their classes as integers, ``classes`` the
    K names. ``accuracy`` is one number for all classes and stands in every row. ``auc`` of a class that no case has, or every
    case, and ``balanced_accuracy`` of a class that no case has, are NaN, and so is then the mean over the rows: a mean over
    the other classes would flatter. Raises ``BadInput`` for arrays that do not fit this.
    """
    probabilities, actual = _checked(probabilities, truth, len(classes))
    chosen = _chosen(probabilities)
    columns = _scores(probabilities >= THRESHOLD, actual, "acc_ovr018", "ovr018")
    columns["accuracy"] = np.full(len(classes), (chosen & actual).any(axis=1).mean())
    columns |= _scores(chosen, actual, "acc_argmax_ovr", "argmax")
    columns["auc"] = np.array([_auc(probabilities[:, k], actual[:, k]) for k in range(len(classes))])
    columns["balanced_accuracy"] = np.where(actual.any(axis=0), columns["sens_argmax"], np.nan)
    return [{"class": name} | {metric: float(columns[metric][k]) for metric in METRICS} for k, name in enumerate(classes)]


def score_cases(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Return (n,) values per case of the metrics that are means over cases, for paired tests; arguments as for ``score``.

    These are the three accuracies; one-vs-rest ones are the share of classes a case is on the right side of. The others
    have no value for one case.
    """
    width = np.shape(probabilities)[1] if np.ndim(probabilities) == 2 else 0
    probabilities, actual = _checked(probabilities, truth, width)
    chosen = _chosen(probabilities)
    return {
        "acc_ovr018": ((probabilities >= THRESHOLD) == actual).mean(axis=1),
        "accuracy": (chosen & actual).any(axis=1).astype(float),
        "acc_argmax_ovr": (chosen == actual).mean(axis=1),
    }


def _checked(probabilities, truth, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities as float64 and the truth one-hot, as boolean (n, K)."""
    probabilities, truth = np.asarray(probabilities), np.asarray(truth)
    if probabilities.ndim != 2 or probabilities.shape[1] != classes or classes < 2 or not len(probabilities):
        raise BadInput(
            f"array of shape {probabilities.shape} in the probabilities: give (n, K), K = {classes} classes (at least 2)"
        )
    if truth.shape != probabilities.shape[:1] or not np.issubdtype(truth.dtype, np.integer):
        raise BadInput(
            f"{truth.dtype} array of shape {truth.shape} in the truth: give {len(probabilities)} integers, one per case"
        )
    if truth.min() < 0 or truth.max() >= classes:
        wrong = truth[(truth < 0) | (truth >= classes)][0]
        raise BadInput(f"class {wrong} in the truth: give 0 to {classes - 1}")
    probabilities = probabilities.astype(np.float64)
    # written so that NaN fails both
    good = (probabilities >= 0).all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise BadInput(f"{probabilities[row].tolist()} in row {row} of the probabilities: give numbers from 0 that add up to 1")
    return probabilities, truth[:, None] == np.arange(classes)


def _chosen(probabilities: np.ndarray) -> np.ndarray:
    """Return boolean (n, K), true for the class of highest probability; of equal ones for the first."""
    return probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])


def _scores(positive: np.ndarray, actual: np.ndarray, accuracy: str, suffix: str) -> dict[str, np.ndarray]:
    """Return the one-vs-rest accuracy, under the name ``accuracy``, and the four rates, each (K,)."""
    hits = (positive & actual).sum(axis=0)
    false_alarms, misses = (positive & ~actual).sum(axis=0), (~positive & actual).sum(axis=0)
    rejections = len(actual) - hits - false_alarms - misses
    return {
        accuracy: (hits + rejections) / len(actual),
        f"sens_{suffix}": _rate(hits, hits + misses),
        f"spec_{suffix}": _rate(rejections, rejections + false_alarms),
        f"prec_{suffix}": _rate(hits, hits + false_alarms),
        f"f1_{suffix}": _rate(2 * hits, 2 * hits + false_alarms + misses),
    }


def _rate(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _auc(scores: np.ndarray, actual: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score  # slow to import, and tables only need the names above

    return float(roc_auc_score(actual, scores)) if 0 < actual.sum() < len(actual) else float("nan")
