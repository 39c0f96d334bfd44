"""Bad raw files of LA: one clear line each."""

import nrrd
import numpy as np
import pytest
from la_files import read_only_case, volume, write_h5_case, write_nrrd_case
from semimed.datasets import load
from semimed.errors import BadInput


@pytest.fixture
def la():
    return load("la")


@pytest.mark.parametrize("options, message", [({"scal": 0.4}, "did you mean 'scale'"), ({"scale": 4}, "scale 4")])
def test_bad_options(la, tmp_path, options, message):
    image, label = volume()
    write_h5_case(tmp_path / "A", image=image.astype(np.float32), label=label)
    with pytest.raises(BadInput, match=message):
        la.prepare(read_only_case(la, tmp_path), options)


def corrupt(name):
    """An image and a label for the raw files, broken in one way."""
    image, label = volume()
    image = image.astype(np.float32)
    if name == "shape":
        label = label[:-1]
    elif name == "values":
        label[0, 0, 0] = 7
    elif name == "nan":
        image[1, 1, 1] = np.nan
    elif name == "empty":
        label[:] = 0
    elif name == "flat":
        image = image[..., 0]
    return image, label


BROKEN = [
    ("shape", "label of shape .*must be equal"),
    ("values", "label values 7 in .*only 0,"),
    ("nan", "1 NaN or infinite voxels in .*leave the case out"),
    ("empty", "empty label in .*get the label again"),
    ("flat", "three axes are needed"),
]


@pytest.mark.parametrize("layout", ["nrrd", "h5"])
@pytest.mark.parametrize("name, message", BROKEN)
def test_broken_content(la, tmp_path, layout, name, message):
    image, label = corrupt(name)
    if layout == "h5":
        write_h5_case(tmp_path / "A", image=image, label=label)
    else:
        write_nrrd_case(tmp_path / "A", None, np.where(label == 1, 255, label).astype(np.uint8))
        nrrd.write(str(tmp_path / "A" / "lgemri.nrrd"), image)
    with pytest.raises(BadInput, match=message) as caught:
        read_only_case(la, tmp_path)
    assert str(tmp_path / "A") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", ["image", "label"])
def test_missing_file_or_key(la, tmp_path, lost):
    image, label = volume()
    write_nrrd_case(tmp_path / "n" / "A", None if lost == "image" else image, None if lost == "label" else label * 255)
    with pytest.raises(BadInput, match=rf"no {lost} la?.*\.nrrd in .*A: .*move the case folder away"):
        read_only_case(la, tmp_path / "n")
    arrays = {"image": image.astype(np.float32), "label": label}
    del arrays[lost]
    write_h5_case(tmp_path / "h" / "A", **arrays)
    with pytest.raises(BadInput, match=f"no data set '{lost}' in .*mri_norm2.h5"):
        read_only_case(la, tmp_path / "h")


@pytest.mark.parametrize("keep", [0, 3, 60, 0.5, 0.98])
def test_truncated_files(la, tmp_path, keep):
    image, label = volume()
    write_nrrd_case(tmp_path / "n" / "A", image, label * 255)
    write_h5_case(tmp_path / "h" / "A", image=image.astype(np.float32), label=label)
    for path, kind in ((tmp_path / "n" / "A" / "lgemri.nrrd", "NRRD"), (tmp_path / "h" / "A" / "mri_norm2.h5", "HDF5")):
        whole = path.read_bytes()
        path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
        with pytest.raises(BadInput, match=f"damaged or truncated {kind} in {path}"):
            read_only_case(la, path.parent.parent)


HEADERS = [
    *((line, "damaged or truncated NRRD") for line in ("encoding: nonsense", "type: nothing", "sizes: 1 2", "garbage")),
    ("data file: /etc/hostname", "the voxels are in another file"),
]


@pytest.mark.parametrize("line, message", HEADERS)
def test_strange_nrrd_headers(la, tmp_path, line, message):
    image, label = volume()
    write_nrrd_case(tmp_path / "A", image, label * 255)
    path = tmp_path / "A" / "lgemri.nrrd"
    head, blank, body = path.read_bytes().partition(b"\n\n")
    lines = [old for old in head.decode().split("\n") if not old.startswith(line.split(":")[0] + ":")]
    path.write_bytes("\n".join([*lines, line]).encode() + blank + body)
    with pytest.raises(BadInput, match=message):
        read_only_case(la, tmp_path)


@pytest.mark.parametrize("spacing", [0.0, np.nan])
def test_bad_spacing(la, tmp_path, spacing):
    image, label = volume()
    write_nrrd_case(tmp_path / "A", image, label * 255, spacing=spacing)
    with pytest.raises(BadInput, match=r"voxel spacing .* in .*A"):
        read_only_case(la, tmp_path)
