"""Figures over training, over budgets and over two hyper-parameters."""

import numpy as np
import pytest
from cml_figures import cml_study, drawn, options_of
from semimed.reporting.figure_kinds import agreement, budgets, curves, heatmap
from semimed.study import Run
from synthetic_results import write_curve, write_run


@pytest.fixture
def cml(tmp_path):
    return cml_study(tmp_path / "results")


def test_curves_together_count_the_warm_up(cml):
    figure, text = drawn(curves, cml, cml.document["figures"]["together"])
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == ["MT", "CML"] and "warm-up included" in text
    assert list(lines["MT"].get_xdata()) == cml.select(["mt"], 8)[0].kept
    assert lines["CML"].get_xdata()[-1] == 15000 + 2000


def test_agreement_shows_disagreement_and_uncertainty_over_training(cml, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Run, "kept", [3000, 6000])  # the arm keeps none, and a figure of it would not be planned
        for run in cml.select(["supervised"], 8):
            write_curve(cml, run, lambda step, output: 0.6)
    figure, _ = drawn(agreement, cml, options_of(cml, "agreement"))
    apart, unsure = ({line.get_label(): line for line in panel.lines} for panel in figure.axes)
    assert list(apart) == ["MT", "CML"] and list(unsure) == ["V-Net (supervised)", "MT", "CML"]
    # Dice of the headline is 90 % at the end, of CML's second network 70 %; see `write_curve`.
    assert unsure["CML"].get_ydata()[-1] == pytest.approx(0.1 / 4)
    assert apart["CML"].get_ydata()[-1] == pytest.approx(0.3 / 2)
    np.testing.assert_array_equal(apart["MT"].get_xdata(), cml.select(["mt"], 8)[0].kept)


def test_budgets_have_a_line_per_arm_over_all_its_budgets(cml):
    for run in cml.select(["cml"], 4):
        write_run(cml, run, 0.7 + 0.01 * run.seed)
    figure, text = drawn(budgets, cml, options_of(cml, "budgets"))
    panel = figure.axes[0]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["4", "8", "16", "80"]
    line = next(bars for bars in panel.containers if bars.get_label() == "CML")
    np.testing.assert_allclose(line.lines[0].get_ydata(), [71, 84.5, np.nan])
    # The error bar is the standard deviation over seeds, one point.
    np.testing.assert_allclose(line.lines[2][0].get_segments()[0][:, 1], [70, 72])
    assert "CML: 6 of 9 runs (3 missing)" in text and "Labelled units" in text


def test_shares_are_in_order_and_in_per_cent():
    assert sorted(["10%", "2%", "5%"], key=budgets._amount) == ["2%", "5%", "10%"] and budgets._amount(8) == 8


def test_heat_maps_write_values_mark_the_best_and_show_the_published(cml):
    for run in cml.select(["cml-sup-u"], 8):
        write_run(cml, run, 0.9)
    options = options_of(cml, "heatmap")
    figure, text = drawn(heatmap, cml, options)
    panel = figure.axes[0]
    words = {text.get_position(): text.get_text() for text in panel.texts}
    assert words[(0, 0.88)] == "90.00 ± 0.00" and words[(1, 0.88)] == "84.50 ± 1.00"
    box = next(patch for patch in panel.patches if patch.get_label() == "best")
    assert (box.get_x(), box.get_y()) == pytest.approx((-0.46, 0.54))
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["a", "b"]
    # The published ablation has all arms only without `cml-sup`, which it does not name.
    assert "in brackets: published (CML)" in text and words[(1, 1.22)] == "(90.36)" and words[(0, 0)].startswith("84.50")
