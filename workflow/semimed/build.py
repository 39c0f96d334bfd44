"""Build a method from a run's settings, and rebuild it from a checkpoint for prediction."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch

from . import checkpoint
from .errors import BadInput
from .machine import keep_memory
from .methods import method_class
from .methods.base import Method, settings
from .nets.base import backbone_class, build_backbone, check_patch, set_precision
from .randomness import seeded
from .training_set import Facts


def build_method(spec: dict, data, seed: tuple, pretrained: Path | None = None) -> Method:
    """Return a freshly initialised method; ``data`` has ``facts`` and, in a training job, the passes over the training set.

    Initial weights are a function of ``seed``, or those of the file ``pretrained`` where the backbone starts from it (a
    network that is rebuilt to take a checkpoint needs no such file). In a warm-up, which arms share, the hyper-parameters
    are the defaults.
    """
    kind = method_class(spec["method"])
    options = {key: value for key, value in spec["backbone"].items() if key != "weights"}
    name = options.pop("name")
    check_patch(spec["recipe"]["patch"], backbone_class(name).divisor)
    build = partial(build_backbone, name, data.facts.channels, len(data.facts.classes), weights=pretrained, **options)
    hyper = settings(kind, "Hyperparameters", spec.get("hyperparameters"), data.facts.task)
    with seeded(*seed, "initial weights"):
        method = kind(data, build, hyper, settings(kind, "Warmup", spec.get("warmup")))
    set_precision(method, spec["recipe"].get("precision", "bf16"))
    # Timing every convolution for a new shape pays off where shapes stay.
    torch.backends.cudnn.benchmark = method.fixed_shapes
    return method


def load_method(path, device: torch.device) -> tuple[Method, dict]:
    """Return the method of a finished run's checkpoint, in eval mode, and the checkpoint's content."""
    content = checkpoint.load(path)
    facts = Facts(**content["facts"])
    method = build_method(json.loads(content["spec"]), SimpleNamespace(facts=facts), ("prediction",))
    method.load_state_dict(content["method"])
    return method.to(device).eval(), content


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto`` (a GPU when there is one), ``cpu``, ``cuda`` or ``cuda:1``."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise BadInput(f"device: '{name}' is asked for, but {count} GPUs are visible; set `device:` to auto or cpu")
        torch.cuda.set_device(device)
    elif device.type == "cpu":
        keep_memory()
    return device
