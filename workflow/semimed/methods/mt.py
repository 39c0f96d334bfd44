"""Mean teachers are better role models (Tarvainen and Valpola, NeurIPS 2017), as in SSL4MIS.

The student matches, on unlabelled samples, an exponential moving average of itself that sees noisy input:
L = (CE + Dice) / 2 + w(t) mean (softmax student - softmax teacher)^2. The teacher stays in train mode (dropout, batch
statistics) and gathers its own running statistics, as in the public code; there it starts from weights of its own,
here as a copy, which makes no difference after the first step.

Two more readings are switches. UCMT's ablation (its Table 4, "TS + L_mts") has Dice losses against the teacher's hard labels,
the student on an augmented view of unlabelled images, the teacher on the clean one, and weights as in CMT (of which half in
2-D, where CMT averages L_mts over two students but not L_s). The official code of CPS, which UCMT cites for its MT, takes the
squared error with weight 100 from the start and no noise (there on labelled samples too, and the momentum has no warm-up).

In classification, as in SRC-MT's public code without its relation term: student and teacher see weak views of their own of
all images, and L = CE + w(t) mean |softmax student - softmax teacher|^2 over labelled and unlabelled images alike, w(t)
rising over 30 epochs to 1. The squared distance is summed over classes; Tarvainen and Valpola's code takes the mean over
classes, with w up to 100 after 5 epochs, and SRC-MT's weights the classes. There the teacher has running statistics of its
own; here it takes the student's, unless ``buffers`` says otherwise.

Which output is the headline of an arm is the study's to say: SRC-MT's code evaluates the student, the paper the teacher.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..ema import Teacher
from ..losses import DiceName, LossName, segmentation_loss, softmax_mse
from ..losses_classification import ClassWeight, SquaredReduction, class_weights, classification_loss, squared_difference
from ..ramps import RampName, gaussian, ramp_up
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-class"  # SSL4MIS; "squared-foreground" in the left-atrium code of UA-MT
    loss: LossName = "dice-cross-entropy"  # SSL4MIS; "dice" in UCMT, "cross-entropy" in CPS's code
    consistency: float = 0.1  # w_max, SSL4MIS; 100 in CPS's code
    consistency_loss: Literal["mse", "hard-dice"] = "mse"  # SSL4MIS, CPS's code; "hard-dice": UCMT Table 4
    view: Literal["noise", "clean", "photometric"] = (
        "noise"  # noise for the teacher (SSL4MIS); no views (CPS's code); UCMT's view (2-D colours, 3-D blur) for the student
    )
    together: bool = True  # labelled and unlabelled samples share batch statistics (SSL4MIS); not in UCMT's and CPS's code
    ramp: RampName = "stairs"  # SSL4MIS; "epochs" in UCMT's code
    ramp_levels: int = 200  # stairs of w(t): 200 over 30,000 steps in SSL4MIS, 40 over 6,000 on the left atrium; 0: no ramp
    ramp_epochs: int = 5  # length of the ramp "epochs", UCMT's code
    delay: int = 0  # steps without consistency; 1,000 in the 2-D code of SSL4MIS
    momentum: float = 0.99  # of the teacher, SSL4MIS
    buffers: Literal["own", "copy", "average"] = "own"  # the teacher's running statistics: own (public code), copy, average


@dataclass(frozen=True)
class Classification:
    consistency: float = 1.0  # w_max, SRC-MT's code; 100 in Tarvainen and Valpola's, with "mean"
    reduction: SquaredReduction = "sum"  # over classes; "class-weighted" in SRC-MT's code, "mean" in Tarvainen and Valpola's
    ramp_epochs: int = 30  # length of the ramp, SRC-MT's code; 5 in Tarvainen and Valpola's; 0: no ramp
    class_weight: ClassWeight = "none"  # of CE, and of "class-weighted"; "isic-full" in SRC-MT's code
    double_softmax: bool = False  # cross entropy of the probabilities, in SRC-MT's code
    momentum: float = 0.99  # of the teacher, SRC-MT
    buffers: Literal["own", "copy", "average"] = "copy"  # the teacher's running statistics; "own" in SRC-MT's code


class MeanTeacher(Method):
    """Student and teacher; the student is the headline."""

    tasks = ("segmentation", "classification")
    outputs = ("student", "teacher")

    @property
    def classifies(self) -> bool:
        return isinstance(self.hyper, Classification)

    @property
    def views(self) -> dict:
        if self.classifies:
            return {"student": "weak", "teacher": "weak"}
        kind = "photometric" if self.facts.dimensions == 2 else "blur"
        return {"teacher": ("noise", "unlabelled"), "student": (kind, "unlabelled")}

    def construct(self, build):
        self.student = build()
        self.teacher = Teacher(self.student, self.hyper.momentum, self.hyper.buffers)
        if self.classifies:
            self.register_buffer("weights", class_weights(self.facts, self.hyper.class_weight), persistent=False)

    def weight(self, t) -> float:
        """Return w(t), the ramped weight of the consistency in segmentation."""
        hyper = self.hyper
        if t.step < hyper.delay:
            return 0.0
        return hyper.consistency * ramp_up(hyper.ramp, t, self.facts, hyper.ramp_levels, hyper.ramp_epochs)

    def student_logits(self, batch) -> Tensor:
        """Return the student's logits, labelled rows (always of the clean image) first."""
        n, image = batch.labelled, batch.image
        if self.hyper.view == "photometric":
            image = torch.cat([image[:n], batch.view("student")])
        if self.hyper.together:
            return self.student(image)
        return torch.cat([self.student(image[:n]), self.student(image[n:])])

    def consistency(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the distance of the student's to the teacher's logits on unlabelled samples."""
        if self.hyper.consistency_loss == "mse":
            return softmax_mse(student, teacher)
        return segmentation_loss(student, teacher.argmax(1), "dice", self.hyper.dice)

    def segmentation(self, batch, t) -> dict[str, Tensor]:
        """Return the terms for samples with a class per voxel."""
        n, hyper = batch.labelled, self.hyper
        student = self.student_logits(batch)
        teacher = self.teacher(batch.view("teacher") if hyper.view == "noise" else batch.image[n:])
        return {
            "supervised": segmentation_loss(student[:n], batch.label, hyper.loss, hyper.dice),
            "consistency": self.weight(t) * self.consistency(student[n:], teacher),
        }

    def classification(self, batch, t) -> dict[str, Tensor]:
        """Return the terms for images with one class."""
        hyper = self.hyper
        student, teacher = self.student(batch.view("student")), self.teacher(batch.view("teacher"))
        distance = squared_difference(student, teacher, hyper.reduction, self.weights).mean()
        labelled = student[: batch.labelled]
        return {
            "supervised": classification_loss(labelled, batch.label, self.weights, hyper.double_softmax),
            "consistency": hyper.consistency * gaussian(t.epoch, hyper.ramp_epochs) * distance,
        }

    def step(self, batch, t):
        yield self.classification(batch, t) if self.classifies else self.segmentation(batch, t)
        self.teacher.follow(self.student, t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return (self.teacher if output == "teacher" else self.student)(image).softmax(1)
