"""Data sets of one's own: volumes in NIfTI, and photographs some of which have no mask."""

import nibabel
import numpy as np
import pytest
from PIL import Image
from semimed.datasets.kvasir_seg import KvasirSeg
from semimed.datasets.volumes import Volumes
from semimed.errors import BadInput

AFFINE = np.diag((0.8, 0.7, 3.0, 1))


class Livers(Volumes):
    name = "livers"
    classes = ("background", "liver")


class Polyps(KvasirSeg):
    partly_masked = True


def write(folder, case, image, label=None, affine=AFFINE):
    for part, array, grid in (("images", image, AFFINE), ("labels", label, affine)):
        (folder / part).mkdir(exist_ok=True)
        if array is not None:
            nibabel.save(nibabel.Nifti1Image(array, grid), folder / part / f"{case}.nii.gz")


def volume():
    return np.random.default_rng(0).integers(-200, 400, (6, 5, 4)).astype(np.int16), np.zeros((6, 5, 4), np.uint8)


def prepared(folder, **options):
    dataset = Livers()
    layout, cases = dataset.find(folder)
    return [dataset.read_prepared(case, layout, {"version": 1} | options) for case in cases]


def test_volumes_are_windowed_or_standardised_and_turned(tmp_path):
    image, label = volume()
    label[2, 3, 1] = 1
    write(tmp_path, "a", image, label)
    write(tmp_path, "b", image)
    first, second = prepared(tmp_path, window=[-75, 293])
    np.testing.assert_allclose(first.image[0], (np.clip(image, -75, 293) + 75) / 368, atol=1e-6)
    assert first.spacing == (0.8, 0.7, 3.0) and first.label[2, 3, 1] == 1 and second.label is None
    turned = prepared(tmp_path, order="zyx")[0]
    assert turned.image.shape == (1, 4, 5, 6) and turned.spacing == (3.0, 0.7, 0.8) and turned.label[1, 3, 2] == 1
    np.testing.assert_allclose(turned.image[0].T, (image - image.mean()) / image.std(), atol=1e-5)


def test_an_annotated_volume_may_be_empty_but_not_on_another_grid(tmp_path):
    image, label = volume()
    write(tmp_path, "a", image, label)
    assert not prepared(tmp_path)[0].label.any()
    write(tmp_path, "a", image, label, affine=np.diag((-0.8, 0.7, 3.0, 1)))
    with pytest.raises(BadInput, match=r"the affine of .*labels/a\.nii\.gz is not that of .*images/a\.nii\.gz"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    "options, words", [({"window": [3, 3]}, "window"), ({"window": 5}, "window"), ({"order": "yx"}, "order")]
)
def test_bad_options_of_volumes(tmp_path, options, words):
    write(tmp_path, "a", *volume())
    with pytest.raises(BadInput, match=words):
        prepared(tmp_path, **options)


def test_a_label_without_its_image(tmp_path):
    write(tmp_path, "a", *volume())
    (tmp_path / "images" / "a.nii.gz").rename(tmp_path / "images" / "b.nii.gz")
    with pytest.raises(BadInput, match=r"no image in .*images for .*labels/a\.nii\.gz"):
        Livers().find(tmp_path)


def test_photographs_without_a_mask_are_unlabelled_cases_only_where_that_is_said(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((8, 9, 3), 90, np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
    mask = np.zeros((8, 9), np.uint8)
    mask[2:6, 2:6] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    with pytest.raises(BadInput, match=r"no mask in .*masks for .*b\.jpg"):
        KvasirSeg().find(tmp_path)
    layout, cases = Polyps().find(tmp_path)
    first, second = (Polyps().read_prepared(case, layout, {"version": 1, "size": [4, 4]}) for case in cases)
    assert first.label.sum() > 0 and second.label is None and second.image.shape == (3, 4, 4)
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(BadInput, match=r"no image in .*images for .*a\.png"):
        Polyps().find(tmp_path)
