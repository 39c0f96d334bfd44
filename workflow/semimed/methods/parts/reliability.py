"""Weights of samples learned by meta-learning (DS3L, Guo et al., ICML 2020; RAC-MT, Hang et al., MICCAI 2022).

A small network weighs every unlabelled sample. It learns from one virtual step of the student: theta' = theta - eta
grad_theta L(theta; w), after which the loss on labelled samples is differentiated with respect to the weight network.

The virtual student is a function of tensors and no module: its batch normalisation takes a batch's statistics, and what it
gathers goes into copies of the running ones.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

HIDDEN = 100  # public code of DS3L and RAC-MT
EPSILON = 1e-8


class WeightNetwork(nn.Module):
    """Probabilities (B, K) of samples to their weights (B,) in (0, 1): linear, ReLU, linear, sigmoid.

    The probabilities are detached: a weight is a constant to the student, in the virtual step as in the real one. (In the
    public codes of DS3L and RAC-MT the virtual step alone also differentiates the weights with respect to the student.)
    """

    def __init__(self, classes: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(classes, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1), nn.Sigmoid())

    def forward(self, probabilities: Tensor) -> Tensor:
        return self.layers(probabilities.detach()).squeeze(1)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return sum(w v) / sum(w) of values and weights (B,); weights that are all zero give 0 and finite gradients."""
    return (weights * values).sum() / weights.sum().clamp(min=EPSILON)


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters by name."""
    return dict(module.named_parameters())


def call(module: nn.Module, parameters: dict[str, Tensor], image: Tensor):
    """Return what the module makes of images with other parameters, in its own mode; its running statistics stay."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, {**parameters, **buffers}, (image,))


def virtual_step(parameters: dict[str, Tensor], loss: Tensor, rate: float) -> dict[str, Tensor]:
    """Return the parameters after one step of gradient descent on ``loss``, differentiable in all it was made of."""
    gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    return {name: value - rate * gradient for (name, value), gradient in zip(parameters.items(), gradients, strict=True)}
