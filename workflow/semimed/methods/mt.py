"""Mean teachers are better role models (Tarvainen and Valpola, NeurIPS 2017), as in SSL4MIS.

The student matches, on unlabelled samples, an exponential moving average of itself that sees noisy input:
L = (CE + Dice) / 2 + w(t) mean (softmax student - softmax teacher)^2. The teacher stays in train mode (dropout, batch
statistics) and gathers its own running statistics, as in the public code; there it starts from weights of its own,
here as a copy, which makes no difference after the first step.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..ema import Teacher
from ..losses import DiceName, dice_cross_entropy, softmax_mse
from ..ramps import staircase
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "squared-class"  # SSL4MIS; "squared-foreground" in the left-atrium code of UA-MT
    consistency: float = 0.1  # w_max, SSL4MIS
    ramp_levels: int = 200  # stairs of w(t): 200 over 30,000 steps in SSL4MIS, 40 over 6,000 on the left atrium
    delay: int = 0  # steps without consistency; 1,000 in the 2-D code of SSL4MIS
    momentum: float = 0.99  # of the teacher, SSL4MIS
    buffers: Literal["own", "copy", "average"] = "own"  # the teacher's running statistics: own (public code), copy, average


class MeanTeacher(Method):
    """Student and teacher; the student is the headline."""

    views = {"teacher": ("noise", "unlabelled")}
    outputs = ("student", "teacher")

    def construct(self, build):
        self.student = build()
        self.teacher = Teacher(self.student, self.hyper.momentum, self.hyper.buffers)

    def weight(self, t) -> float:
        """Return w(t), the ramped weight of the consistency."""
        if t.step < self.hyper.delay:
            return 0.0
        return self.hyper.consistency * staircase(t.step, t.steps, self.hyper.ramp_levels)

    def step(self, batch, t):
        student = self.student(batch.image)
        teacher = self.teacher(batch.view("teacher"))
        yield {
            "supervised": dice_cross_entropy(student[: batch.labelled], batch.label, self.hyper.dice),
            "consistency": self.weight(t) * softmax_mse(student[batch.labelled :], teacher),
        }
        self.teacher.follow(self.student, t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        return (self.teacher if output == "teacher" else self.student)(image).softmax(1)
