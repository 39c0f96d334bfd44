"""CRAG: glands in H&E tiles of colorectal adenocarcinoma at 20x (Graham et al., MedIA 2019; version 2).

213 PNG tiles, mostly 1512 x 1516 pixels, 173 in ``train`` and 40 in ``valid`` (``test`` in other copies), each with a
picture of gland numbers. ``Overlay`` is for the eye only and not read.
"""

from .phantoms.photographs import Look
from .photographs import Photographs

MASKS = ("Annotation", "Annotations")


class CRAG(Photographs):
    """Gland against everything else; the tiles' patients are not published, so every tile is its own group."""

    name = "crag"
    classes = ("background", "gland")
    roots = ("CRAG_v2/CRAG", "CRAG", "")
    parts = tuple(
        (tuple(f"{part}/Images" for part in names), tuple(f"{part}/{masks}" for part in names for masks in MASKS))
        for names in (("train",), ("valid", "test"))
    )
    numbered_masks = True
    look = Look((222, 165, 195), (-55, -75, -30), "nuclei", objects=(3, 7), radius=(0.12, 0.2), vignette=0.0, lumen=True)

    def phantom_files(self, index: int, cases: int) -> tuple[str, str]:
        """See ``Photographs.phantom_files``: about a fifth of the phantoms are test tiles, as in the set."""
        test = cases // 5
        part, name = ("valid", f"test_{index + 1}") if index < test else ("train", f"train_{index - test + 1}")
        return f"{part}/Images/{name}.png", f"{part}/Annotation/{name}.png"
