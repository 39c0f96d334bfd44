"""DenseNet-121 (Huang et al. 2017), MONAI's layers, with the pooled feature that classification methods work on."""

import re
from pathlib import Path

import torch.nn.functional as F
from monai.networks.nets import DenseNet
from torch import Tensor, nn

from .base import Backbone, ImageNetNormalisation, Part, mixed_precision
from .pretrained import pretrained_state

CLASSIFIER = {"classifier.weight", "classifier.bias"}  # of ImageNet's classes, in torchvision's file
REMEDY = "under `weights: densenet121:` give torchvision's DenseNet-121 file (IMAGENET1K_V1), or set `pretrained: false`"


class Encoder(Part):
    """The convolutional part: a map (B, C, h/32, w/32) after the last batch normalisation and before its ReLU."""

    def __init__(self, channels: int, stem: int, growth: int, blocks: tuple[int, ...], drop_rate: float):
        super().__init__()
        self.normalise = ImageNetNormalisation(channels)
        self.features = DenseNet(2, channels, 1, init_features=stem, growth_rate=growth, block_config=blocks).features
        if drop_rate:
            # MONAI's own dropout drops whole channels (Dropout2d); torchvision's and the public codes' drops single values.
            for name, layer in list(self.features.named_modules()):
                if re.search(r"denselayer\d+\.layers$", name):
                    layer.append(nn.Dropout(drop_rate))

    @mixed_precision
    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.features(self.normalise(image)),)


class DenseNet121(Backbone):
    """DenseNet-121: 6,953,856 parameters with three channels, and 1025 for every class.

    Images are in [0, 1] and normalised as on ImageNet inside. ``feature`` is what the classifier reads: the encoder's map
    through ReLU, average pooling and dropout. ``drop_rate`` is both the dropout after every dense layer and that of the
    feature, as in the public codes of SRC-MT, PEFAT and RAC-MT. ``stem``, ``growth`` and ``blocks`` make it smaller, for
    tests. ``pretrained`` takes the ImageNet weights that are configured, where there are any.

    The encoder alone computes in bf16 on a GPU: pooling and classifier cost nothing in float32.
    """

    task = "classification"
    dimensions = 2
    divisor = 32

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        drop_rate=0.0,
        pretrained=False,
        stem=64,
        growth=32,
        blocks=[6, 12, 24, 16],  # noqa: B006 (a list, as in a configuration; never changed)
    ):
        super().__init__()
        self.pretrained = pretrained
        self.encoder = Encoder(in_channels, stem, growth, tuple(blocks), drop_rate)
        self.channels = (self.encoder.features.norm5.num_features,)
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(self.channels[-1], classes)
        nn.init.zeros_(self.classifier.bias)

    def pool(self, feature_map: Tensor) -> Tensor:
        """Return the feature (B, C) of an encoder's map (B, C, h, w)."""
        return self.dropout(F.relu(feature_map).mean((2, 3)))

    def feature(self, image: Tensor) -> Tensor:
        """Return the feature (B, C) of images (B, 3, H, W)."""
        return self.pool(self.encoder(image)[-1])

    def classify(self, feature: Tensor) -> Tensor:
        """Return the logits (B, K) of features (B, C)."""
        return self.classifier(feature)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K) for images (B, 3, H, W)."""
        return self.classify(self.feature(image))

    def forward_with_feature(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and the feature (B, C) that they are made from."""
        feature = self.feature(image)
        return self.classify(feature), feature

    def embed(self, image: Tensor) -> Tensor:
        """Return the feature: one vector per image."""
        return self.feature(image)

    def load_pretrained(self, path: str | Path) -> None:
        """Take the encoder's weights from torchvision's state dict of a DenseNet-121, all of them or none.

        Raises ``BadInput`` for a file that does not fit, as ``pretrained_state`` does.
        """
        # MONAI holds a dense layer's parts in a further module, `layers`; everything else has torchvision's name.
        names = {name: "features." + name.replace(".layers.", ".") for name in self.encoder.features.state_dict()}
        own = {names[name]: value for name, value in self.encoder.features.state_dict().items()}
        state = pretrained_state(path, own, "features.conv0.weight", CLASSIFIER, REMEDY, up_to_date)
        self.encoder.features.load_state_dict({name: state[names[name]] for name in names})


def up_to_date(name: str) -> str:
    """Return the name of a parameter as torchvision has it today; its file still says ``denselayer1.norm.1.weight``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name)
