"""What all sets of photographs share: reading pictures and masks, resizing, and every kind of bad file."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from semimed.datasets.base import Scan
from semimed.datasets.kvasir_seg import KvasirSeg
from semimed.datasets.photographs import read_image, read_mask
from semimed.errors import BadInput


def pixels(rows=24, columns=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)


def disc(rows=24, columns=32, value=255):
    y, x = np.ogrid[-rows / 2 : rows / 2, -columns / 2 : columns / 2]
    return (y**2 + x**2 < (rows / 4) ** 2).astype(np.uint8) * np.uint8(value)


def write(file, array, mode=None, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(file, **options)
    return file


def deep_png(rows=4, columns=5):
    """A 16-bit RGB PNG, which Pillow reads but does not write."""
    line, header = b"\0" + pixels(1, 2 * columns).tobytes(), struct.pack(">IIBBBBB", columns, rows, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(line * rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def raw(tmp_path):
    """Three images and masks as Kvasir-SEG has them."""
    for name in "abc":
        write(tmp_path / "images" / f"{name}.jpg", pixels())
        write(tmp_path / "masks" / f"{name}.png", disc())
    return tmp_path


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_image_is_read_as_stored(tmp_path, ending):
    image = read_image(write(tmp_path / f"x.{ending}", pixels()))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, np.moveaxis(pixels(), -1, 0))


def test_orientation_mark_does_not_turn_the_image_away_from_its_mask(tmp_path):
    mark = Image.Exif()
    mark[0x0112] = 6
    file = write(tmp_path / "x.jpg", pixels(), exif=mark)
    assert Image.open(file).getexif()[0x0112] == 6 and read_image(file).shape == (3, 24, 32)


KINDS = [
    ("L", "png", "8-bit grey"),
    ("LA", "png", "grey with transparency"),
    ("1", "png", "1-bit"),
    ("P", "png", "palette"),
    ("RGBA", "png", "RGB with transparency"),
    ("CMYK", "jpg", "CMYK"),
    ("I;16", "png", "16-bit grey"),
    ("F", "tif", "floating-point grey"),
]


@pytest.mark.parametrize("mode, ending, words", KINDS)
def test_other_kinds_of_image_are_named(tmp_path, mode, ending, words):
    if mode == "I;16":
        file = write(tmp_path / "x.png", disc().astype(np.uint16) * 200)
    else:
        file = write(tmp_path / f"x.{ending}", pixels(), mode)
    with pytest.raises(BadInput, match=rf"^{words} image in {file}: .*convert it to 8-bit RGB"):
        read_image(file)


def test_sixteen_bits_are_not_cut_to_eight(tmp_path):
    (tmp_path / "x.png").write_bytes(deep_png())
    assert Image.open(tmp_path / "x.png").mode == "RGB"
    with pytest.raises(BadInput, match="16-bit RGB image in"):
        read_image(tmp_path / "x.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
@pytest.mark.parametrize("lost", [1.0, 0.99, 0.5, 0.02, 30])
def test_truncated_pictures(tmp_path, ending, lost):
    file = write(tmp_path / f"x.{ending}", pixels())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) - (lost if isinstance(lost, int) else int(lost * len(whole)))])
    with pytest.raises(BadInput, match=rf"damaged, truncated or unknown picture in {file}.*: get the file again"):
        read_image(file)


def test_damaged_png_is_found_by_its_check_sum(tmp_path):
    file = write(tmp_path / "x.png", disc())
    broken = bytearray(file.read_bytes())
    broken[-14] ^= 1
    file.write_bytes(broken)
    with pytest.raises(BadInput, match="damaged"):
        read_mask(file)


def test_only_the_formats_of_the_sets_are_decoded(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "PPM")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    with pytest.raises(BadInput, match="unknown picture"):
        read_image(tmp_path / "x.png")
    with pytest.raises(BadInput, match=r"picture in .*gone\.jpg .*No such file"):
        read_image(tmp_path / "gone.jpg")


def test_pixel_bombs_are_not_decoded(tmp_path, monkeypatch):
    file = write(tmp_path / "x.png", disc())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 32 // 3)
    with pytest.raises(BadInput, match=rf"too many pixels in {file}"):
        read_mask(file)


@pytest.mark.parametrize("value, mode, ending", [(255, "L", "png"), (1, "L", "tif"), (255, "1", "png"), (255, "RGB", "tif")])
def test_lossless_masks(tmp_path, value, mode, ending):
    mask = read_mask(write(tmp_path / f"x.{ending}", disc(value=value), mode))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, disc(value=1))


@pytest.mark.parametrize("colours", [1, 3])
def test_compressed_masks_are_cut_in_the_middle(tmp_path, colours):
    grey = disc(200, 240)
    array = grey if colours == 1 else np.stack([grey, grey, grey - grey // 50], axis=-1)  # colour within the noise
    file = write(tmp_path / "x.jpg", array, quality=70)
    assert len(np.unique(np.array(Image.open(file)))) > 10
    np.testing.assert_array_equal(read_mask(file), disc(200, 240, 1))


def three_levels(rows=64, columns=64):
    mask = disc(rows, columns)
    mask[: rows // 4] = 128
    return mask


BAD_MASKS = [
    (three_levels(), None, "png", {}, r"3 grey levels \(0, 128, 255\) in the mask .*save it with two levels"),
    (three_levels(), None, "jpg", {}, r"grey levels \(.*2\d% of its pixels between black and white"),
    (three_levels(), None, "tif", {"soft": True}, r"3 grey levels \(0, 128, 255\) in the mask"),
    (disc(value=2), None, "png", {}, r"2 grey levels \(0, 2\) in the mask"),
    (pixels(), None, "png", {}, "coloured mask in .*save it as 8-bit grey"),
    (pixels(), None, "jpg", {}, "coloured mask in"),
    (disc(), "P", "png", {}, "palette mask in .*save it as 8-bit grey"),
    (disc().astype(np.uint16), None, "png", {}, "16-bit grey mask in"),
    (disc(), "LA", "png", {"numbered": True}, "grey with transparency mask in"),
]


@pytest.mark.parametrize("array, mode, ending, options, message", BAD_MASKS)
def test_masks_that_are_not_two_levels(tmp_path, array, mode, ending, options, message):
    file = write(tmp_path / f"x.{ending}", array, mode)
    with pytest.raises(BadInput, match=message) as caught:
        read_mask(file, **options)
    assert str(file) in str(caught.value)


def test_soft_edges_only_where_the_set_has_them(tmp_path):
    mask = disc(64, 64)
    mask[32, 15] = 127
    mask[32, 49] = 128
    file = write(tmp_path / "x.tif", mask)
    with pytest.raises(BadInput, match="4 grey levels"):
        read_mask(file)
    np.testing.assert_array_equal(read_mask(file, soft=True), mask > 127)
    np.testing.assert_array_equal(read_mask(write(tmp_path / "y.tif", disc(value=1)), soft=True), disc(value=1))


@pytest.mark.parametrize("dtype, mode", [(np.uint8, None), (np.uint16, None), (np.uint8, "P"), (np.uint8, "RGB")])
def test_object_numbers_are_foreground(tmp_path, dtype, mode):
    numbers = disc(value=1).astype(dtype)
    numbers[:3, :3] = 200 if dtype == np.uint8 else 256  # 256 has a low byte of zero
    picture = Image.fromarray(numbers)
    if mode == "P":
        picture.putpalette([0, 0, 0] + [7, 7, 7] * 255)
    elif mode == "RGB":
        picture = picture.convert("RGB")
    picture.save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "x.png", numbered=True), numbers > 0)


def test_read_gives_a_pair_without_spacing(raw):
    layout, cases = KvasirSeg().find(raw)
    scan = KvasirSeg().read(cases[1], layout)
    assert (scan.case, scan.group, scan.spacing, scan.source) == ("b", "b", None, str(raw / "images" / "b.jpg"))
    assert scan.image.shape == (3, 24, 32) and scan.image.dtype == np.uint8
    np.testing.assert_array_equal(scan.label, disc(value=1))


UNFIT = [(disc(32, 24), r"label of shape \(32, 24\) for an image of shape \(24, 32\) in"), (disc(value=0), "empty label in")]


@pytest.mark.parametrize("mask, message", UNFIT)
def test_masks_that_do_not_fit(raw, mask, message):
    write(raw / "masks" / "a.png", mask)
    layout, cases = KvasirSeg().find(raw)
    with pytest.raises(BadInput, match=message) as caught:
        KvasirSeg().read(cases[0], layout)
    assert str(raw / "masks" / "a.png") in str(caught.value)


def pair(rows, columns):
    return Scan(
        "a", "a", np.ascontiguousarray(np.moveaxis(pixels(rows, columns), -1, 0)), disc(rows, columns, 1), None, "a.jpg"
    )


def test_resizing_keeps_image_and_mask_together():
    scan = pair(300, 400)
    assert KvasirSeg().prepare(scan, {"version": 1}) is scan  # its own size where none is given
    scan.image[:] = 40 + 160 * scan.label
    prepared = KvasirSeg().prepare(scan, {"version": 1, "size": [96, 64]})
    assert prepared.image.shape == (3, 96, 64) and prepared.label.shape == (96, 64) and prepared.spacing is None
    assert prepared.image.dtype == prepared.label.dtype == np.uint8 and set(np.unique(prepared.label)) == {0, 1}
    assert ((prepared.image[0] > 120) == prepared.label).mean() > 0.99
    assert prepared.label.mean() == pytest.approx(scan.label.mean(), rel=0.02)  # the mask does not grow
    assert prepared.image[0].mean() == pytest.approx(scan.image[0].mean(), abs=0.5)


def test_shrinking_antialiases():
    scan = pair(256, 256)
    scan.image[:] = 255 * (np.arange(256) % 2)
    inside = KvasirSeg().prepare(scan, {"size": [64, 64]}).image[:, :, 4:-4].astype(int)
    assert np.abs(inside - 127.5).max() <= 2


@pytest.mark.parametrize("size", [512, [512], [0, 5], [5.0, 5], [True, 5], "5x5"])
def test_bad_sizes(size):
    with pytest.raises(BadInput, match=r"size .* in a preparation of kvasir-seg: give two whole numbers"):
        KvasirSeg().prepare(pair(24, 32), {"size": size})
    with pytest.raises(BadInput, match="did you mean 'size'"):
        KvasirSeg().prepare(pair(24, 32), {"sizes": [5, 5]})
