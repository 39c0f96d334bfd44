"""Figures of classifiers: all are drawn, confusion matrices, t-SNE of images, and what other kinds say of classes."""

from pathlib import Path

import numpy as np
import pytest
from class_results import CLASSES, TESTED, class_study, fill, filled_study, guesses, images_tested, write_run
from cml_figures import drawn
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from semimed.errors import BadInput
from semimed.reporting.figure_kinds import agreement, bars, confusion, curves, reliability, tsne
from semimed.reporting.figures import KINDS, draw_figure
from semimed.reporting.outcomes import find_outcomes, valid


@pytest.fixture
def study(tmp_path):
    return filled_study(tmp_path)


def draw(kind, study):
    return drawn(kind, study, study.document["figures"][kind.__name__.rsplit(".", 1)[1]])


FIGURES = ["confusion", "reliability", "tsne", "bars", "curves", "agreement"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_not_empty(study, name, tmp_path):
    draw_figure(study, name, tmp_path / "a.png", tmp_path / "a.pdf")
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[0] > 300 and pixels.shape[1] > 600 and pixels[..., :3].std() > 0.02
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert all(Path(path).is_file() for path in study.figure_inputs(name))


@pytest.mark.parametrize("name", FIGURES)
def test_without_any_run_a_figure_says_so(name, tmp_path):
    _, text = draw(KINDS[name], class_study(tmp_path))
    assert "no valid run" in text or "0 of 3 runs (3 missing)" in text
    assert "missing)" in text


@pytest.mark.parametrize("kind", [confusion, reliability, bars])
def test_a_stale_run_is_left_out_and_said(study, kind):
    run = study.select(["reco"], "20%")[2]
    fill(study, run, hash="0" * 64)
    _, text = draw(kind, study)
    assert ("Predicted (2 of 3 runs (1 stale))" if kind is confusion else "ReCo: 2 of 3 runs (1 stale)") in text


# ---- confusion ----


def outcomes_of(study, arm, path=lambda run: run.metrics("last")) -> list:
    return valid(find_outcomes(study, arm, "20%", path))


def test_confusion_counts_every_image_of_every_run(study):
    expected = np.zeros((7, 7), int)
    for seed in range(3):
        for place, case in enumerate(images_tested(study)):
            expected[case.target, case.target if place < 24 + seed else (case.target + 1) % 7] += 1
    counts, classes = confusion.confusion(study, outcomes_of(study, "reco"))
    assert counts.tolist() == expected.tolist() and classes == list(CLASSES)
    assert counts.sum(1).tolist() == [3 * n for n in TESTED] and counts.trace() == 24 + 25 + 26
    one, _ = confusion.confusion(study, outcomes_of(study, "reco")[1:2])
    assert one.trace() == 25 and one.sum() == 29


def test_confusion_does_not_depend_on_the_order_of_predictions(study):
    before, _ = confusion.confusion(study, outcomes_of(study, "reco"))
    for run in study.select(["reco"], "20%"):
        with np.load(run.predictions("last")) as archive:
            arrays = dict(archive.items())
        arrays |= {name: arrays[name][::-1] for name in ("cases", "probabilities")}
        np.savez_compressed(run.predictions("last"), **arrays)
    assert confusion.confusion(study, outcomes_of(study, "reco"))[0].tolist() == before.tolist()


def test_a_matrix_has_a_row_per_true_class_in_per_cent(study):
    figure, _ = draw(confusion, study)
    panel = figure.axes[2]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["FixMatch", "PEFAT", "ReCo"]
    assert panel.get_xlabel() == "Predicted (3 runs)" and figure.axes[0].get_ylabel() == "True class"
    names = [f"{name} ({3 * count})" for name, count in zip(CLASSES, TESTED, strict=True)]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == names
    assert [tick.get_text() for tick in panel.get_xticklabels()] == list(CLASSES)
    shares = np.asarray(panel.get_images()[0].get_array())
    counts, _ = confusion.confusion(study, outcomes_of(study, "reco"))
    np.testing.assert_allclose(shares, 100 * counts / counts.sum(1, keepdims=True))
    # The number of true BKL is twelve in three runs, of which one (the 25th in one run) was called DF.
    written = {text.get_position(): text.get_text() for text in panel.texts}
    assert len(written) == np.count_nonzero(counts) and written[4, 4] == f"{100 * counts[4, 4] / 12:.0f}"
    assert written[6, 5] == f"{shares[5, 6]:.0f}" and (5, 6) not in written, "columns are predictions"


def test_a_stale_run_is_not_counted(study):
    fill(study, study.select(["reco"], "20%")[2], hash="0" * 64)
    figure, _ = draw(confusion, study)
    assert [panel.get_yticklabels()[1].get_text() for panel in figure.axes] == ["NV (27)", "NV (27)", "NV (18)"]


def test_a_class_without_an_image_has_an_empty_row_and_long_names_are_cut(study):
    panel = drawn_matrix(np.array([[3, 1], [0, 0]]), ["melanoma", "naevus"])
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["melan. (4)", "naevus (0)"]
    assert [text.get_text() for text in panel.texts] == ["75", "25"]
    assert np.asarray(panel.get_images()[0].get_array()).tolist() == [[75, 25], [0, 0]]


def drawn_matrix(counts, classes):
    panel = Figure().subplots()
    confusion._matrix(panel, counts, classes)
    return panel


def test_an_arm_without_a_run_keeps_its_place(study):
    for run in study.select(["pefat"], "20%"):
        Path(run.folder, "run.json").unlink()
    figure, text = draw(confusion, study)
    assert [len(panel.get_images()) for panel in figure.axes] == [1, 0, 1] and "0 of 3 runs (3 missing)" in text


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_missing_and_damaged_predictions_are_one_line(study, damage):
    damage(Path(study.select(["reco"], "20%")[1].predictions("last")))
    with pytest.raises(BadInput, match=r"last-main-test\.npz is missing or damaged: delete it so that it is predicted again"):
        draw(confusion, study)


# ---- others ----


def test_tsne_shows_images_by_class(study):
    figure, text = draw(tsne, study)
    assert [panel.get_title() for panel in figure.axes] == [
        *("step 20", "step 40", "step 60"), "step 15", "step 30", "", *("step 20", "step 40", "step 60"),
    ]  # fmt: skip
    last = figure.axes[-1].collections
    colours = [to_hex(points.get_facecolor()[0]) for points in last]
    assert [len(points.get_offsets()) for points in last] == [12] * 7 and len(set(colours)) == 7
    assert tsne.GROUND.lower() not in colours, "there is no background"
    assert "84 test images; fold 0, seed 0" in text and all(name in text for name in CLASSES)
    write_run(study, study.select(["reco"], "20%")[0], 20, hash="0" * 64)
    _, text = draw(tsne, study)
    assert "no valid run\n0 of 1 runs (1 stale)" in text


def test_curves_show_the_mean_over_classes(study):
    figure, _ = draw(curves, study)
    assert figure.axes[2].get_ylabel() == "" and figure.axes[0].get_ylabel() == "ACC (%)"
    found = {line.get_label(): line.get_xydata() for line in figure.axes[2].lines}
    assert found["main (headline)"] == pytest.approx(np.array([[20, 20], [40, 40], [60, 60]]))
    assert found["reversed"] == pytest.approx(np.array([[20, 10], [40, 30], [60, 50]]))


def test_disagreement_of_classifiers_is_not_called_dice(study):
    figure, text = draw(agreement, study)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.25] * 3
    assert "Dice" not in text


def test_bars_show_what_tables_show(study):
    _, text = draw(bars, study)
    assert f"{100 * 25 / 29:.2f}" in text and f"{100 * 17 / 29:.2f}" in text
    truth = np.array([case.target for case in images_tested(study)])
    assert (guesses(truth, np.arange(29) < 25).argmax(1) == truth).sum() == 25
