"""One step: every yield moves its own parameters, and nothing outlives it."""

import weakref

import pytest
import torch
from semimed.methods.base import Auxiliary, Method
from semimed.optimise import build_optimisers, run_step
from torch import nn

SGD = {"name": "sgd", "lr": 0.1}


class Bare(Method):
    """Numbers instead of networks."""

    def construct(self, build):
        self.student, self.other = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(2.0))
        self.third, self.fourth = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(4.0))
        self.auxiliary = {}

    def step(self, batch, t):
        yield {"supervised": self.student**2}

    def optimizers(self):
        return self.auxiliary

    def predict(self, image, output=None):
        return image


class Data:
    facts = None


def bare(**auxiliary) -> Bare:
    method = Bare(Data, None, None)
    method.auxiliary = {name: make(method) for name, make in auxiliary.items()}
    return method


def optimisers(method, **recipe):
    return build_optimisers(method, {"optimiser": SGD, "schedule": {"name": "constant"}, **recipe})


class Probe(torch.autograd.Function):
    """The identity; its graph node holds an object that dies with the graph."""

    @staticmethod
    def forward(ctx, value, probe):
        ctx.probe = probe
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def test_nothing_holds_the_graph_between_yields():
    class Held:
        pass

    method, seen = bare(), []

    def losses():
        for _ in range(2):
            probe = Held()
            alive = weakref.ref(probe)
            terms = {"supervised": Probe.apply(method.student * 2, probe) ** 2}
            del probe
            assert alive() is not None
            yield {"supervised": terms.pop("supervised")}
            seen.append(alive())

    run_step(losses(), optimisers(method))
    assert seen == [None, None]


def test_a_yield_moves_its_own_parameters_only():
    method = bare(critic=lambda m: Auxiliary([m.other], SGD))

    def losses():
        yield {"supervised": method.student * method.other}
        yield "critic", {"game": method.student * method.other}

    terms = run_step(losses(), optimisers(method))
    assert method.student.item() == pytest.approx(1 - 0.1 * 2) and method.other.item() == pytest.approx(2 - 0.1 * 0.8)
    assert {key: value.item() for key, value in terms.items()} == pytest.approx({"supervised": 2.0, "critic/game": 1.6})
    assert not any(value.requires_grad for value in terms.values())
    assert method.student.grad.item() == 2.0, "the critic's yield left a gradient on the student"


def test_terms_are_summed_gradients_cleared_and_clipped():
    method = bare()
    made = optimisers(method)
    for _ in range(2):
        run_step(iter([{"supervised": 3 * method.student, "more": 2 * method.student, "plain": 0.5}]), made)
    assert method.student.item() == pytest.approx(1 - 2 * 0.1 * 5, abs=1e-6)
    run_step(iter([{"supervised": 30 * method.student}]), made, clip=1.0)
    assert method.student.item() == pytest.approx(0 - 0.1 * 1, abs=1e-5)


def test_a_parameter_of_two_optimisers_is_refused():
    shared = bare(critic=lambda m: Auxiliary([m.other], SGD), weights=lambda m: Auxiliary([m.other], SGD))
    with pytest.raises(ValueError, match="'weights' shares parameters"):
        optimisers(shared)


def test_auxiliary_optimisers_have_kind_rate_schedule_and_factors():
    def make(method):
        groups = [{"params": [method.other], "factor": 10.0}]
        return Auxiliary(groups, {"name": "adam", "lr": 0.01, "betas": (0.5, 0.9)}, {"name": "step", "every": 2, "factor": 0.5})

    made = optimisers(bare(critic=make))
    assert list(made) == ["main", "critic"] and type(made["critic"].optimiser) is torch.optim.Adam
    assert made["critic"].set_rate(2, 8) == pytest.approx(0.005) and made["main"].set_rate(2, 8) == pytest.approx(0.1)
    group = made["critic"].optimiser.param_groups[0]
    assert group["lr"] == pytest.approx(0.05) and group["betas"] == (0.5, 0.9)


def test_parameter_groups_without_a_factor_stay_with_their_optimiser():
    made = optimisers(bare(critic=lambda m: Auxiliary([m.other, {"params": [m.third, m.fourth]}], SGD)))
    assert len(made["critic"].parameters) == 3 and len(made["main"].parameters) == 1
