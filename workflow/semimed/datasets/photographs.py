"""What the data sets of RGB photographs with a binary mask share: finding the pairs, reading, resizing, phantoms.

A data set of this kind is a small file of facts: its folders, its classes, and what its masks look like. Nothing here
turns an image after its EXIF orientation: the masks were drawn on the pixels as they are stored and carry no such
mark, so turning the image alone would tear the pair apart.
"""

import abc
import dataclasses
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import BadInput
from .base import DataSet, RawCase, Scan, check_label, check_options, check_shape, check_size
from .phantoms.photographs import Look, draw, save

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
FORMATS = ("JPEG", "PNG", "TIFF")  # no other decoder ever sees a file, whatever its name
NAMES = {
    "1": "1-bit",
    "L": "8-bit grey",
    "LA": "grey with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "RGB": "RGB",
    "RGBA": "RGB with transparency",
    "I;16": "16-bit grey",
    "I;16B": "16-bit grey",
    "I": "32-bit grey",
    "F": "floating-point grey",
}
NUMBERED = ("I;16", "I;16B", "I", "P")  # how object numbers are stored, beside "L" and "1"
BLURRED = 0.05  # share of pixels with a grey level in 32..223 that the edges of a compressed mask stay well below


class Photographs(DataSet):
    """Pairs of a photograph and a mask with the same name in folders of their own; no mm are known, so no spacing."""

    channels = 3
    memory = 3 * 2**27  # measured: 320 MiB for an image of 6748 x 4499 pixels
    # where below the raw folder the folders of `parts` may stand, the official place first
    roots: tuple[str, ...] = ("",)
    # for each part of the set: the names its image folder may have, and those its mask folder may have
    parts: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    mask_ending = ""  # what the name of a mask has beyond the name of its image
    numbered_masks = False  # mask values are object numbers: all but 0 are foreground
    partly_masked = False  # an image without a mask is an unlabelled case, not a mistake
    soft_masks = False  # masks may have grey edges even where the format keeps every value
    look: Look  # of the phantoms

    def case_id(self, name: str, file: Path) -> str:
        """Return the case id for a file name without ending; raises ``BadInput`` for a name the set does not have."""
        return name

    def group_of(self, case: str) -> str:
        """Return the group of a case: the case itself, where nothing better is known."""
        return case

    @abc.abstractmethod
    def phantom_files(self, index: int, cases: int) -> tuple[str, str]:
        """Return where image and mask of phantom ``index`` of ``cases`` stand in the raw folder."""

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``: every image has its mask, unless ``partly_masked``, every mask its image; the
        layout is the root, or ``.``.
        """
        by_hand = by_hand or "put the raw data there"
        for root in self.roots:
            folders = [(_only(raw, root, images), _only(raw, root, masks)) for images, masks in self.parts]
            if any(folder for pair in folders for folder in pair):
                break
        images, raw_cases = {}, []
        for pair, names in zip(folders, self.parts, strict=True):
            for folder, allowed in zip(pair, names, strict=True):
                if folder is None:
                    raise BadInput(f"no {' or '.join(allowed)} in {Path(raw) / root}: {by_hand}")
            for key, (image, mask) in self._pairs(*pair, by_hand).items():
                _add(images, key, image)
                case = self.case_id(image.stem, image)
                files = {"image": image} | ({"label": mask} if mask else {})
                raw_cases.append(RawCase(case, self.group_of(case), files))
        return root or ".", sorted(raw_cases, key=lambda raw_case: raw_case.case)

    def _pairs(self, images: Path, masks: Path, by_hand: str) -> dict[str, tuple[Path, Path | None]]:
        image_files, mask_files = self._pictures(images, "", by_hand), self._pictures(masks, self.mask_ending, by_hand)
        for kind, other, there, here, folder in (
            ("image", "mask", image_files, mask_files, masks),
            ("mask", "image", mask_files, image_files, images),
        ):
            alone = [str(file) for key, file in there.items() if key not in here]
            if alone and not (kind == "image" and self.partly_masked):
                more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
                raise BadInput(f"no {other} in {folder} for {alone[0]}{more}: get the set again, or move the {kind} away")
        return {key: (file, mask_files.get(key)) for key, file in image_files.items()}

    def _pictures(self, folder: Path, ending: str, by_hand: str) -> dict[str, Path]:
        """Return the picture files of a folder by case id in lower case, which is how some file systems compare names."""
        found = {}
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                _add(found, self.case_id(file.stem.removesuffix(ending), file).lower(), file)
        if not found:
            raise BadInput(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {folder}: {by_hand}")
        return found

    def read(self, raw_case: RawCase, layout: str) -> Scan:
        """See ``DataSet.read``: image uint8 (3, H, W), label uint8 (H, W) in {0, 1} or None, spacing None."""
        file, label_file = raw_case.files["image"], raw_case.files.get("label")
        image, label = read_image(file), None
        if label_file is not None:
            label = read_mask(label_file, self.numbered_masks, self.soft_masks)
            check_shape(image[0], label, label_file)
            check_label(label, (0, 1), label_file)
        return Scan(raw_case.case, raw_case.group, image, label, None, str(file))

    def prepare(self, scan: Scan, options: dict) -> Scan:
        """Return the scan at ``size`` [rows, columns], or as it is where ``size`` is left out.

        The image is resized as PIL does by default for RGB (bicubic, widened when shrinking, so it antialiases). The
        mask takes the nearest pixel. The public code of UCMT resizes masks with PIL's default as well and then takes
        everything above 0: the filter reaches beyond the edge, so its masks grow. Ours keep their size.
        """
        check_options(options, ("version", "size"), f"a preparation of {self.name}")
        if options.get("size") is None:
            return scan
        rows, columns = check_size(options["size"], f"a preparation of {self.name}")
        image = Image.fromarray(np.moveaxis(scan.image, 0, -1)).resize((columns, rows), Image.Resampling.BICUBIC)
        label = scan.label
        if label is not None:
            label = np.array(Image.fromarray(label).resize((columns, rows), Image.Resampling.NEAREST))
        return dataclasses.replace(scan, image=np.moveaxis(np.array(image), -1, 0), label=label)

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` synthetic pairs of about ``shape`` (H, W) drawn from ``seed`` in the official layout."""
        check_options(options, ("cases", "shape", "seed"), f"the phantom of {self.name}")
        for index in range(options["cases"]):
            image, objects = draw(np.random.default_rng([options["seed"], index]), tuple(options["shape"]), self.look)
            image_file, mask_file = self.phantom_files(index, options["cases"])
            save(Path(folder) / image_file, image)
            save(Path(folder) / mask_file, objects if self.numbered_masks else (objects > 0) * np.uint8(255))


def open_rgb(file: Path) -> Image.Image:
    """Return an 8-bit RGB picture, decoded; raises ``BadInput`` for any other kind and for a damaged file."""
    picture, kind = _open(file)
    if kind != "RGB":
        raise BadInput(f"{kind} image in {file}: 8-bit RGB is needed; convert it to 8-bit RGB, or get the file again")
    return picture


def channels_first(picture: Image.Image) -> np.ndarray:
    """Return the pixels of an RGB picture as uint8 (3, H, W), contiguous and read-only."""
    # Pillow packs one colour in the third of the time that NumPy takes to turn the axes.
    planes = b"".join([picture.tobytes("raw", colour) for colour in "RGB"])
    return np.frombuffer(planes, np.uint8).reshape(3, picture.height, picture.width)


def read_image(file: Path) -> np.ndarray:
    """Return an 8-bit RGB picture as uint8 (3, H, W); raises ``BadInput`` for any other kind and for a damaged file."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(open_rgb(file)), -1, 0))


def read_mask(file: Path, numbered: bool = False, soft: bool = False) -> np.ndarray:
    """Return a mask as uint8 (H, W) in {0, 1}.

    A lossless mask has the values {0, 255} or {0, 1}. A JPEG mask, or any mask where ``soft``, is cut above 127,
    unless too many pixels lie in between for compression noise or soft edges (a third level on fewer pixels goes
    unseen in a JPEG). Where ``numbered``, every value but 0 is foreground. Raises ``BadInput`` for colours, for more
    than two levels and for a damaged file.
    """
    picture, kind = _open(file)
    lossless = picture.format in ("PNG", "TIFF")
    levels = np.asarray(picture)
    if kind == "RGB":
        if np.ptp(levels, axis=-1).max() > (0 if lossless else 16):  # colour is stored apart from grey in a JPEG
            raise BadInput(f"coloured mask in {file}: grey is needed; save it as 8-bit grey, or get the file again")
        levels = levels[..., 0]
    elif picture.mode not in ("1", "L", *(NUMBERED if numbered else ())):
        raise BadInput(f"{kind} mask in {file}: save it as 8-bit grey, or get the file again")
    if numbered or picture.mode == "1":
        return (levels > 0).astype(np.uint8)
    counts = np.array(Image.fromarray(levels).histogram())
    present = np.flatnonzero(counts)
    if set(present) <= {0, 255} or (lossless and set(present) <= {0, 1}):
        return (levels > 0).astype(np.uint8)
    blurred = counts[32:224].sum() / levels.size
    if (lossless and (not soft or len(present) == 3)) or blurred > BLURRED:
        shown = ", ".join(map(str, present[:8])) + (", ..." if len(present) > 8 else "")
        raise BadInput(
            f"{len(present)} grey levels ({shown}) in the mask {file}, {blurred:.0%} of its pixels between black and white: "
            "background 0 and foreground 255 are needed; save it with two levels, or get the file again"
        )
    return (levels > 127).astype(np.uint8)


def _open(file: Path) -> tuple[Image.Image, str]:
    """Return the decoded picture and what kind it is in words (``RGB`` for 8-bit RGB)."""
    try:
        content = io.BytesIO(Path(file).read_bytes())
        picture = Image.open(content, formats=FORMATS)
        # Pillow itself only warns up to twice as many, and a JPEG of a few bytes may declare them
        if picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{picture.width} x {picture.height}")
        if picture.format == "PNG":
            picture.verify()  # check sums, which decoding alone does not look at; the other formats have none
            picture = Image.open(content, formats=FORMATS)
        # Pillow gives 16-bit RGB as 8-bit RGB: only the decoder's own word tells, and only before loading
        deep = picture.mode == "RGB" and any(";16" in str(tile.args) for tile in picture.tile)
        picture.load()
    except Image.DecompressionBombError as error:
        raise BadInput(f"too many pixels in {file} ({error}): get the file again, or move the image away") from error
    except UnidentifiedImageError as error:
        raise BadInput(f"damaged, truncated or unknown picture in {file}: get the file again") from error
    except Exception as error:  # Pillow's decoders raise errors of many kinds: all of them mean a bad file
        raise BadInput(f"damaged, truncated or unknown picture in {file} ({error}): get the file again") from error
    return picture, "16-bit RGB" if deep else NAMES.get(picture.mode, picture.mode)


def _only(raw: Path, root: str, names: tuple[str, ...]) -> Path | None:
    """Return the one folder that is there under any of its names, or None."""
    there = [Path(raw) / root / name for name in names if (Path(raw) / root / name).is_dir()]
    if len(there) > 1:
        raise BadInput(f"both {there[0]} and {there[1]} for the same pictures: move one of them away")
    return there[0] if there else None


def _add(found: dict[str, Path], key: str, file: Path) -> None:
    if key in found:
        raise BadInput(f"two files for one case, {found[key]} and {file}: move one of them away")
    found[key] = file
