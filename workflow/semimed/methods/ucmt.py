"""Uncertainty-guided collaborative mean teacher (Shen et al., IJCAI 2023, Algorithm 1), UCMT.

Each iteration has two optimiser steps. The first is CMT's. The second is CMT's on images whose most uncertain regions were
overwritten by their most certain ones (UMIX, section 3.4): the ground truth and the teacher's labels of the original image
are mixed the same way, the students' pseudo-labels for L_cps are made afresh from the mixed image. The teacher follows
after each of the two, with the same t.

From the public code: U compares each student with the teacher on the first step's predictions, so from before its update
(Algorithm 1 has them after it) and on what each network saw there: labelled samples clean for all (2-D) or augmented for
the students (3-D), unlabelled ones augmented for the students and clean for the teacher. The image that is mixed is the
first student's view, of labelled samples too, and both students get the same one. ``mix`` "cutmix" is the comparison of
Fig. 3: boxes of the next sample of the batch, labelled with labelled and unlabelled with unlabelled (our reading; the code
only draws the boxes).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from .cmt import CollaborativeMeanTeacher
from .cmt import Hyperparameters as CollaborativeMeanTeacherHyperparameters
from .parts.umix import box_masks, cutmix, move_regions, region_scores, swaps, uncertainty


@dataclass(frozen=True)
class Hyperparameters(CollaborativeMeanTeacherHyperparameters):
    mix: Literal["umix", "cutmix"] = "umix"  # section 3.4; "cutmix": Fig. 3
    top_k: int = 2  # k, regions that each student's uncertainty moves, section 4.1.1
    regions: int = 16  # r, regions per axis in 2-D, section 4.1.1
    regions_3d: int = 8  # r in 3-D, public code; the text has 16 for both


class UncertaintyGuidedCollaborativeMeanTeacher(CollaborativeMeanTeacher):
    """Two students and their teacher; the teacher is the headline."""

    @property
    def views(self) -> dict:
        # Of the labelled samples too: the first view is what is mixed.
        return {**super().views, "a": "photometric" if self.facts.dimensions == 2 else "blur"}

    def mixing(self, students: list[Tensor], teacher: Tensor):
        """Return the function that mixes images (B, C, *S) as these logits (B, K, *S) ask for (CutMix: by chance)."""
        if self.hyper.mix == "umix":
            return self.umix(students, teacher)
        masks = box_masks(len(teacher), teacher.shape[2:], teacher.device)
        return lambda image: cutmix(image, masks)

    def umix(self, students: list[Tensor], teacher: Tensor):
        """Return the function that overwrites the most uncertain regions of images by their most certain ones."""
        regions = self.hyper.regions if self.facts.dimensions == 2 else self.hyper.regions_3d
        first, second = (region_scores(uncertainty(student, teacher), regions) for student in students)
        written, read = swaps(first, second, self.hyper.top_k)
        return lambda image: move_regions(image, written, read, regions)

    def step(self, batch, t):
        labelled, unlabelled, teacher = self.forward_all(batch)
        pseudo = teacher[1].argmax(1)
        mix_labelled, mix_unlabelled = self.mixing(labelled, teacher[0]), self.mixing(unlabelled, teacher[1])
        yield self.losses(labelled, batch.label, unlabelled, pseudo, t)
        self.follow(t)

        view, n = batch.view("a"), batch.labelled
        labelled = self.forward_students([mix_labelled(view[:n])] * 2)
        unlabelled = self.forward_students([mix_unlabelled(view[n:])] * 2)
        label, pseudo = mix_labelled(batch.label[:, None])[:, 0], mix_unlabelled(pseudo[:, None])[:, 0]
        terms = self.losses(labelled, label, unlabelled, pseudo, t)
        yield {f"{name}_mixed": loss for name, loss in terms.items()}
        self.follow(t)

    def illustrate(self, image: Tensor) -> dict[str, Tensor]:
        """Return U (eq. 8), the mean over both students, of images and of what UMIX makes of them (Fig. 5)."""

        def look(seen: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
            students, teacher = self.forward_students([seen, seen]), self.teacher(seen)
            return students, teacher, sum(uncertainty(student, teacher) for student in students) / 2

        students, teacher, before = look(image)
        mixed = self.umix(students, teacher)(image)
        return {"uncertainty": before, "mixed image": mixed, "uncertainty, mixed image": look(mixed)[2]}
