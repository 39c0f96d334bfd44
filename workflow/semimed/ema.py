"""The teacher: an exponential moving average of a student."""

import copy

import torch
from torch import Tensor, nn

from .ramps import ema_momentum


class Teacher(nn.Module):
    """A copy of ``student`` that follows it: theta_T <- a theta_T + (1 - a) theta_S, a = min(1 - 1/(t + 1), momentum).

    ``buffers`` says what happens to batch normalisation's running statistics:
    ``own``: the teacher gathers its own, as in the public code; only for a teacher that is forwarded in train mode.
    ``copy``: it takes the student's. ``average``: they are averaged like parameters (counters are copied).
    """

    def __init__(self, student: nn.Module, momentum: float = 0.99, buffers: str = "own"):
        super().__init__()
        if buffers not in ("own", "copy", "average"):
            raise ValueError(f"buffers must be own, copy or average, not {buffers!r}")
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.momentum, self.buffers_mode = momentum, buffers

    def forward(self, image: Tensor) -> Tensor:
        """Return the teacher's logits without gradients; dropout and batch statistics follow the module's mode."""
        with torch.no_grad():
            return self.network(image)

    @torch.no_grad()
    def follow(self, student: nn.Module, t) -> None:
        """Move towards ``student``; ``t`` is the clock (or a step). At the first step the teacher becomes a copy."""
        weight = 1.0 - ema_momentum(getattr(t, "step", t), self.momentum)
        mine = list(self.network.parameters())
        torch._foreach_lerp_(mine, [p.detach() for p in student.parameters()], weight)
        if self.buffers_mode == "own":
            return
        for own, new in zip(self.network.buffers(), student.buffers(), strict=True):
            if self.buffers_mode == "average" and own.is_floating_point():
                own.lerp_(new, weight)
            else:
                own.copy_(new)
