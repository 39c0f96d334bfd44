"""Sample relation consistency with a mean teacher (Liu et al., IEEE Transactions on Medical Imaging 2020), SRC-MT.

A mean teacher for classification that also keeps the relations between the samples of a batch. With A the (B, D) features
after dropout, G = A A' and R = G with every row divided by its norm, L_src = 1/B |R_student - R_teacher|^2 and
L = CE + w(t) (L_cons + beta L_src), both over labelled and unlabelled images in weak views of student and teacher. As R
depends on the batch, so does the scale of L_src.

From the public code: w(t) rises over 30 epochs, and both terms enter only after epoch 20, at 0.6376; the student is
evaluated. What differs by default, as in the other methods of ReCo's comparison (MICCAI 2024), is a switch: the code
weights the classes in both CE and L_cons by frequencies of the whole data set, takes a second softmax before CE, and the
teacher has its own running statistics.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses_classification import classification_loss, squared_difference
from ..ramps import gaussian
from .mt import Classification, MeanTeacher


@dataclass(frozen=True)
class Hyperparameters(Classification):
    relation: float = 1.0  # beta, public code
    start_epoch: int = 21  # the first epoch, from 0, with L_cons and L_src; public code


def relations(feature: Tensor) -> Tensor:
    """Return R (B, B), the rows of the Gram matrix of features (B, D) with norm 1; that of a zero feature stays 0."""
    return F.normalize(feature @ feature.T, dim=1, eps=1e-8)


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return L_src = 1/B |R_student - R_teacher|^2 of features (B, D), without gradient to the teacher."""
    return (relations(student) - relations(teacher.detach())).square().sum() / len(student)


class SampleRelationConsistency(MeanTeacher):
    """Student and teacher; the student is the headline."""

    tasks = ("classification",)

    def weight(self, t) -> float:
        """Return w(t), the ramped weight of both consistencies."""
        hyper = self.hyper
        return hyper.consistency * gaussian(t.epoch, hyper.ramp_epochs) if t.epoch >= hyper.start_epoch else 0.0

    def classification(self, batch, t) -> dict[str, Tensor]:
        hyper = self.hyper
        student, feature = self.student.forward_with_feature(batch.view("student"))
        # Before the first epoch of the consistencies too: a teacher with running statistics of its own gathers them here.
        with torch.no_grad():
            teacher, target = self.teacher.network.forward_with_feature(batch.view("teacher"))
        distance = squared_difference(student, teacher, hyper.reduction, self.weights).mean()
        labelled = student[: batch.labelled]
        return {
            "supervised": classification_loss(labelled, batch.label, self.weights, hyper.double_softmax),
            "consistency": self.weight(t) * distance,
            "relation": self.weight(t) * hyper.relation * relation_loss(feature, target),
        }
