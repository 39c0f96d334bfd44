"""Kvasir-SEG: polyps in colonoscopy images (Jha et al., MMM 2020).

1000 JPEG images from 332 x 487 to 1920 x 1072 pixels. The official masks are JPEG too, so that black and white come
with compression noise; many copies hold them as PNG.
"""

from .phantoms.photographs import Look
from .photographs import Photographs


class KvasirSeg(Photographs):
    """At least one polyp in every image."""

    name = "kvasir-seg"
    classes = ("background", "polyp")
    roots = ("Kvasir-SEG", "")
    parts = ((("images",), ("masks",)),)
    look = Look(ground=(168, 88, 68), tint=(30, 38, 26), clutter="highlights")

    def phantom_files(self, index: int, cases: int) -> tuple[str, str]:
        """See ``Photographs.phantom_files``."""
        return f"Kvasir-SEG/images/phantom{index:03d}.jpg", f"Kvasir-SEG/masks/phantom{index:03d}.jpg"
