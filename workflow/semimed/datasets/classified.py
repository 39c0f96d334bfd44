"""What the data sets of RGB pictures with one class each share: reading, resizing, and finding the files."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import BadInput
from .base import DataSet, RawCase, Scan, check_options, check_size
from .photographs import SUFFIXES, channels_first, open_rgb


class Classified(DataSet):
    """Pictures of one class each, all resized to one size, so that they stand in one array; no mm are known."""

    task = "classification"
    channels = 3

    def size(self, options: dict) -> tuple[int, int]:
        """Return the rows and columns of a preparation; raises ``BadInput`` for options that are wrong.

        Its other options: ``version``, raised by hand, and ``skip_damaged`` (false unless given), which leaves out pictures
        that cannot be used instead of stopping at the first.
        """
        where = f"a preparation of {self.name}"
        check_options(options, ("version", "size", "skip_damaged"), where)
        if not isinstance(options.get("skip_damaged", False), bool):
            raise BadInput(f"skip_damaged {options['skip_damaged']!r} in {where}: give true or false")
        return check_size(options.get("size"), where)

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image uint8 (3, H, W) as stored, label uint8 (), spacing None."""
        return _scan(raw_case, open_rgb(raw_case.files["image"]))

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan at ``size`` [rows, columns], whatever its aspect.

        The image is resized by PIL's bilinear filter, which is widened when shrinking, so it antialiases: what torchvision's
        Resize does to a picture, and with it the public code of SRC-MT, RAC-MT and PEFAT.
        """
        picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(scan.image, 0, -1)))
        image = channels_first(_resized(picture, self.size(options)))
        return Scan(scan.case, scan.group, image, scan.label, scan.spacing, scan.source)

    def read_prepared(self, raw_case: RawCase, layout: str, options: dict) -> Scan:
        """See ``DataSet.read_prepared``: without the arrays in between, which would cost as much as the decoding."""
        size = self.size(options)
        return _scan(raw_case, _resized(open_rgb(raw_case.files["image"]), size))


def pictures(folder: Path, by_hand: str) -> dict[str, Path]:
    """Return the picture files of a folder by name without ending, sorted.

    Raises ``BadInput`` where there is none, or where two differ in their ending or in upper and lower case only.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    found, seen = {}, {}
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() not in SUFFIXES:
            continue
        twin = seen.setdefault(stem.lower(), name)
        if twin != name:
            raise BadInput(f"two files for one case, {folder / twin} and {folder / name}: move one of them away")
        found[stem] = folder / name
    if not found:
        raise BadInput(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {folder}: {by_hand}")
    return found


def _scan(raw_case: RawCase, picture: Image.Image) -> Scan:
    label = None if raw_case.target is None else np.array(raw_case.target, np.uint8)
    return Scan(raw_case.case, raw_case.group, channels_first(picture), label, None, str(raw_case.files["image"]))


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    rows, columns = size
    if picture.size == (columns, rows):
        return picture
    return picture.resize((columns, rows), Image.Resampling.BILINEAR)
