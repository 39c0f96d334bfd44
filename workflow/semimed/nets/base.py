"""What a backbone is, and how it is built."""

import functools
import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import BadInput, nearest

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green and blue in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


def mixed_precision(forward):
    """Run a module's ``forward`` under bf16 autocast on a GPU and return float32.

    Losses and similarities stay float32 and no cast weight survives an optimiser step, because autocast is entered
    here and nowhere else. A part called from inside a whole network shares the network's autocast.
    """

    @functools.wraps(forward)
    def wrapped(self, *inputs):
        device = next(self.parameters()).device.type
        if device != "cuda" or not self.bf16 or torch.is_autocast_enabled(device):
            return forward(self, *inputs)
        with torch.autocast(device, dtype=torch.bfloat16):
            outputs = forward(self, *inputs)
        return tuple(value.float() for value in outputs) if isinstance(outputs, tuple) else outputs.float()

    return wrapped


class Part(nn.Module):
    """An encoder, decoder or head: callable on its own, in bf16 inside and float32 outside (on a GPU)."""

    bf16 = True


class ImageNetNormalisation(nn.Module):
    """Images in [0, 1] as ImageNet's networks see them: minus the mean, over the standard deviation of each channel.

    It stands at the start of an encoder, so that views, mixing and entropies outside see [0, 1]. A grey image takes the
    averages over the three channels. Raises ``BadInput`` for other numbers of channels.
    """

    def __init__(self, channels: int):
        super().__init__()
        if channels not in (1, 3):
            raise BadInput(f"backbone: ImageNet normalisation is for 1 or 3 channels, images have {channels}; change backbone")
        # Constants, so not persistent: they belong in no checkpoint.
        for name, values in (("mean", torch.tensor(IMAGENET_MEAN)), ("std", torch.tensor(IMAGENET_STD))):
            self.register_buffer(name, (values if channels == 3 else values.mean()).view(-1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return images (B, C, H, W) normalised."""
        return (image - self.mean) / self.std


class Backbone(nn.Module):
    """The network a method is built around.

    ``encoder(image)`` gives a tuple of features, fine to coarse; ``decoder(features)`` the last feature;
    ``head(feature)`` logits. ``channels`` are the encoder's feature channels. Methods build further decoders with
    ``make_decoder(kind)`` and further heads on ``decoder.channels``. One for classification has instead
    ``feature(image)``, a vector per image, and ``classify(feature)``, logits. A backbone that can start from a file of
    weights has an option ``pretrained`` and a method ``load_pretrained(path)``.
    """

    bf16 = True
    task = "segmentation"
    dimensions: int  # of its images; the planner reads it from the source
    divisor = 1  # every spatial extent must be a multiple of it
    alternative: dict = {}  # options of a second network that is built otherwise (co-training wants two views)
    pretrained = False  # whether it starts from the weights that are configured for it, where there are any

    @mixed_precision
    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, *S) for images (B, C, *S)."""
        return self.head(self.decoder(self.encoder(image)))

    @mixed_precision
    def forward_with_feature(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and the encoder's coarsest feature."""
        features = self.encoder(image)
        return self.head(self.decoder(features)), features[-1]

    def embed(self, image: Tensor) -> Tensor:
        """Return one vector per image (B, D): the coarsest feature, averaged over space."""
        return self.encoder(image)[-1].float().flatten(2).mean(2)


def set_precision(method: nn.Module, precision: str) -> None:
    """Choose ``bf16`` or ``fp32`` for the inside of every network of a method (a GPU matter; the CPU computes in float32)."""
    for module in method.modules():
        if isinstance(module, (Backbone, Part)):
            module.bf16 = precision == "bf16"


def build_backbone(
    name: str, channels: int, classes: int, alternative=False, weights: str | Path | None = None, **options
) -> Backbone:
    """Return a freshly initialised backbone ``name`` for images of ``channels`` channels and ``classes`` classes.

    ``alternative`` builds it with the backbone's alternative options: another decoder for a second network. ``weights``
    is the file of its pretrained weights; a backbone that knows none, or has ``pretrained=False``, leaves it alone.
    """
    kind = backbone_class(name)
    network = kind(channels, classes, **{**options, **(kind.alternative if alternative else {})})
    if weights is not None and network.pretrained:
        network.load_pretrained(weights)
    return network


def backbone_class(name: str) -> type[Backbone]:
    """Return the class of the backbone in ``nets/<name>.py``."""
    module = importlib.import_module(f"{__package__}.{name}")
    return next(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Backbone) and v is not Backbone)


def check_option(option: str, word: str, known) -> None:
    """Raise ``BadInput`` unless a backbone's option is one of the known words."""
    if word not in known:
        raise BadInput(f"backbone: unknown {option} '{word}'{nearest(word, known)}")


def check_patch(patch, divisor: int) -> None:
    """Raise ``BadInput`` unless every side of the patch can be halved as often as the network needs."""
    if any(side % divisor for side in patch):
        sides = "x".join(map(str, patch))
        raise BadInput(f"recipe: patch {sides}: every side must be a multiple of {divisor} for this backbone; change the patch")
