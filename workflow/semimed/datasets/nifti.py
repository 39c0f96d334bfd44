"""NIfTI files, ``.nii.gz`` or ``.nii``: read whole, or plane by plane where a volume would fill the memory.

Axes stay in stored order and the affine turns nothing. Spacing is what the header's ``pixdim`` says.
"""

import contextlib
import gzip
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import nibabel
import nibabel.imageglobals
import numpy as np

from ..errors import BadInput

PIECE = 2**20  # bytes
DEFLATE = 1032  # to 1: the most that gzip can pack, says zlib's documentation

# its remarks on what it mends in a header by itself; what it cannot use it raises
nibabel.imageglobals.logger.setLevel(logging.CRITICAL)


def either(file: Path) -> Path:
    """Return the ``.nii.gz`` file of that name, or its unpacked ``.nii`` where only that is there."""
    plain = file.with_suffix("")
    return plain if plain.is_file() and not file.is_file() else file


def read(file: Path, again: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return the array and the spacing in mm along its axes (checked where there are three).

    Raises ``BadInput``, which says ``again`` how to get the file, where it is damaged or has an impossible spacing.
    """
    _, spacing = header(file, again)
    with _telling(file, again), _opened(file) as stream:
        volume = np.asanyarray(nibabel.Nifti1Image.from_stream(stream).dataobj)
        _finish(stream)
    return volume, spacing


def header(file: Path, again: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return shape and spacing without reading the voxels; raises ``BadInput`` as ``read``."""
    with _telling(file, again), _opened(file) as stream:
        # the spacing as stored: nibabel would make 1 mm out of 0
        sizes = nibabel.Nifti1Header(stream.read(348), check=False)["pixdim"][1:4]
        stream.seek(0)
        image = nibabel.Nifti1Image.from_stream(stream)
        shape, kind = image.shape, image.get_data_dtype()
    if kind.kind not in "biuf":
        raise BadInput(f"voxels of type {kind} in {file}: one number each is needed; {again}")
    # nibabel sets up all the memory that the header asks for before it reads the first voxel
    most = file.stat().st_size * (DEFLATE if file.suffix == ".gz" else 1)
    if min(shape, default=0) < 1 or math.prod(shape) * kind.itemsize > most:
        raise BadInput(f"shape {shape} in {file}: the file cannot hold such a volume; {again}")
    spacing = tuple(round(float(size), 6) for size in sizes)
    if len(shape) == 3 and not all(0 < size < np.inf for size in spacing):
        raise BadInput(f"voxel spacing {spacing} in {file}: a positive number of mm for each axis is needed; {again}")
    return shape, spacing


def affine(file: Path, again: str) -> np.ndarray:
    """Return the affine (4, 4), voxel indices to mm, without reading the voxels; raises ``BadInput`` as ``read``."""
    with _telling(file, again), _opened(file) as stream:
        return nibabel.Nifti1Image.from_stream(stream).affine


def planes(file: Path, again: str) -> Iterator[np.ndarray]:
    """Yield the planes ``[:, :, 0]``, ``[:, :, 1]``, ... of a volume of three axes, holding one at a time.

    The first axis is stored fastest, so these planes, and no others, stand in the file one after another: unpacked once,
    from front to back. Raises ``BadInput`` as ``read``.
    """
    with _telling(file, again), _opened(file) as stream:
        volume = nibabel.Nifti1Image.from_stream(stream).dataobj
        for index in range(volume.shape[2]):
            yield volume[:, :, index]
        _finish(stream)


def write(file: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a ``.nii.gz`` file; equal content gives equal bytes."""
    # no time in gzip's header
    file.write_bytes(gzip.compress(nibabel.Nifti1Image(array, affine).to_bytes(), mtime=0))


def _opened(file: Path):
    # opened by us: a stream that nibabel opens by itself is closed after each plane and unpacked from the start for the next
    return gzip.open(file) if file.suffix == ".gz" else open(file, "rb")


def _finish(stream) -> None:
    """Read to the end: nibabel stops at the last voxel, so that nobody would look at gzip's checksum."""
    while stream.read(PIECE):
        pass


@contextlib.contextmanager
def _telling(file: Path, again: str):
    try:
        yield
    except Exception as error:  # nibabel lets through what its parsers and zlib raise: all of it means a bad file
        raise BadInput(f"damaged or truncated NIfTI in {file} ({error}): {again}") from error
