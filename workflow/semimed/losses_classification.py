"""Classification losses. Logits are (B, K), targets (B,) with class indices, weights of the classes (K,).

Networks return float32 and nothing here changes the precision.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import BadInput

ClassWeight = Literal["none", "labelled", "isic-full"]
SquaredReduction = Literal["sum", "mean", "class-weighted"]

#: images per class of the whole of ISIC 2018 Task 3
ISIC_COUNTS = {"MEL": 1113, "NV": 6705, "BCC": 514, "AKIEC": 327, "BKL": 1099, "DF": 115, "VASC": 142}


def class_weights(facts, kind: ClassWeight) -> Tensor | None:
    """Return weights (K,) that fall with a class's frequency, or ``None`` for ``none``.

    ``isic-full`` is 10,000 / n of the whole of ISIC 2018, as in the public code of SRC-MT and RAC-MT; it looks at the
    labels of test images. ``labelled`` is N / n of the N labelled images, of about the same scale; an absent class counts
    as having one image. Raises ``BadInput`` for ``isic-full`` with a class that is none of ISIC 2018's.
    """
    if kind == "none":
        return None
    if kind == "labelled":
        counts = torch.tensor(facts.class_counts, dtype=torch.float32)
        return counts.sum() / counts.clamp(min=1)
    if unknown := [name for name in facts.classes if name not in ISIC_COUNTS]:
        raise BadInput(
            f"class_weight isic-full in hyperparameters with the class {unknown[0]}: it is for the classes of isic2018-cls; "
            "choose labelled or none"
        )
    return 10_000 / torch.tensor([ISIC_COUNTS[name] for name in facts.classes], dtype=torch.float32)


def classification_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None, double_softmax: bool = False) -> Tensor:
    """Return the mean cross entropy, with ``weights`` w the weighted mean sum(w_y l) / sum(w_y).

    ``double_softmax`` takes the probabilities for logits, a quirk of the public code of SRC-MT and RAC-MT: the loss of a
    confident prediction then stays above log(e + K - 1) - 1.
    """
    return F.cross_entropy(logits.softmax(1) if double_softmax else logits, target.long(), weights)


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Return -sum_k p_k log softmax(z)_k of every sample, (B,); the target is not detached here."""
    return -(probabilities * logits.log_softmax(1)).sum(1)


def squared_difference(
    student_logits: Tensor, teacher_logits: Tensor, reduction: SquaredReduction = "sum", weights: Tensor | None = None
) -> Tensor:
    """Return |softmax student - softmax teacher|^2 of every sample, (B,), without gradient to the teacher.

    Over classes: ``sum`` (SRC-MT's code without its weights); ``mean``, K times less (Tarvainen and Valpola's code);
    ``class-weighted``, sum_k w_k d_k^2 (the code of SRC-MT and RAC-MT). A weight of the loss means nothing without it.
    Raises ``BadInput`` for ``class-weighted`` without weights.
    """
    squared = (student_logits.softmax(1) - teacher_logits.detach().softmax(1)) ** 2
    if reduction == "class-weighted":
        if weights is None:
            raise BadInput("reduction class-weighted in hyperparameters without class weights: set class_weight too")
        squared = squared * weights
    return squared.mean(1) if reduction == "mean" else squared.sum(1)
