"""Mean teachers are better role models (Tarvainen and Valpola, NeurIPS 2017), as in SSL4MIS.

The student matches, on unlabelled samples, an exponential moving average of itself that sees noisy input:
L = (CE + Dice) / 2 + w(t) mean (softmax student - softmax teacher)^2. The teacher stays in train mode (dropout, batch
statistics) and gathers its own running statistics, as in the public code; there it starts from weights of its own,
here as a copy, which makes no difference after the first step.

Two more readings are switches. UCMT's ablation (its Table 4, "TS + L_mts") has Dice losses against the teacher's hard labels,
the student on an augmented view of unlabelled images, the teacher on the clean one, and weights as in CMT (of which half in
2-D, where CMT averages L_mts over two students but not L_s). The official code of CPS, which UCMT cites for its MT, takes the
squared error with weight 100 from the start and no noise (there on labelled samples too, and the momentum has no warm-up).
Which output is the headline of an arm is the study's to say.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..ema import Teacher
from ..losses import DiceName, LossName, segmentation_loss, softmax_mse
from ..ramps import RampName, ramp_up
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


class MeanTeacher(Method):
    """Student and teacher; the student is the headline."""

    outputs = ("student", "teacher")

    @property
    def views(self) -> dict:
        kind = "photometric" if self.facts.dimensions == 2 else "blur"
        return {"teacher": ("noise", "unlabelled"), "student": (kind, "unlabelled")}

    def construct(self, build):
        self.student = build()
        self.teacher = Teacher(self.student, self.hyper.momentum, self.hyper.buffers)

    def weight(self, t) -> float:
        """Return w(t), the ramped weight of the consistency."""
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

    def step(self, batch, t):
        n, hyper = batch.labelled, self.hyper
        student = self.student_logits(batch)
        teacher = self.teacher(batch.view("teacher") if hyper.view == "noise" else batch.image[n:])
        yield {
            "supervised": segmentation_loss(student[:n], batch.label, hyper.loss, hyper.dice),
            "consistency": self.weight(t) * self.consistency(student[n:], teacher),
        }
        self.teacher.follow(self.student, t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return (self.teacher if output == "teacher" else self.student)(image).softmax(1)
