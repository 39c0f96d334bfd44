"""The views of a batch: functions of float32 images (B, C, *S) to images of the same shape, each sample by its own draws.

Draws come from torch's global CPU generator (the engine seeds it before each view) and are then moved to the images, so
a GPU sees the same ones; only ``gaussian_noise`` draws where the images are. No view writes into its input; ``clean``
returns it. kornia costs every job 0.2 s of import and is therefore imported by the views that need it.
"""

from .classification import KINDS
from .segmentation import blur, gaussian_noise, morphology, photometric

__all__ = ["VIEWS", "gaussian_noise"]

VIEWS = {
    "clean": lambda image: image,
    "noise": gaussian_noise,
    "photometric": photometric,
    "blur": blur,
    "morphology": morphology,
    **KINDS,
}
