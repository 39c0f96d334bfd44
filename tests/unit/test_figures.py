"""Figures: every kind is drawn from valid runs only, and says what is missing."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from cml_figures import cml_study, drawn, fill, options_of, with_more_figures
from matplotlib.image import imread
from semimed.checks import ONLY
from semimed.errors import BadInput
from semimed.metrics.segmentation import METRICS
from semimed.reporting.figure_kinds import agreement, bars, budgets, curves, heatmap, overlays, sensitivity
from semimed.reporting.figure_kinds.common import arm_colour
from semimed.reporting.figure_kinds.pictures import view_of
from semimed.reporting.figures import KINDS, draw_figure
from semimed.reporting.outcomes import find_outcomes
from semimed.store import load_label, read_cases
from synthetic_results import CASES, blob, make_plan, write_run


@pytest.fixture
def cml(tmp_path):
    return cml_study(tmp_path / "results")


@pytest.mark.parametrize("name", ["cml-la", "demo-la"])
def test_every_figure_of_a_study_is_drawn_and_not_empty(name, tmp_path):
    study = make_plan(tmp_path / "results", name).study(name)
    for run in study.runs:
        fill(study, run)
    assert {options["kind"] for options in study.document["figures"].values()} <= set(KINDS)
    for figure in study.document["figures"]:
        png, pdf = tmp_path / f"{figure}.png", tmp_path / f"{figure}.pdf"
        draw_figure(study, figure, png, pdf)
        pixels = imread(png)
        assert pixels.shape[0] > 200 and pixels.shape[1] > 400 and pixels[..., :3].std() > 0.02
        assert pdf.read_bytes().startswith(b"%PDF")
        assert all(Path(path).is_file() for path in study.figure_inputs(figure))


def test_the_same_numbers_give_the_same_files(cml, tmp_path):
    for turn in "ab":
        draw_figure(cml, "ladder", tmp_path / f"{turn}.png", tmp_path / f"{turn}.pdf")
    for kind in ("png", "pdf"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_inputs_are_the_files_of_the_figures_runs(cml):
    run = cml.select(["cml"], 8)[0]
    assert f"{run.folder}/curve.csv" in cml.figure_inputs("curves")
    assert run.metrics("last") in cml.figure_inputs("ladder") and run.predictions("last") not in cml.figure_inputs("ladder")
    paths = cml.figure_inputs("overlays")
    assert paths[-1] == f"{cml.data}/cases.csv" and run.predictions("last") in paths
    mt, cml_runs = cml.select(["mt"], 8), cml.select(["cml"], 8)
    assert cml_runs[0].disagreement in cml.figure_inputs("agreement") and cml_runs[0].curve in cml.figure_inputs("agreement")
    assert cml.select(["cml"], 16)[2].metrics("last") in cml.figure_inputs("budgets")
    # Pictures are of the first fold and seed.
    assert cml.figure_inputs("tsne") == [
        path for run in (mt[0], cml_runs[0]) for path in (f"{run.folder}/run.json", run.embeddings)
    ]
    assert len(cml.figure_inputs("sensitivity")) == 2 * len(cml.select(cml.figure_arms(options_of(cml, "sensitivity")), 8))
    assert not any("/4/" in path for path in paths)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_without_any_run_a_figure_says_so(kind, tmp_path):
    name = "reco-isic" if ONLY.get(kind) == "classification" else "cml-la"
    study = make_plan(tmp_path, name).study(name)
    study = study if name == "reco-isic" else with_more_figures(study)
    _, text = drawn(KINDS[kind], study, options_of(study, kind))
    assert "no valid run" in text or re.search(r"0 of (\d+) runs \(\1 missing\)", text)
    assert "missing)" in text


@pytest.mark.parametrize("kind", [agreement, bars, budgets, curves, heatmap, sensitivity])
def test_a_stale_run_is_left_out_and_said(cml, kind):
    fill(cml, cml.select(["cml"], 8)[2], hash="0" * 64)
    _, text = drawn(kind, cml, options_of(cml, kind.__name__.rsplit(".", 1)[1]))
    assert "1 stale" in text


def test_bars_show_the_mean_and_the_published_value(cml):
    figure, text = drawn(bars, cml, cml.document["figures"]["ladder"])
    assert text.count("84.50") == 3  # 80 + 3.5 (mean of the cases) + 1 (mean of the seeds)
    assert "published (CML)" in text
    markers = [p for c in figure.axes[0].collections for p in c.get_offsets() if p[1] == 90.36]
    assert len(markers) == 1
    assert "axis from" in figure.axes[0].get_ylabel()


def test_bars_take_published_values_from_the_section_with_all_arms(cml):
    figure, _ = drawn(bars, cml, cml.document["figures"]["ablation"])
    heights = {round(float(p[1]), 2) for c in figure.axes[0].collections for p in c.get_offsets()}
    assert {82.74, 83.73, 88.16, 90.36} <= heights


def test_bars_that_differ_much_start_at_zero(cml):
    for run in cml.select(["cps"], 8):
        write_run(cml, run, 0.2)
    figure, _ = drawn(bars, cml, cml.document["figures"]["ladder"])
    assert figure.axes[0].get_ylim()[0] == 0


def test_curves_draw_one_line_per_output_headline_first(cml):
    figure, _ = drawn(curves, cml, options_of(cml, "curves"))
    panel = figure.axes[-1]
    run = cml.select(["cml"], 8)[0]
    lines = {line.get_label(): line for line in panel.lines}
    assert list(lines) == ["mean (headline)", "first", "second"]
    np.testing.assert_array_equal(lines["mean (headline)"].get_xdata(), run.kept)
    assert lines["mean (headline)"].get_ydata()[-1] == pytest.approx(90)
    assert lines["first"].get_ydata()[-1] == pytest.approx(80)
    assert lines["mean (headline)"].get_linewidth() > lines["first"].get_linewidth()


def test_the_headline_of_an_arm_is_its_own(cml):
    arm = cml.arms["mt"]
    cml.arms["mt"] = dataclasses.replace(arm, headline="teacher")
    figure, _ = drawn(curves, cml, options_of(cml, "curves"))
    assert [line.get_label() for line in figure.axes[0].lines] == ["teacher (headline)", "student"]


def test_sensitivity_has_a_panel_per_series_with_its_values(cml):
    figure, text = drawn(sensitivity, cml, options_of(cml, "sensitivity"))
    ticks = [[label.get_text() for label in panel.get_xticklabels()] for panel in figure.axes]
    assert ticks == [list(series) for series in options_of(cml, "sensitivity")["series"].values()]
    assert "λ$_{1}$" in text and "setting of CML" in text


def test_overlays_show_best_median_and_worst_case(cml):
    outcome = find_outcomes(cml, "cml", 8, lambda run: run.metrics("last"))[0]
    dice, distance = METRICS["dice"], METRICS["hd95_voxel"]
    assert overlays.chosen_cases(outcome, dice, 3) == [("best", "CASE07"), ("median", "CASE03"), ("worst", "CASE00")]
    assert overlays.chosen_cases(outcome, distance, 2) == [("best", "CASE07"), ("worst", "CASE00")]
    assert overlays.chosen_cases(outcome, dice, 1) == [("median", "CASE03")]
    assert len(overlays.chosen_cases(outcome, dice, 20)) == len(CASES)
    _, text = drawn(overlays, cml, options_of(cml, "overlays"))
    assert all(words in text for words in ("best\nCASE07", "worst\nCASE00", "Dice 87.0 %", "seed 0"))


def test_overlays_pick_the_slice_with_the_largest_reference_area(cml):
    case = read_cases(cml.data).cases["CASE03"]
    view = view_of(load_label(case), case.spacing)
    assert view.plane == 4
    label = np.zeros((30, 40, 9), np.uint8)
    label[10:14, 20:30, 2] = 1
    label[10:13, 20:22, 5:8] = 2
    view = view_of(label, (1.0, 1.0, 5.0))
    assert view.plane == 2
    rows, columns = view.box
    assert rows.start <= 10 and rows.stop >= 14 and columns.start <= 20 and columns.stop >= 30
    assert view.of(label).sum() == 40 and rows.stop - rows.start < 30


def test_views_of_photographs_and_of_empty_references():
    view = view_of(blob((5, 8, 0), (3, 4, 1), (12, 16, 1))[..., 0], (1.0, 1.0))
    assert view.plane is None
    assert view_of(np.zeros((6, 8, 4), np.uint8), (1.0, 1.0, 1.0)).box == (slice(0, 6), slice(0, 8))


def test_overlays_name_an_arm_without_a_run_and_a_missing_prediction(cml):
    for run in cml.select(["mt"], 8):
        Path(run.folder, "run.json").unlink()
    _, text = drawn(overlays, cml, options_of(cml, "overlays"))
    assert text.count("no valid run") == 3
    np.savez_compressed(cml.select(["cml"], 8)[0].predictions("last"), other=np.zeros(3, np.uint8))
    with pytest.raises(BadInput, match="no prediction of case CASE07"):
        drawn(overlays, cml, options_of(cml, "overlays"))


def test_colours_are_fixed_per_arm_and_apart_in_the_main_table(cml):
    main = list(cml.document["tables"]["comparison"]["rows"])
    assert len({arm_colour(cml, arm) for arm in main}) == len(main)
    turned = dataclasses.replace(cml, runs=cml.runs[::-1])
    assert [arm_colour(turned, arm) for arm in main] == [arm_colour(cml, arm) for arm in main]
