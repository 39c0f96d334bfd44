"""Weights from torchvision's files: read without trust, taken whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BadInput


@torch.no_grad()
def pretrained_state(
    path: str | Path,
    own: dict[str, Tensor],
    first: str,
    classifier: set[str],
    remedy: str,
    rename: Callable[[str], str] = str,
) -> dict[str, Tensor]:
    """Return a network's state dict ``own``, in torchvision's names, with the values of the file ``path``.

    ``first`` names the first convolution: a network for grey images takes the sum of its three filters. ``classifier`` is in
    the file and left out, ``rename`` brings a name of the file up to date. The counters of batch normalisation may be
    absent, as they are in files older than the counters; nothing reads them. Raises ``BadInput``, which ends in ``remedy``,
    when the file cannot be read, when anything else is missing or unknown, and when a shape differs.
    """
    expected = {name: tuple(value.shape) for name, value in own.items()}
    expected[first] = (expected[first][0], 3, *expected[first][2:])
    state = {rename(name): value for name, value in _read(path, remedy).items()}
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    _check(path, "lacks", own.keys() - state.keys() - counters, remedy)
    _check(path, "has the unknown", state.keys() - own.keys() - classifier, remedy)
    taken = {name: value for name, value in state.items() if name not in classifier}
    wrong = {name for name, value in taken.items() if getattr(value, "shape", None) != expected[name]}
    _check(path, "has the wrong shape of", wrong, remedy)
    if own[first].shape[1] == 1:
        # A grey image is a colour one with three equal channels; the sum answers it as the three filters do.
        taken[first] = taken[first].sum(1, keepdim=True)
    return {**own, **taken}


def _read(path: str | Path, remedy: str) -> dict:
    """Return a file's state dict on the CPU, read without trust."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadInput(f"no pretrained weights {path}: {remedy}") from error
    except OSError as error:
        raise BadInput(f"pretrained weights {path} cannot be read ({error.strerror}): mend the file system") from error
    except Exception as error:  # a damaged pickle raises anything, from IndexError to struct.error
        raise BadInput(f"pretrained weights {path} are damaged or none of PyTorch's: {remedy}") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise BadInput(f"pretrained weights {path} are not a state dict: {remedy}")
    return state


def _check(path: str | Path, what: str, names: set[str], remedy: str) -> None:
    """Raise ``BadInput`` that names what is wrong with a state dict, if anything is."""
    if names:
        first, *others = sorted(names)
        more = f" and {len(others)} more" if others else ""
        raise BadInput(f"pretrained weights {path}: the file {what} '{first}'{more}; {remedy}")
