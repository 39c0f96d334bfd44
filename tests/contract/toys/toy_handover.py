"""A first stage whose momentum is carried into the second, and a teacher that is evaluated but never trained on."""

from dataclasses import dataclass

from ..ema import Teacher
from ..losses import dice_cross_entropy, softmax_mse
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    consistency: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True)
class Warmup:
    dice: str = "linear-sample"


class ToyHandover(Method):
    """Student and teacher; the teacher is the headline."""

    dimensions = (3,)
    views = {"noisy": "noise"}
    outputs = ("teacher", "student")

    def construct(self, build):
        self.student = build()
        self.teacher = Teacher(self.student, self.hyper.momentum, "copy")

    def warmup_step(self, batch, t):
        logits = self.student(batch.image[: batch.labelled])
        yield {"supervised": dice_cross_entropy(logits, batch.label, self.warmup.dice)}

    def step(self, batch, t):
        logits = self.student(batch.view("noisy"))
        self.teacher.eval()
        target = self.teacher(batch.image[batch.labelled :])
        yield {
            "supervised": dice_cross_entropy(logits[: batch.labelled], batch.label),
            "consistency": self.hyper.consistency * softmax_mse(logits[batch.labelled :], target),
        }
        self.teacher.follow(self.student, t)

    def predict(self, image, output=None):
        return (self.student if output == "student" else self.teacher)(image).softmax(1)
