"""The figure of pseudo-labels over training: shares by hand, lines of every output, and what stands behind the calibration."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from class_results import filled_study, write_pseudo_labels
from cml_figures import drawn
from semimed.errors import BadInput
from semimed.reporting.figure_kinds import reliability
from semimed.reporting.figure_kinds.common import arm_colour

ROWS = pd.DataFrame(
    [(10, 9, 4, 1), (10, 18, 6, 3), (20, 9, 5, 5), (20, 19, 15, 12), (30, 19, 8, 8)],
    columns=["step", "bin", "count", "correct"],
)


@pytest.fixture
def study(tmp_path):
    return filled_study(tmp_path)


def test_reliability_by_hand():
    assert reliability.accuracy(ROWS).to_dict() == {10: 40, 20: 85, 30: 100}
    assert reliability.confident_share(ROWS).to_dict() == {10: 0, 20: 75, 30: 100}
    confident = reliability.confident_accuracy(ROWS)
    assert confident.index.tolist() == [10, 20, 30] and np.isnan(confident[10]) and confident.loc[20:].tolist() == [80, 100]


def lines_of(panel) -> dict:
    """Return the drawn points by label."""
    return {line.get_label(): line.get_xydata() for line in panel.lines if len(line.get_xydata()) and line.get_marker() == "o"}


def one_arm(study, arm, rows, kind="reliability"):
    """Return the figure of one arm whose runs have these pseudo-labels."""
    for run, given in zip(study.select([arm], "20%"), rows, strict=True):
        write_pseudo_labels(study, run, given)
    return drawn(reliability, study, {**study.document["figures"]["reliability"], "arms": [arm]})


def test_lines_are_means_over_runs_of_every_output(study):
    def rows(right):
        head = [(20, "main", 9, 10, 5, 4.6), (20, "reversed", 9, 20, 2, 9.2), (40, "main", 19, 40, right, 39.0)]
        return [*head, (40, "main", 9, 60, 30, 27.0), (40, "reversed", 12, 100, 50, 62.0), (60, "main", 19, 100, 90, 98.0)]

    figure, text = one_arm(study, "reco", [rows(20), rows(30), rows(40)])
    every, confident, share, calibration = figure.axes
    assert lines_of(every)["ReCo"].tolist() == [[20, 50], [40, 60], [60, 90]]
    assert lines_of(every)["ReCo, reversed"].tolist() == [[20, 10], [40, 50]]
    np.testing.assert_array_equal(lines_of(confident)["ReCo"], [[20, np.nan], [40, 75], [60, 90]])
    assert lines_of(share)["ReCo"].tolist() == [[20, 0], [40, 40], [60, 100]]
    # A deviation of 10 on either side of 60 at step 40, and none elsewhere.
    band = every.collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 40, 1].min() == pytest.approx(50) and band[:, 1].max() == pytest.approx(90)
    assert calibration.get_xlabel() == "Confidence (%)" and "largest probability is 0.95 or more" in text
    assert {line.get_color() for line in every.lines} == {arm_colour(study, "reco")}
    assert [line.get_linestyle() for line in every.lines] == ["-", "--"]


def test_calibration_is_over_all_images_of_the_last_step(study):
    early = [(20, output, 9, 500, 0, 240.0) for output in ("main", "reversed")]
    ends = [(60, "main", 9, 10, 6, 4.5), (60, "main", 12, 1, 1, 0.62), (60, "main", 19, 2, 2, 1.9)]
    figure, _ = one_arm(study, "reco", [early + ends, [*early, (60, "main", 9, 30, 10, 15.5)], early + ends])
    # 50 images of bin 9 with a mean confidence of 0.49, 22 of them right; fewer than five in the other two.
    diagonal, headline, _ = figure.axes[3].lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [100, 100]]
    assert headline.get_xydata() == pytest.approx(np.array([[49.0, 44.0]]))


def test_an_output_that_is_not_the_first_may_be_the_headline(study):
    rows = [(20, "student", 9, 10, 1, 4.6), (20, "teacher", 9, 10, 9, 4.6)]
    figure, _ = one_arm(study, "fixmatch", [rows] * 3)
    assert lines_of(figure.axes[0])["FixMatch"].tolist() == [[20, 90]]
    assert lines_of(figure.axes[0])["FixMatch, student"].tolist() == [[20, 10]]


def test_the_steps_of_a_warm_up_count(study):
    # All arms stand on one axis: PEFAT's thirty steps follow upon a warm-up of thirty.
    figure, _ = drawn(reliability, study, study.document["figures"]["reliability"])
    assert lines_of(figure.axes[0])["PEFAT"][:, 0].tolist() == [45, 60]
    assert lines_of(figure.axes[0])["ReCo"][:, 0].tolist() == [20, 40, 60]


def test_scores_that_are_no_pseudo_labels_are_one_line(study):
    run = study.select(["reco"], "20%")[0]
    Path(run.pseudo_labels).write_text("step,made_by\n")
    with pytest.raises(BadInput, match=r"pseudo-labels\.csv: delete the file so that the run is evaluated again"):
        drawn(reliability, study, study.document["figures"]["reliability"])
