"""Collaborative mean teacher (Shen et al., IJCAI 2023, sections 3.1 to 3.3), CMT: UCMT without UMIX.

Two students f1, f2 of different initialisation and a teacher f, the moving average of them (eq. 6). L = L_s +
lambda(t) (L_cps + L_mts): Dice on labelled samples (eq. 3), and on unlabelled ones Dice against the other student's (eq. 5)
and the teacher's (eq. 7) hard labels, none of which carries a gradient. The teacher predicts.

The defaults are the public code's. It averages L_cps and L_mts (in 3-D also L_s) over the students where the paper sums, and
ramps lambda up over 5 epochs, not the whole training, to 0.1 (the paper does not give it). Its teacher follows almost the
first student alone (0.99 and 0.01, momentum 0.99) where eq. 6 takes the mean of both (momentum 0.999): the mean of two
networks that were initialised apart need not segment anything, and did not where we tried it (``mixture`` "equal"). Eq. 3's
term of the teacher has no gradient and is left out, as in the code. Also from the code: labelled and unlabelled images pass
every network apart, each with its own batch statistics; the teacher is always in train mode and passes the labelled images
too, so its running statistics are of both; unlabelled images reach the students in two augmented views (3-D: labelled ones
too) and the teacher clean. Its 2-D code makes the second view from the first, an oversight: here they are independent, as in
its 3-D code. The teacher starts as a copy of f1 (code: weights of its own), which makes no difference after the first step.
U-Net and V-Net are initialised as PyTorch does by default; the public code draws their decoders from Kaiming's normal.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ..ema import Teacher
from ..losses import DICE, DiceName
from ..ramps import ramp_up
from .base import Method


@dataclass(frozen=True)
class Hyperparameters:
    dice: DiceName = "linear-sample"  # public code
    cross: bool = True  # L_cps; without it CMTv1 of Table 4
    mean_teacher: bool = True  # L_mts; without it CMTv2, whose teacher only predicts
    consistency: float = 0.1  # lambda_m, public code
    ramp: Literal["epochs", "whole"] = "epochs"  # of lambda(t): public code; "whole" training: section 3.3
    ramp_epochs: int = 5  # length of the ramp "epochs", public code
    pairs: Literal["released", "sum"] = "released"  # means over the students, of L_s in 3-D only; "sum": eqs. 3, 5, 7
    mixture: Literal["equal", "released"] = "released"  # what the teacher follows: 0.99 and 0.01 (public code); "equal": eq. 6
    momentum: float = 0.99  # of the teacher, public code; alpha = 0.999 in section 4.1
    buffers: Literal["own", "copy", "average"] = "own"  # the teacher's running statistics: own (public code), copy, average


class CollaborativeMeanTeacher(Method):
    """Two students and their teacher; the teacher is the headline."""

    outputs = ("teacher", "first", "second")

    @property
    def views(self) -> dict:
        if self.facts.dimensions == 2:
            return {"a": ("photometric", "unlabelled"), "b": ("photometric", "unlabelled")}
        return {"a": "blur", "b": "blur"}

    def construct(self, build):
        first, second = build(), build()
        self.teacher = Teacher(first, self.hyper.momentum, self.hyper.buffers)  # the first: it also embeds
        self.students = nn.ModuleList([first, second])

    def forward_students(self, images: list[Tensor]) -> list[Tensor]:
        """Return each student's logits of its own image."""
        return [student(image) for student, image in zip(self.students, images, strict=True)]

    def weight(self, t) -> float:
        """Return lambda(t)."""
        return self.hyper.consistency * ramp_up(self.hyper.ramp, t, self.facts, epochs=self.hyper.ramp_epochs)

    def pair_loss(self, logits: list[Tensor], first: Tensor, second: Tensor) -> Tensor:
        """Return the sum of both students' Dice losses against hard labels (B, *S), one for each."""
        dice = DICE[self.hyper.dice]
        return dice(logits[0].softmax(1), first) + dice(logits[1].softmax(1), second)

    def losses(self, labelled: list[Tensor], label: Tensor, unlabelled: list[Tensor], pseudo: Tensor, t) -> dict:
        """Return L_s, L_cps and L_mts, weighted; ``pseudo`` are the teacher's labels of the unlabelled samples."""
        hyper, released = self.hyper, self.hyper.pairs == "released"
        scale = 0.5 if released and self.facts.dimensions == 3 else 1.0
        terms = {"supervised": scale * self.pair_loss(labelled, label, label)}
        weight = self.weight(t) * (0.5 if released else 1.0)
        if hyper.cross:
            first, second = (logits.detach().argmax(1) for logits in unlabelled)
            terms["cross"] = weight * self.pair_loss(unlabelled, second, first)
        if hyper.mean_teacher:
            terms["mean_teacher"] = weight * self.pair_loss(unlabelled, pseudo, pseudo)
        return terms

    def forward_all(self, batch) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return both students' logits of labelled and of unlabelled samples, and the teacher's of both."""
        n, image = batch.labelled, batch.image
        a, b = batch.view("a"), batch.view("b")
        labelled = self.forward_students([image[:n]] * 2 if self.facts.dimensions == 2 else [a[:n], b[:n]])
        unlabelled = self.forward_students([view[len(view) - batch.unlabelled :] for view in (a, b)])
        return labelled, unlabelled, [self.teacher(image[:n]), self.teacher(image[n:])]

    def follow(self, t) -> None:
        """Let the teacher follow both students (eq. 6)."""
        first, second = self.students
        self.teacher.follow(first, t, second, share=0.5 if self.hyper.mixture == "equal" else 0.99)

    def step(self, batch, t):
        labelled, unlabelled, teacher = self.forward_all(batch)
        yield self.losses(labelled, batch.label, unlabelled, teacher[1].argmax(1), t)
        self.follow(t)

    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        network = self.teacher if output in (None, "teacher") else self.students[("first", "second").index(output)]
        return network(image).softmax(1)
