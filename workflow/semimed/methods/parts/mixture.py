"""Which losses are small: a mixture of two Gaussians in one dimension, as PEFAT fits to the losses of labelled samples."""

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

#: of the release
SETTINGS = {"n_components": 2, "max_iter": 50, "tol": 1e-2, "reg_covar": 5e-4}
ROUNDING = 1e-6  # losses that differ by less are equal but for the rounding of float32
# The least standard deviation that reg_covar leaves; components nearer than that are one.
COINCIDE = 5e-4**0.5


def min_max(values: Tensor) -> Tensor:
    """Return values scaled to [0, 1]; equal ones become 0."""
    return (values - values.min()) / (values.max() - values.min() + 1e-8)


class LossMixture(nn.Module):
    """Two Gaussians over min-max normalised losses; ``low`` is the component of the lower mean.

    ``usable`` is false before the first fit and after a degenerate one. All state is in buffers of final shape.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.full((2,), 0.5))
        self.register_buffer("means", torch.zeros(2))
        self.register_buffer("variances", torch.ones(2))
        self.register_buffer("low", torch.zeros((), dtype=torch.long))
        self.register_buffer("usable", torch.zeros((), dtype=torch.bool))

    def fit(self, losses: Tensor, seed: int) -> None:
        """Fit to losses (N,) of any device, with one copy to the host; ``seed`` is that of k-means, where EM starts.

        Degenerate, and so not ``usable``, where a loss is not finite, all are equal, or the two means coincide.
        """
        self.usable.fill_(False)
        losses = losses.detach().cpu().double()
        if not losses.isfinite().all() or losses.max() - losses.min() < ROUNDING:
            return
        fitted = GaussianMixture(**SETTINGS, random_state=seed).fit(min_max(losses).unsqueeze(1).numpy())
        for buffer, values in ((self.weights, "weights_"), (self.means, "means_"), (self.variances, "covariances_")):
            buffer.copy_(torch.from_numpy(getattr(fitted, values).reshape(2)))
        self.low.fill_(int(fitted.means_.argmin()))
        self.usable.fill_(bool(abs(fitted.means_[0, 0] - fitted.means_[1, 0]) > COINCIDE))

    def posterior(self, losses: Tensor) -> Tensor:
        """Return the probability (N,) that normalised losses (N,) are of the low component; 0 where not ``usable``."""
        squared = (losses.unsqueeze(1) - self.means) ** 2
        density = self.weights.log() - 0.5 * (self.variances.log() + squared / self.variances)
        return torch.where(self.usable, density.softmax(1).index_select(1, self.low.view(1)).squeeze(1), 0.0)
