"""Segmentation metrics against hand-worked numbers, medpy, and a brute-force reference."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from semimed.components import largest_component
from semimed.errors import BadInput
from semimed.metrics.segmentation import METRICS, score_case

BINARY = ["background", "organ"]


def blank(*shape):
    return np.zeros(shape, dtype=np.uint8)


def points(shape, *voxels):
    label_map = blank(*shape)
    for voxel in voxels:
        label_map[voxel] = 1
    return label_map


def random_maps(seed, shape, classes, sigma):
    """Two correlated label maps of smooth random blobs that run into the borders of the array."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.standard_normal((classes, *shape)), (0, *[sigma] * len(shape))) for _ in range(2)]
    reference = fields[0].argmax(axis=0)
    prediction = (0.8 * fields[0] + 0.6 * fields[1]).argmax(axis=0)
    return prediction.astype(np.uint8), reference.astype(np.uint8)


def surface_points(mask):
    """The mask's voxels with a face neighbour that is background or outside the array, one by one."""
    inside = {tuple(voxel) for voxel in np.argwhere(mask)}
    steps = [tuple(sign * (axis == other) for other in range(mask.ndim)) for axis in range(mask.ndim) for sign in (-1, 1)]
    surface = [v for v in inside if any(tuple(np.add(v, step).tolist()) not in inside for step in steps)]
    return np.array(sorted(surface), dtype=float)


# ---- hand-worked ----


def test_example_e17():
    prediction, reference = blank(8, 8), blank(8, 8)
    prediction[2:6, 2:6] = 1
    reference[2:6, 3:8] = 1
    (row,) = score_case(prediction, reference, BINARY, (1, 1))
    (back,) = score_case(reference, prediction, BINARY, (1, 1))
    assert row["dice"] == pytest.approx(2 * 12 / 36)
    assert row["jaccard"] == pytest.approx(12 / 24)
    assert row["asd_voxel"] == pytest.approx(0.5)  # 12 voxels: 6 x 0, 6 x 1
    assert back["asd_voxel"] == pytest.approx(12 / 14)  # 14 voxels: 6 x 0, 4 x 1, 4 x 2
    assert row["hd95_voxel"] == 2.0
    assert row["hd95_mm"] == 2.0  # max(1, 2)
    assert row["assd_mm"] == pytest.approx((6 + 12) / 26)
    assert (row["prediction_voxels"], row["reference_voxels"], row["empty"]) == (16, 20, "")
    assert set(row) == {"class", *METRICS, "prediction_voxels", "reference_voxels", "empty"}


def test_nearest_voxel_changes_with_anisotropic_spacing():
    prediction, reference = points((6, 8), (2, 2)), points((6, 8), (3, 2), (2, 5))
    (row,) = score_case(prediction, reference, BINARY, (10, 1))
    # voxels: forth [1], back [1, 3]; pooled [1, 1, 3], 95th percentile at position 1.9: 1 + 0.9 * 2
    assert row["asd_voxel"] == 1
    assert row["hd95_voxel"] == pytest.approx(2.8)
    # mm: forth [3] (to (2, 5), since (3, 2) is 10 away), back [10, 3]; 95th of [3, 10] = 3 + 0.95 * 7
    assert row["hd95_mm"] == pytest.approx(9.65)
    assert row["assd_mm"] == pytest.approx((3 + 10 + 3) / 3)


def test_single_voxels_in_three_dimensions():
    (row,) = score_case(points((4, 5, 6), (0, 0, 0)), points((4, 5, 6), (1, 2, 2)), BINARY, (10, 1.5, 2))
    assert row["hd95_voxel"] == row["asd_voxel"] == 3  # sqrt(1 + 4 + 4)
    assert row["hd95_mm"] == row["assd_mm"] == pytest.approx(math.sqrt(100 + 9 + 16))
    assert row["dice"] == row["jaccard"] == 0


def test_isotropic_spacing_scales_and_none_gives_nan():
    prediction, reference = random_maps(3, (20, 22, 18), 2, 2)
    (one,) = score_case(prediction, reference, BINARY, (1, 1, 1))
    (scaled,) = score_case(prediction, reference, BINARY, (0.625, 0.625, 0.625))
    (none,) = score_case(prediction, reference, BINARY)
    for name in ("hd95_mm", "assd_mm"):
        assert scaled[name] == pytest.approx(0.625 * one[name])
        assert math.isnan(none[name])
    assert {none["hd95_voxel"], scaled["hd95_voxel"]} == {one["hd95_voxel"]}


def test_identical_maps_are_perfect():
    _, reference = random_maps(4, (24, 24), 3, 3)
    for row in score_case(reference, reference, ["background", "a", "b"], (2, 3)):
        assert [row[name] for name in METRICS] == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("empty", ["prediction", "reference", "both"])
def test_empty_masks(empty):
    filled = points((3, 4, 12), (1, 1, 1))
    prediction = blank(3, 4, 12) if empty in ("prediction", "both") else filled
    reference = blank(3, 4, 12) if empty in ("reference", "both") else filled
    (row,) = score_case(prediction, reference, BINARY, (2, 1, 0.5))
    assert row["empty"] == empty
    if empty == "both":
        assert [row[name] for name in METRICS] == [1, 1, 0, 0, 0, 0]
    else:
        voxel, mm = 13, math.sqrt(6**2 + 4**2 + 6**2)  # sqrt(9 + 16 + 144); sizes 3 x 2, 4 x 1, 12 x 0.5 mm
        assert [row[name] for name in METRICS] == pytest.approx([0, 0, voxel, voxel, mm, mm])
    (without_spacing,) = score_case(prediction, reference, BINARY)
    assert math.isnan(without_spacing["hd95_mm"]) and math.isnan(without_spacing["assd_mm"])


# ---- medpy ----

SHAPES = [(40, 37), (1, 30), (24, 31, 20), (5, 40, 40), (30, 30, 1)]


@pytest.mark.parametrize(("seed", "shape", "sigma"), [(i, shape, s) for i, shape in enumerate(SHAPES) for s in (0, 1.5, 4)])
def test_equals_medpy_on_random_blobs(seed, shape, sigma):
    check_against_medpy(*random_maps(seed, shape, 4, sigma), 4)


@pytest.mark.parametrize("shape", [(60, 60), (40, 50, 44)])
@pytest.mark.parametrize("placed", [(0, -6), (-6, 0), (0, 12), (0, 4)])
def test_equals_medpy_on_masks_far_apart(shape, placed):
    prediction, reference = blank(*shape), blank(*shape)
    for label_map, start in zip((prediction, reference), placed, strict=True):
        start %= min(shape)
        label_map[tuple(slice(start, start + 6) for _ in shape)] = 1
    check_against_medpy(prediction, reference, 2)


def test_equals_medpy_on_noise_and_on_a_full_prediction():
    rng = np.random.default_rng(0)
    ball = (np.square(np.indices((40, 40, 40)) - 20).sum(axis=0) < 150).astype(np.uint8)
    for share in (0.002, 0.05, 0.5):
        check_against_medpy((rng.random(ball.shape) < share).astype(np.uint8), ball, 2)
    check_against_medpy(np.ones_like(ball), ball, 2)


def check_against_medpy(prediction, reference, classes):
    medpy = pytest.importorskip("medpy.metric.binary")
    spacing = (5.0, 1.25, 1.4)[-prediction.ndim :]
    for label, row in enumerate(score_case(prediction, reference, [f"class {i}" for i in range(classes)], spacing), start=1):
        ours, theirs = prediction == label, reference == label
        if row["empty"]:
            continue
        assert row["class"] == f"class {label}"
        assert row["dice"] == pytest.approx(medpy.dc(ours, theirs), abs=1e-9)
        assert row["jaccard"] == pytest.approx(medpy.jc(ours, theirs), abs=1e-9)
        assert row["hd95_voxel"] == pytest.approx(medpy.hd95(ours, theirs), abs=1e-9)
        assert row["asd_voxel"] == pytest.approx(medpy.asd(ours, theirs), abs=1e-9)
        forth, back = medpy.asd(ours, theirs, spacing), medpy.asd(theirs, ours, spacing)
        assert min(forth, back) - 1e-9 <= row["assd_mm"] <= max(forth, back) + 1e-9


# ---- brute force ----

SPACINGS = [(1.0, 1.0, 1.0), (0.625, 0.625, 0.625), (10.0, 1.5, 1.5), (0.3, 2.0, 0.7)]


@pytest.mark.parametrize(("sigma", "spacing", "ndim"), list(itertools.product((1.0, 3.0), SPACINGS, (2, 3))))
def test_strict_metrics_equal_brute_force(sigma, spacing, ndim):
    prediction, reference = random_maps(7, (16, 18, 15)[:ndim], 3, sigma)
    spacing = spacing[:ndim]
    for label, row in enumerate(score_case(prediction, reference, ["background", "a", "b"], spacing), start=1):
        if row["empty"]:
            continue
        surfaces = [surface_points(label_map == label) for label_map in (prediction, reference)]
        apart = cdist(*(surface * np.array(spacing) for surface in surfaces))
        forth, back = apart.min(axis=1), apart.min(axis=0)
        assert row["hd95_mm"] == pytest.approx(max(np.percentile(forth, 95), np.percentile(back, 95)), abs=1e-9)
        assert row["assd_mm"] == pytest.approx(np.concatenate((forth, back)).mean(), abs=1e-9)


# ---- bad input ----


@pytest.mark.parametrize(
    ("prediction", "reference", "spacing", "words"),
    [
        (blank(4, 4), blank(4, 5), None, "geometry of the reference"),
        (np.zeros((4, 4)), blank(4, 4), None, "uint8"),
        (blank(4), blank(4), None, "uint8 label map"),
        (blank(4, 4) + np.uint8(2), blank(4, 4), None, "label 2 in the prediction"),
        (blank(4, 4), blank(4, 4), (1, 1, 1), "spacing"),
        (blank(4, 4), blank(4, 4), (1, 0), "spacing"),
        (blank(4, 4), blank(4, 4), (1, float("nan")), "spacing"),
    ],
)
def test_bad_input_is_named(prediction, reference, spacing, words):
    with pytest.raises(BadInput, match=words):
        score_case(prediction, reference, BINARY, spacing)


# ---- largest component ----


def test_largest_component_keeps_one_per_class():
    label_map = np.array([[1, 1, 0, 2], [0, 0, 0, 0], [2, 2, 0, 1]], dtype=np.uint8)
    expected = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [2, 2, 0, 0]], dtype=np.uint8)
    before = label_map.copy()
    for classes in (3, 4):  # class 3 is absent
        kept = largest_component(label_map, classes)
        assert kept.dtype == np.uint8
        np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(label_map, before)


def test_components_that_touch_at_a_corner_are_one():
    flat = points((5, 5), (0, 0), (1, 1), (2, 2), (4, 0), (4, 1))
    np.testing.assert_array_equal(largest_component(flat, 2), points((5, 5), (0, 0), (1, 1), (2, 2)))
    solid = points((4, 4, 4), (0, 0, 0), (1, 1, 1), (2, 2, 2), (0, 3, 3), (0, 3, 2))
    np.testing.assert_array_equal(largest_component(solid, 2), points((4, 4, 4), (0, 0, 0), (1, 1, 1), (2, 2, 2)))


@pytest.mark.parametrize("shape", [(30, 30), (12, 14, 16)])
def test_ties_keep_the_first_in_scan_order(shape):
    rng = np.random.default_rng(5)
    for _ in range(20):  # isolated voxels: every component has one voxel, so the first set voxel must stay
        label_map = blank(*shape)
        label_map[tuple(slice(None, None, 2) for _ in shape)] = rng.random([(size + 1) // 2 for size in shape]) < 0.2
        expected = points(shape, tuple(np.argwhere(label_map)[0]))
        np.testing.assert_array_equal(largest_component(label_map, 2), expected)
        np.testing.assert_array_equal(largest_component(np.asfortranarray(label_map), 2), expected)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 4), (1, 1, 3), (1, 3, 3), (2, 2, 3)])
def test_every_mask_of_a_small_shape(shape):
    for bits in itertools.product((0, 1), repeat=int(np.prod(shape))):
        mask = np.array(bits, np.uint8).reshape(shape)
        components, count = ndimage.label(mask, np.ones([3] * mask.ndim))
        sizes = np.bincount(components.ravel(), minlength=2)[1:]
        expected = components == sizes.argmax() + 1 if count else mask
        np.testing.assert_array_equal(largest_component(mask, 2), expected)


def test_largest_component_of_nothing_and_of_a_batch():
    assert not largest_component(blank(4, 4, 4), 2).any()
    with pytest.raises(BadInput, match="one case"):
        largest_component(blank(2, 4, 4, 4), 2)
