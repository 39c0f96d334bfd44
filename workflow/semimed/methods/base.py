"""The base of every method: one class, one file, read beside its paper.

A method is an ``nn.Module`` whose ``state_dict`` is the whole of it. Its training step is a generator of losses:

    def step(self, batch, t):
        student = self.student(batch.view("student"))
        yield {"supervised": dice_cross_entropy(student[: batch.labelled], batch.label), "consistency": ...}
        self.teacher.follow(self.student, t)          # runs after the optimiser step

Each yield hands named, weighted terms to the method's own optimiser, or ``"critic", terms`` to an auxiliary one of
``optimizers()``. The hyper-parameters stand in a frozen dataclass ``Hyperparameters`` with literal defaults beside the
class, what the warm-up depends on in ``Warmup``; both are read from the source when the workflow is planned. A method for
both tasks whose papers differ has those in classification in ``Classification``.
"""

import abc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn

from ..losses import entropy
from ..nets.base import Backbone


@dataclass
class Clock:
    """Where training stands. ``step`` of ``steps`` in this stage, ``total`` counts the warm-up's steps too."""

    step: int
    steps: int
    total: int
    epoch: int
    starts_stage: bool
    starts_epoch: bool
    diagnostics: dict = field(default_factory=dict)

    def log(self, name: str, value: Tensor) -> None:
        """Record a detached diagnostic beside the losses; read from the device at the log interval only."""
        self.diagnostics[name] = value.detach()


@dataclass
class Auxiliary:
    """An optimiser beside the method's own: its parameters (or groups with a ``factor`` on the rate), kind and schedule."""

    parameters: list
    optimiser: dict
    schedule: dict = field(default_factory=lambda: {"name": "constant"})


class Method(nn.Module, abc.ABC):
    """``data`` has the training set's ``facts`` (and, in a training job, its passes); ``build(**options)`` a new backbone."""

    #: name -> kind of view (``views.VIEWS``), or (kind, "labelled") or (kind, "unlabelled") for those rows only
    views: dict = {}
    #: what it is written for
    tasks: tuple[str, ...] = ("segmentation",)
    #: of the samples it is written for
    dimensions: tuple[int, ...] = (2, 3)
    #: which checkpoint of a first stage is handed over: the one that validation selects, where cases exist, or the last
    warmup_checkpoint: str = "best"
    #: whether its networks see images of the same shape, batch included, at every step
    fixed_shapes: bool = True
    #: what can be predicted, the headline first
    outputs: tuple[str, ...] = ("prediction",)

    def __init__(self, data, build: Callable[..., nn.Module], hyper, warmup=None):
        super().__init__()
        self.facts, self.data = data.facts, data
        self.hyper, self.warmup = hyper, warmup
        self.construct(build)

    @abc.abstractmethod
    def construct(self, build: Callable[..., nn.Module]) -> None:
        """Make every network, buffer and bank, of final shape."""

    @abc.abstractmethod
    def step(self, batch, t: Clock) -> Iterator:
        """Yield the losses of one iteration; one of them is named ``supervised``."""

    @abc.abstractmethod
    def predict(self, image: Tensor, output: str | None = None) -> Tensor:
        """Return class probabilities (B, K, *S) for images (B, C, *S); the headline output by default.

        In classification (B, K) for (B, C, h, w). Called in eval mode and without gradients. Methods with a first stage
        also define ``warmup_step(batch, t)``.
        """

    def embed(self, image: Tensor) -> Tensor:
        """Return one vector per image (B, D): the first backbone's."""
        return next(module for module in self.modules() if isinstance(module, Backbone)).embed(image)

    def illustrate(self, image: Tensor) -> dict[str, Tensor]:
        """Return pictures of what the method makes of images (B, C, *S) by name: maps (B, *S) or images (B, C, *S).

        By default the predictive entropy of the headline in nats, as ``uncertainty``. Called as ``predict`` is.
        """
        return {"uncertainty": entropy(self.predict(image))}

    def optimizers(self) -> dict[str, Auxiliary]:
        """Return auxiliary optimisers by name; every other trainable parameter belongs to the method's own."""
        return {}


def settings(kind: type[Method], name: str, values: dict | None, task: str = "segmentation"):
    """Return the method's ``Hyperparameters`` or ``Warmup`` with ``values`` over its defaults; ``None`` if it has none.

    In classification a method's ``Classification`` stands for its ``Hyperparameters``, where it has one.
    """
    names = ("Classification", name) if (name, task) == ("Hyperparameters", "classification") else (name,)
    # A subclass without settings of its own has its parent's, as in the registry.
    for parent in kind.__mro__:
        own = {key: cls for key, cls in vars(sys.modules[parent.__module__]).items() if key in names}
        found = next((own[key] for key in names if key in own and own[key].__module__ == parent.__module__), None)
        if found is not None:
            return found(**(values or {}))
    return None
