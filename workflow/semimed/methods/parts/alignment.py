"""Distribution alignment (Berthelot et al., ReMixMatch, ICLR 2020), as CoMatch and SimMatch use it.

What is predicted on a weak view is divided by what is predicted on average, so that no class takes everything. K classes.
"""

from typing import Literal

import torch
from torch import Tensor, nn

DistributionTarget = Literal["uniform", "labelled-prior", "none"]
# The least average of a class: one that was never predicted is not lifted without bound.
SMALLEST = 1e-6


class DistributionAlignment(nn.Module):
    """p pi / mean(list), then sum 1, over the list of the last ``length`` batches' mean probabilities, this one included.

    ``target`` names pi: ``uniform`` (both papers), ``labelled-prior`` (the shares of the classes among the labelled images)
    or ``none`` (p as it is). Only what is filled is averaged, as in CoMatch's public code; SimMatch's averages the zeros
    of the rest as well, which the sum to 1 cancels. USB adds 1e-6 to both distributions, here an average is at least that.
    """

    def __init__(self, facts, length: int, target: DistributionTarget):
        super().__init__()
        self.target = target
        counts = torch.tensor(facts.class_counts, dtype=torch.float32)
        prior = counts / counts.sum() if target == "labelled-prior" else torch.ones(len(facts.classes))
        # Given by the facts, so in no checkpoint.
        self.register_buffer("prior", prior.clamp(min=SMALLEST), persistent=False)
        self.register_buffer("means", torch.zeros(length, len(facts.classes)))
        self.register_buffer(
            "count", torch.zeros((), dtype=torch.long)
        )  # batches so far; the next one's place is modulo length

    @torch.no_grad()
    def forward(self, probabilities: Tensor) -> Tensor:
        """Return probabilities (B, K) aligned, without gradient; the list takes their mean first."""
        if self.target == "none":
            return probabilities.detach()
        length = len(self.means)
        self.means.index_copy_(0, (self.count % length).view(1), probabilities.mean(0, keepdim=True))
        self.count += 1
        average = self.means.sum(0) / self.count.clamp(max=length)
        aligned = probabilities * (self.prior / average.clamp(min=SMALLEST))
        return aligned / aligned.sum(1, keepdim=True)
