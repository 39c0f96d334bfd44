"""ISIC 2018 Task 1: skin lesions in dermoscopic images (Codella et al., arXiv:1902.03368; Tschandl et al., 2018).

2594 JPEG images of many sizes, and masks {0, 255} as PNG.
"""

from .phantoms.photographs import Look
from .photographs import Photographs

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


class ISIC2018Seg(Photographs):
    """One lesion per image; the official lists do not say which images show the same lesion."""

    name = "isic2018-seg"
    classes = ("background", "lesion")
    parts = (((IMAGES,), (MASKS,)),)
    mask_ending = "_segmentation"
    look = Look(ground=(205, 160, 138), tint=(-70, -75, -60), clutter="hairs")

    def phantom_files(self, index: int, cases: int) -> tuple[str, str]:
        """See ``Photographs.phantom_files``."""
        return f"{IMAGES}/ISIC_{index:07d}.jpg", f"{MASKS}/ISIC_{index:07d}_segmentation.png"
