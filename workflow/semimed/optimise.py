"""One training step: exhaust the method's generator of losses, one optimiser step per yield."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from .methods.base import Auxiliary, Method
from .ramps import learning_rate

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
MAIN = "main"


@dataclass
class Optimiser:
    """An optimiser with its schedule; group rates are base x factor x schedule(step)."""

    optimiser: torch.optim.Optimizer
    base: float
    schedule: dict
    parameters: list[nn.Parameter]

    def take_over(self, state: dict) -> None:
        """Take an earlier stage's state (momentum buffers, moments) and keep this stage's own options."""
        options = [{key: value for key, value in group.items() if key != "params"} for group in self.optimiser.param_groups]
        self.optimiser.load_state_dict(state)
        for group, own in zip(self.optimiser.param_groups, options, strict=True):
            group.update(own)

    def set_rate(self, step: int, steps: int, epochs: int | None = None) -> float:
        rate = learning_rate(self.schedule, self.base, step, steps, epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        return rate


def build_optimisers(method: Method, recipe: dict) -> dict[str, Optimiser]:
    """Return the method's own optimiser (``main``, from the recipe) and its auxiliary ones, by name.

    Raises ``ValueError`` when a parameter belongs to two of them.
    """
    declared = method.optimizers()
    taken: set[int] = set()
    built = {}
    for name, auxiliary in declared.items():
        built[name] = _build(auxiliary)
        ids = {id(parameter) for parameter in built[name].parameters}
        if taken & ids:
            raise ValueError(f"{type(method).__name__}.optimizers(): '{name}' shares parameters with another optimiser")
        taken |= ids
    rest = [p for p in method.parameters() if p.requires_grad and id(p) not in taken]
    return {MAIN: _build(Auxiliary(rest, recipe["optimiser"], recipe["schedule"])), **built}


def _build(auxiliary: Auxiliary) -> Optimiser:
    options = {key: value for key, value in auxiliary.optimiser.items() if key != "name"}
    plain = [p for p in auxiliary.parameters if not isinstance(p, dict)]
    groups = [{"params": plain, "factor": 1.0}] if plain else []
    groups += [{"factor": 1.0, **group} for group in auxiliary.parameters if isinstance(group, dict)]
    optimiser = OPTIMISERS[auxiliary.optimiser["name"]](groups, **options)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return Optimiser(optimiser, options["lr"], auxiliary.schedule, parameters)


def run_step(losses: Iterator, optimisers: dict[str, Optimiser], clip: float | None = None) -> dict[str, torch.Tensor]:
    """Exhaust one generator of losses; return every term, detached, by name (``critic/...`` for an auxiliary optimiser).

    At each yield the terms are summed, gradients cleared, the sum is differentiated with respect to that optimiser's
    parameters alone, and that optimiser steps. Nothing holds the graph when the generator goes on.
    """
    recorded = {}
    item = next(losses, None)
    while item is not None:
        name, terms = item if isinstance(item, tuple) else (MAIN, item)
        prefix = "" if name == MAIN else f"{name}/"
        optimiser = optimisers[name]
        loss = sum(terms.values())
        recorded |= {prefix + key: torch.as_tensor(value, device=loss.device).detach() for key, value in terms.items()}
        optimiser.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=[p for p in optimiser.parameters if p.requires_grad])
        if clip is not None:
            nn.utils.clip_grad_norm_(optimiser.parameters, clip)
        optimiser.optimiser.step()
        del item, terms, loss
        item = next(losses, None)
    return recorded
