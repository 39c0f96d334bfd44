"""The mixture of two Gaussians that PEFAT trusts by (worked example E2b), and the fits that mean nothing."""

import numpy as np
import pytest
import torch
from semimed.methods.parts.mixture import LossMixture, min_max
from semimed.methods.pefat import cross_view_losses
from sklearn.mixture import GaussianMixture
from test_pefat import FIRST, SECOND, double, near


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def mix(mixture, weights, means, variances):
    for buffer, values in ((mixture.weights, weights), (mixture.means, means), (mixture.variances, variances)):
        buffer.copy_(double(values))
    mixture.low.fill_(int(np.argmin(means)))
    mixture.usable.fill_(True)
    return mixture


def test_equal_losses_are_scaled_to_zero():
    assert torch.equal(min_max(torch.full((4,), 0.7)), torch.zeros(4))


@pytest.mark.parametrize("turned", [False, True])
def test_e2b_posterior(turned):
    order = slice(None, None, -1 if turned else 1)
    mixture = mix(LossMixture().double(), [0.7, 0.3][order], [0.1, 0.6][order], [0.01, 0.04][order])
    losses = cross_view_losses(double(FIRST), double(SECOND))[2]
    posterior = mixture.posterior(losses)
    assert near(posterior[0], 0.99609056) and (posterior[1:] < 1e-8).all() and (posterior > 0.7).tolist() == [1, 0, 0]


@pytest.mark.parametrize("apart", [True, False])
def test_the_mixture_is_scikit_learns_with_the_releases_settings(apart):
    losses = torch.cat([0.3 * torch.rand(70), 2 + 3 * torch.rand(30)]) if apart else torch.rand(200) ** 2
    mixture = LossMixture()
    mixture.fit(losses, 3)
    scaled = min_max(losses.double()).numpy()[:, None]
    wanted = GaussianMixture(2, max_iter=50, tol=1e-2, reg_covar=5e-4, random_state=3).fit(scaled)
    assert near(mixture.means, wanted.means_[:, 0]) and near(mixture.variances, wanted.covariances_[:, 0, 0])
    assert near(
        mixture.posterior(torch.tensor(scaled[:, 0]).float()), wanted.predict_proba(scaled)[:, wanted.means_.argmin()], 1e-5
    )
    assert mixture.usable
    again = LossMixture()
    again.load_state_dict(mixture.state_dict())
    assert torch.equal(again.posterior(losses), mixture.posterior(losses))


def test_the_low_component_is_that_of_the_lower_mean_in_either_order():
    losses, found = torch.cat([0.3 * torch.rand(70), 2 + 3 * torch.rand(30)]), set()
    for start in range(8):
        mixture = LossMixture()
        mixture.fit(losses, start)
        found.add(mixture.low.item())
        assert mixture.means[mixture.low] < mixture.means[1 - mixture.low] and mixture.posterior(torch.zeros(1)) > 0.99
    assert found == {0, 1}


def outliers(count=10_000):
    """A narrow bulk between two outliers: both components end up in its middle."""
    return torch.cat([0.5 + 0.01 * torch.randn(count), torch.tensor([0.0, 1.0])])


@pytest.mark.parametrize(
    "losses",
    [
        torch.full((8,), 0.4),
        torch.full((8,), 1.1) + 1e-7 * torch.arange(8),
        torch.tensor([0.1]),
        torch.tensor([0.1, 0.2, 2.0, torch.nan]),
        torch.tensor([0.1, 0.2, 2.0, torch.inf]),
        outliers(),
    ],
    ids=["equal", "rounding", "one", "nan", "infinite", "coincide"],
)
def test_a_degenerate_mixture_trusts_none(losses):
    mixture = mix(LossMixture(), [0.7, 0.3], [0.1, 0.6], [0.01, 0.04])
    assert mixture.posterior(torch.zeros(1)) > 0.7
    mixture.fit(losses, 0)
    assert not mixture.usable and torch.equal(mixture.posterior(torch.rand(5)), torch.zeros(5))
    mixture.fit(torch.tensor([0.0, 0.1, 2.0, 2.1]), 0)
    assert mixture.usable and mixture.posterior(torch.zeros(1)) > 0.7


def test_a_mixture_that_was_never_fitted_trusts_none():
    assert torch.equal(LossMixture().posterior(torch.rand(5)), torch.zeros(5))
