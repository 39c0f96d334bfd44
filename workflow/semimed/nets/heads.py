"""Heads that methods put beside a backbone's own."""

import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Linear, batch normalisation, ReLU, linear, then length 1: 99,200 parameters for 256 channels.

    PLGCL's; CoMatch, SimMatch and USB have none of the ``normalisation`` (1,180,800 parameters from 1024 to 128). It
    computes in float32 everywhere, on a GPU too: PLGCL's exponents reach 50 times the variance of what it returns.
    """

    def __init__(self, channels: int, dimensions: int = 128, normalisation: bool = True):
        super().__init__()
        between = [nn.BatchNorm1d(channels)] if normalisation else []
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), *between, nn.ReLU(inplace=True), nn.Linear(channels, dimensions)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Return embeddings (N, D) of length 1 for features (N, C)."""
        return F.normalize(self.layers(feature.float()), dim=1)
