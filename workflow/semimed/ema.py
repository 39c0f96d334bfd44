"""The teacher: an exponential moving average of a student, or of a mixture of two."""

import copy

import torch
from torch import Tensor, nn

from .ramps import ema_momentum


class Teacher(nn.Module):
    """A copy of ``student`` that follows it: theta_T <- a theta_T + (1 - a) theta_S, a = min(1 - 1/(t + 1), momentum).

    theta_S may be a mixture of two students. ``buffers`` says what happens to batch normalisation's running statistics:
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
    def follow(self, student: nn.Module, t, other: nn.Module | None = None, share: float = 0.5) -> None:
        """Move towards ``student``, or towards ``share`` of it and the rest of ``other``; ``t`` is the clock (or a step).

        At the first step the teacher becomes a copy of what it follows.
        """
        weight = 1.0 - ema_momentum(getattr(t, "step", t), self.momentum)
        mine, new = list(self.network.parameters()), [p.detach() for p in student.parameters()]
        if other is not None:
            new = torch._foreach_lerp([p.detach() for p in other.parameters()], new, share)
        torch._foreach_lerp_(mine, new, weight)
        if self.buffers_mode == "own":
            return
        for own, new, second in zip(self.network.buffers(), student.buffers(), (other or student).buffers(), strict=True):
            averaged = own.is_floating_point()
            if other is not None and averaged:
                new = second.lerp(new, share)
            if self.buffers_mode == "average" and averaged:
                own.lerp_(new, weight)
            else:
                own.copy_(new)
