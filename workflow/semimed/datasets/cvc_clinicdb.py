"""CVC-ClinicDB: polyps in frames of colonoscopy videos (Bernal et al., CMIG 2015).

612 frames of 384 x 288 pixels, ``1.tif`` to ``612.tif``, in the order of the 29 video sequences they were taken from.
Frames of one sequence show the same polyp and differ little, so the sequence is the group. Several sequences may come
from one patient; which ones is not published.
"""

import bisect
from pathlib import Path

from ..errors import BadInput
from .phantoms.photographs import Look
from .photographs import Photographs

# The last frame of each sequence, as tabulated on the official page (polyp.grand-challenge.org/CVCClinicDB). Three
# public copies of the table and the folder names of CVC-ClinicVideoDB that quote first frame and length agree.
# fmt: off
LAST_FRAMES = (25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317, 342, 363, 383, 408, 428, 447, 466,
               478, 503, 528, 546, 571, 591, 612)
# fmt: on


class CVCClinicDB(Photographs):
    """One polyp in every frame; case ``007`` is frame 7, the group is its sequence."""

    name = "cvc-clinicdb"
    classes = ("background", "polyp")
    roots = ("CVC-ClinicDB", "")
    parts = ((("Original",), ("Ground Truth",)),)
    soft_masks = True  # copies with grey pixels along the edges are about
    look = Look(ground=(148, 78, 60), tint=(34, 32, 24), clutter="highlights")

    def case_id(self, name: str, file: Path) -> str:
        """Return the frame number with three digits."""
        if not (name.isascii() and name.isdigit() and 1 <= int(name) <= LAST_FRAMES[-1]):
            raise BadInput(f"no frame number from 1 to {LAST_FRAMES[-1]} in the name of {file}: move the file away")
        return f"{int(name):03d}"

    def group_of(self, case: str) -> str:
        """Return the video sequence, ``sequence01`` to ``sequence29``."""
        return f"sequence{bisect.bisect_left(LAST_FRAMES, int(case)) + 1:02d}"

    def phantom_files(self, index: int, cases: int) -> tuple[str, str]:
        """See ``Photographs.phantom_files``: frames spread over all sequences, so that few phantoms have many groups."""
        frame = index * LAST_FRAMES[-1] // cases + 1
        return f"CVC-ClinicDB/Original/{frame}.tif", f"CVC-ClinicDB/Ground Truth/{frame}.tif"
