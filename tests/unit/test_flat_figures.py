"""Figures that show pictures of two-dimensional studies: overlays, illustrations, t-SNE."""

import numpy as np
import pytest
from cml_figures import drawn
from flat_results import CLASSES, make_flat_study, write_embeddings, write_illustrations
from matplotlib.image import imread
from semimed.errors import BadInput
from semimed.reporting.figure_kinds import illustrations, overlays, tsne
from semimed.reporting.figure_kinds.pictures import PIXELS, view_of
from semimed.reporting.figures import draw_figure
from synthetic_results import write_predictions, write_run


@pytest.fixture(params=["slices", "whole"])
def flat(request, tmp_path):
    return fill(make_flat_study(tmp_path, request.param))


@pytest.fixture
def slices(tmp_path):
    return fill(make_flat_study(tmp_path, "slices"))


def fill(study):
    for run in study.runs:
        write_run(study, run, np.linspace(0.7, 0.9, 8), classes=CLASSES[study.document["inference"]["kind"]])
        write_predictions(study, run, shift=3)
        write_illustrations(study, run)
        write_embeddings(study, run)
    return study


@pytest.mark.parametrize("name", ["overlays", "illustrations", "tsne"])
def test_every_figure_is_drawn_and_not_empty(flat, name, tmp_path):
    draw_figure(flat, name, tmp_path / "a.png", tmp_path / "a.pdf")
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[0] > 300 and pixels.shape[1] > 400 and pixels[..., :3].std() > 0.05
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_overlays_name_every_class_and_tell_truth_from_prediction(flat):
    figure, text = drawn(overlays, flat, flat.document["figures"]["overlays"])
    several = flat.document["inference"]["kind"] == "slices"
    assert all(name in text for name in CLASSES["slices"]) is several
    assert "ground truth" in text and ("prediction" in text) is not several
    _, ucmt = figure.axes[1:3]
    outlines = [(tuple(lines.get_edgecolor()[0][:3]), lines.get_linewidth()[0]) for lines in ucmt.collections]
    assert len(outlines) == (6 if several else 2) and len({colour for colour, _ in outlines}) == (4 if several else 2)
    assert sum(colour == (1, 1, 1) and width < 1 for colour, width in outlines) == (3 if several else 0)


def test_slices_are_cut_along_the_first_axis():
    label = np.zeros((5, 40, 30), np.uint8)
    label[1, 10:14, 5:9] = 1
    label[3, 10:20, 5:25] = 2
    view = view_of(label, (10.0, 2.0, 1.0), "slices")
    assert view.plane == 3 and view.of(label).sum() == 2 * 200 and view.aspect == 2
    rows, columns = view.box
    # Twenty by twenty millimetres and a margin of five on each side, in whole pixels.
    assert (rows.start, rows.stop) == (7, 23) and (columns.start, columns.stop) == (0, 30)
    assert view_of(label, None, "slices").aspect == 1


def test_photographs_are_shown_whole_and_no_finer_than_is_seen():
    label = np.zeros((2 * PIXELS, 3 * PIXELS), np.uint8)
    view = view_of(label, None)
    assert view.of(label).shape == (-(-2 * PIXELS // 3), PIXELS) and view.aspect == 1
    assert view.height == pytest.approx(2 / 3)


def test_illustrations_have_a_row_per_case_and_checkpoint(slices):
    figure, text = drawn(illustrations, slices, slices.document["figures"]["illustrations"])
    # Two of the three cases, each early and late; the image and two pictures of each of two arms; the colour bar.
    assert len(figure.axes) == 4 * 5 + 1
    assert text.count("CASE00") == text.count("CASE07") == 2 and "CASE03" not in text
    assert text.count("step 15") == text.count("step 60") == 2 * 2
    assert "mixed image" in text and "Uncertainty (nats)" in text
    shown = [image for panel in figure.axes[:-1] for image in panel.get_images() if image.get_cmap().name == "magma"]
    assert all(image.get_clim() == pytest.approx((0, 0.6)) for image in shown)
    assert [float(image.get_array().max()) for image in shown[::2]] == pytest.approx([0.6, 0.2] * 2)


def test_illustrations_of_a_stale_and_a_missing_run_are_not_shown(slices):
    first, own = slices.select(["mt"])[0], slices.select(["ucmt"])[0]
    write_run(slices, first, 0.8, hash="0" * 64)
    _, text = drawn(illustrations, slices, slices.document["figures"]["illustrations"])
    assert text.count("no valid run") == 4 and "MT: 0 of 1 runs (1 stale)" in text
    np.savez_compressed(own.illustrations, cases=np.array([]))
    with pytest.raises(BadInput, match=r"damaged arrays .*illustrations\.npz"):
        drawn(illustrations, slices, slices.document["figures"]["illustrations"])


def test_tsne_shows_first_middle_and_last_checkpoint_by_class(slices):
    figure, text = drawn(tsne, slices, slices.document["figures"]["tsne"])
    assert [panel.get_title() for panel in figure.axes] == ["step 15", "step 45", "step 60"] * 2
    assert [panel.get_ylabel() for panel in figure.axes[::3]] == ["MT", "UCMT"]
    last = figure.axes[-1].collections
    assert [len(points.get_offsets()) for points in last] == [20] * 4 and len({tuple(p.get_facecolor()[0]) for p in last}) == 4
    assert "80 patches" in text and "myocardium" in text
    places = [np.asarray(points.get_offsets()) for points in last]
    spread = np.mean([place.std(axis=0).mean() for place in places])
    assert np.concatenate(places).std(axis=0).mean() > 2 * spread


def test_tsne_gives_the_same_places_for_the_same_vectors():
    vectors = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    np.testing.assert_array_equal(tsne.project(vectors), tsne.project(vectors.copy()))
