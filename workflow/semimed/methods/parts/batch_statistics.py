"""Whose statistics batch normalisation takes, and which images move its running ones."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

BatchStatistics = Literal["joint", "labelled", "split"]
DEVICES = 4  # of ReCo's trainings, and with `DataParallel` the parts of a batch (A13)


@contextmanager
def evaluating(module: nn.Module):
    """Put a module into eval mode inside the block and give every part its own mode back after it."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def keeping_statistics(module: nn.Module):
    """Let batch normalisation use a batch's statistics inside the block, in any mode, without moving the running ones."""
    layers = {part: part.training for part in module.modules() if getattr(part, "track_running_stats", False)}
    for layer in layers:
        layer.track_running_stats, layer.training = False, True
    try:
        yield
    finally:
        for layer, training in layers.items():
            layer.track_running_stats, layer.training = True, training


def forward_in_parts(
    network: nn.Module,
    forward: Callable[[Tensor], tuple[Tensor, ...]],
    image: Tensor,
    labelled: int,
    parts: BatchStatistics,
) -> tuple[Tensor, ...]:
    """Return ``forward(image)``, tensors with B rows, of images (B, C, h, w) whose first ``labelled`` rows are labelled.

    Each part is normalised by its own statistics, and the first alone moves the running ones of ``network``, as in the
    public codes that train on several GPUs. ``joint``: one part; ``labelled``: labelled and unlabelled images; ``split``: four
    equal parts, as on four GPUs, of which 16 + 48 images leave the labelled ones to the first.
    """
    if parts == "joint":
        return forward(image)
    first, *rest = image.tensor_split([labelled]) if parts == "labelled" else image.chunk(DEVICES)
    outputs = [forward(first)]
    with keeping_statistics(network):
        outputs += [forward(part) for part in rest]
    return tuple(torch.cat(values) for values in zip(*outputs, strict=True))
