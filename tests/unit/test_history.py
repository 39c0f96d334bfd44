"""The history file: means, rows cut on resume, and the first step that was not finite."""

import pytest
import torch
from semimed.history import History, stop_at


def fill(history, first, last, value=lambda step: float(step)):
    for step in range(first, last + 1):
        history.add(step, {"supervised": torch.tensor(value(step)), "more": torch.tensor(1.0)})
        if step % history.interval == 0:
            history.write(step, 0.1)


def rows(path):
    return [line.split(",") for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.csv"


def test_rows_are_means_over_the_interval(path):
    fill(History(path, 2), 1, 6)
    found = rows(path)
    assert found[0] == ["step", "lr", "seconds", "supervised", "more"]
    assert [(row[0], row[1], row[3], row[4]) for row in found[1:]] == [
        ("2", "0.1", "1.5", "1"),
        ("4", "0.1", "3.5", "1"),
        ("6", "0.1", "5.5", "1"),
    ]


def test_rows_after_the_checkpoint_are_cut(path):
    fill(History(path, 2), 1, 8)
    history = History(path, 2, step=4)
    assert [row[0] for row in rows(path)] == ["step", "2", "4"]
    fill(history, 5, 8, lambda step: 100.0)
    assert [(row[0], row[3]) for row in rows(path)[1:]] == [("2", "1.5"), ("4", "3.5"), ("6", "100"), ("8", "100")]


def test_nothing_is_left_before_the_first_row(path):
    fill(History(path, 2), 1, 8)
    History(path, 2, step=1)
    assert not path.exists()


def test_a_row_cut_in_half_goes(path):
    fill(History(path, 2), 1, 4)
    text = path.read_text()
    path.write_text(text + "6,0.1,0.2")
    History(path, 2, step=8)
    assert path.read_text().split() == text.split()


def test_a_half_interval_is_taken_up(path):
    before = History(path, 4)
    fill(before, 1, 6)
    resumed = History(path, 4, step=6, sums=before.sums)
    fill(resumed, 7, 8)
    assert rows(path)[-1][0] == "8" and rows(path)[-1][3] == "6.5"


def test_the_caller_keeps_its_sums(path):
    sums = {"supervised": (torch.tensor(2.0), 1)}
    History(path, 4, step=1, sums=sums).add(2, {"supervised": torch.tensor(5.0)})
    assert sums["supervised"] == (2, 1)
    value = torch.tensor(3.0)
    history = History(path, 4)
    history.add(1, {"supervised": value})
    value.add_(1)
    assert history.sums["supervised"] == (3, 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_first_bad_step_is_found(path, bad):
    history = History(path, 20)
    assert history.bad_step() is None
    fill(history, 1, 4)
    assert history.bad_step() is None
    fill(history, 5, 5, lambda step: bad)
    fill(history, 6, 6)
    fill(history, 7, 7, lambda step: float("nan"))
    assert history.bad_step() == 5


def test_any_term_counts(path):
    history = History(path, 20)
    history.add(1, {"supervised": torch.tensor(1.0), "more": torch.tensor(float("nan"))})
    assert history.bad_step() == 1


def test_the_message_names_step_stage_and_cases():
    line = str(stop_at(7, "la cml", ["B", "A", "B"]))
    assert "not finite at step 7 of la cml (cases B, A)" in line and "recipe.optimiser.lr" in line and "\n" not in line


def test_a_diagnostic_logged_now_and_then_stays_in_its_column(tmp_path):

    kept = History(tmp_path / "history.csv", 1)
    kept.add(1, {"supervised": torch.tensor(1.0), "bank": torch.tensor(5.0), "zeal": torch.tensor(7.0)})
    kept.write(1, 0.1)
    kept.add(2, {"supervised": torch.tensor(2.0), "zeal": torch.tensor(8.0)})
    kept.write(2, 0.1)
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert [len(row.split(",")) for row in rows] == [6, 6, 6] and rows[2].split(",")[-1] == "8"


def test_a_diagnostic_may_be_no_number(path):
    history = History(path, 1)
    history.add(1, {"supervised": torch.tensor(1.0)}, {"share": torch.tensor(float("nan"))})
    assert history.bad_step() is None
    history.write(1, 0.1)
    assert rows(path)[1][-1] == "nan"
