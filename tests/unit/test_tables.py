"""Tables: numbers by hand, marks, published values beside ours, and nothing from runs that may not be shown."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from semimed.errors import BadInput
from semimed.reporting import tables
from semimed.reporting.table_layout import Cell, lay_out, ranked
from synthetic_results import CASES, labelled_8, make_plan, write_run

DICE = {"supervised": 0.80, "mt": 0.84, "ua-mt": 0.85, "cps": 0.87, "cfl": 0.88, "cml": 0.90}


@pytest.fixture
def cml(tmp_path):
    return labelled_8(tmp_path / "results", DICE)


def row_of(study, arm, budget=8, section="comparison", checkpoint="last"):
    wanted = (section, checkpoint, str(budget), arm)
    return next(r for r in tables.collect(study) if (r.section, r.checkpoint, str(r.budget), r.arm) == wanted)


def test_mean_and_deviation_are_over_runs_in_printed_units(cml):
    row = row_of(cml, "cml")
    assert row.values["dice"].mean == pytest.approx(90.0)
    assert row.values["dice"].std == pytest.approx(1.0)  # of 89, 90, 91 with n - 1
    assert row.values["hd95_voxel"].mean == pytest.approx(60 * 0.10)
    assert (row.n, row.expected, row.stale, row.missing) == (3, 3, 0, 0)
    assert (row.iterations, row.images) == (17000, 136000)


def test_a_run_counts_once_however_its_cases_spread(cml):
    for run, dice in zip(cml.select(["mt"], 8), (0.5, 0.6, 0.7), strict=True):
        write_run(cml, run, np.linspace(dice - 0.2, dice + 0.2, len(CASES)))
    value = row_of(cml, "mt").values["dice"]
    assert (value.mean, value.std) == (pytest.approx(60), pytest.approx(10))


def test_one_run_has_no_deviation(tmp_path):
    study = make_plan(tmp_path, "cml-la", seeds=[0]).study("cml-la")
    write_run(study, study.select(["cml"], 8)[0], 0.9)
    row = row_of(study, "cml")
    assert (row.values["dice"].mean, row.values["dice"].std) == (pytest.approx(90), None)


def test_stale_and_missing_runs_give_no_number_and_are_counted(cml):
    first, second, _ = cml.select(["cps"], 8)
    write_run(cml, first, 0.10, hash="0" * 64)
    shutil.rmtree(second.folder)
    row = row_of(cml, "cps")
    assert row.values["dice"].mean == pytest.approx(88)
    assert (row.n, row.expected, row.stale, row.missing) == (1, 3, 1, 1)
    text = tables.draw(cml)
    assert "1 of 51 runs stale" in text and "CPS at 8 (1)" in text
    assert "| 1/3 |" in next(line for line in text.splitlines() if "| CPS " in line and "88.00" in line)


def test_scores_without_run_record_are_missing(cml):
    Path(cml.select(["cml"], 8)[0].folder, "run.json").unlink()
    assert row_of(cml, "cml").missing == 1


def test_no_valid_run_leaves_the_cell_empty(cml):
    for run in cml.select(["mt"], 8):
        write_run(cml, run, 0.99, hash="0" * 64)
    row = row_of(cml, "mt")
    assert row.values["dice"].mean is None and row.p is None and row.iterations is None and row.stale == 3
    table = lay_out(cml, tables.collect(cml))[0]
    cells = next(cells for cells in table.rows[table.groups[1] : table.groups[2]] if cells[1].text == "MT")
    assert [cell.text for cell in cells] == ["", "MT", "", "", "", "", "", "", "", "", "", "0/3", "", ""]


def test_changed_data_make_every_run_stale(cml):
    path = Path(cml.data) / "cases.csv"
    path.write_text(path.read_text() + "\n")
    assert row_of(cml, "cml").stale == 3


def test_published_values_stand_beside_ours(cml):
    value = row_of(cml, "cml").values["dice"]
    assert (value.published, value.published_std) == (90.36, None)
    assert row_of(cml, "cml", 4).values["hd95_voxel"].published == 8.92
    assert row_of(cml, "supervised", 80).values["dice"].published == 91.47
    assert row_of(cml, "supervised").values["dice"].published == 82.74
    assert row_of(cml, "cml-sup-u", section="ablation").values["dice"].published == 88.16
    assert row_of(cml, "mt").values["dice"].published is None
    assert row_of(cml, "cml", 16).values["dice"].published is None
    assert row_of(cml, "cml").values["hd95_mm"].published is None


def test_a_misspelt_published_row_is_an_error(cml):
    cml.document["tables"]["comparison"]["rows"]["cml"] = "CLM"
    with pytest.raises(BadInput, match="'CLM' is not in the published table; did you mean 'CML'"):
        tables.collect(cml)


def test_best_and_second_are_marked_among_measured_values_only(cml):
    for run in cml.select(["supervised"], 80):
        write_run(cml, run, 0.85)  # published: 91.47
    table = lay_out(cml, tables.collect(cml))[0]
    block = table.rows[table.groups[1] : table.groups[2]]
    assert {cells[1].text: cells[2].mark for cells in block} == {
        "V-Net (supervised)": "", "MT": "", "UA-MT": "", "CPS": "", "CFL": "second", "CML": "best",
    }  # fmt: skip
    assert {cells[1].text: cells[4].mark for cells in block if cells[4].mark} == {"CFL": "second", "CML": "best"}
    assert all(cells[3].mark == "published" for cells in block)
    assert table.rows[-1][2] == Cell("85.00 ± 0.00", "")  # alone at 80 labels: nothing to be best of


def test_ranks_use_unrounded_means_and_share_ties():
    def row(arm, mean):
        values = {"dice": tables.Value(mean, None), "hd95_voxel": tables.Value(mean, None)}
        return tables.Row("s", "last", 8, arm, arm, False, 1, 1, 0, 0, values)

    rows = [row("a", 88.001), row("b", 88.002), row("c", 50.0), row("d", None)]
    assert ranked(rows, "dice") == {"b": "best", "a": "second"}
    assert ranked(rows, "hd95_voxel") == {"c": "best", "a": "second"}
    assert ranked([row("a", 5.0), row("b", 5.0), row("c", 4.0)], "dice") == {"a": "best", "b": "best", "c": "second"}


def test_paired_test_by_hand(cml):
    # Each of 8 cases is better with CML: the smallest two-sided p of the signed-rank test, 2 / 2**8.
    assert row_of(cml, "mt").p == pytest.approx(2 / 2**8)
    assert row_of(cml, "cml").p is None
    # At 80 labels there is no CML to test against.
    for run in cml.select(["supervised"], 80):
        write_run(cml, run, 0.9)
    assert row_of(cml, "supervised", 80).p is None


def test_pairs_are_cases_averaged_over_the_seeds_both_have(cml):
    own, other = cml.select(["cml"], 8), cml.select(["mt"], 8)
    better = np.array([1, 1, 1, 1, 1, 1, 1, -1]) * np.arange(1, 9) / 100
    write_run(cml, own[0], 0.8 + better)
    write_run(cml, other[0], 0.8)
    # Seeds that only one of the two has would turn the sign of every pair.
    for run in own[1:]:
        write_run(cml, run, 0.1)
    for run in other[1:]:
        shutil.rmtree(run.folder)
    # The negative rank sum is 8: 25 of the 256 sign patterns have one of 8 or less.
    assert row_of(cml, "mt").p == pytest.approx(2 * 25 / 256)


def test_seeds_of_a_case_are_averaged_before_the_test(cml):
    # Single seeds swing either way, their mean over three is always better with CML.
    for run, shift in zip(cml.select(["cml"], 8), (0.09, -0.02, -0.04), strict=True):
        write_run(cml, run, 0.8 + shift + np.arange(1, 9) / 1000)
    for run in cml.select(["mt"], 8):
        write_run(cml, run, 0.8)
    assert row_of(cml, "mt").p == pytest.approx(2 / 2**8)
    for run, shift in zip(cml.select(["cml"], 8), (0.09, -0.05, -0.07), strict=True):
        write_run(cml, run, 0.8 + shift + np.array([1, -1] * 4) * 0.05 + np.arange(8) / 1000)
    assert row_of(cml, "mt").p > 0.1


def test_published_values_stand_beside_the_headline_only(cml):
    both = dataclasses.replace(cml, has_validation=True)
    for run in both.select(["cml"], 8):
        write_run(both, run, 0.9)
    values = [row_of(both, "cml", checkpoint=checkpoint).values["dice"] for checkpoint in ("last", "best")]
    assert [value.published for value in values] == [90.36, None]
    assert values[1].mean == pytest.approx(90)


def test_validation_selected_checkpoint_is_a_table_of_its_own(tmp_path):
    study = make_plan(tmp_path, "mini-acdc").study("mini-acdc")
    for run in study.runs:
        write_run(study, run, 0.7, checkpoints=["last"])
        write_run(study, run, 0.8, checkpoints=["best"])
    assert row_of(study, "cml", 3).values["dice"].mean == pytest.approx(70)
    assert row_of(study, "cml", 3, checkpoint="best").values["dice"].mean == pytest.approx(80)
    titles = [table.title for table in lay_out(study, tables.collect(study))]
    assert titles[:2] == ["Comparison: last checkpoint", "Comparison: checkpoint selected on the validation cases"]


def test_budgets_in_per_cent(tmp_path):
    study = make_plan(tmp_path, "cml-la").study("cml-la")
    arms = {name: dataclasses.replace(arm, budgets=("5%",)) for name, arm in study.arms.items()}
    runs = tuple(dataclasses.replace(run, arm=arms[run.arm.name], budget="5%") for run in study.runs)
    document = {**study.document, "budgets": ["5%"]}
    document["published"] = {**document["published"], "labelled": {"5%": ["8(10%)+72u(90%)"]}}
    row = row_of(dataclasses.replace(study, arms=arms, runs=runs, document=document), "cml", "5%")
    assert row.values["dice"].published == 90.36
    assert "5pct" in runs[0].folder


def test_empty_masks_and_unlike_engines_are_said(cml):
    write_run(cml, cml.select(["mt"], 8)[0], 0.84, empty="prediction", engine="f" * 64)
    assert row_of(cml, "mt").empty == {"prediction": 8}
    text = tables.draw(cml)
    assert "an empty prediction" in text and "MT at 8 (8)" in text
    assert "2 versions of the shared training code: eeeeeeee (17 runs), ffffffff (1 runs)" in text


def test_scores_of_other_weights_or_another_inference_are_stale(cml):
    run, other = cml.select(["mt"], 8)[:2]
    for one, words in ((run, "0" * 64), (other, "")):
        path = Path(one.metrics("last"))
        head, *rows = path.read_text().splitlines()
        path.write_text("\n".join([head, *(row[: row.rindex(",") + 1] + words for row in rows)]) + "\n")
    row = row_of(cml, "mt")
    assert (row.n, row.stale, row.missing) == (1, 2, 0)
    cml.document["inference"]["stride"] = [9, 9, 4]
    assert row_of(cml, "mt").n == 0 and row_of(cml, "mt").values["dice"].mean is None


def test_data_made_with_other_options_leaves_every_cell_empty(cml):
    Path(cml.data, "options.json").write_text('{"version": 0}')
    assert cml.outdated(0) == f"{cml.data}/cases.csv"
    assert row_of(cml, "mt").n == 0 and row_of(cml, "mt").stale == 3


def test_a_case_without_a_number_leaves_the_mean_out(cml):
    path = Path(cml.select(["mt"], 8)[0].metrics("last"))
    lines = path.read_text().splitlines()
    fields = lines[1].split(",")
    fields[6] = ""
    path.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")
    values = row_of(cml, "mt").values
    assert values["hd95_mm"].mean is None and values["dice"].mean == pytest.approx(84)


@pytest.mark.parametrize("damage", ["", "case,class\nA,atrium\n", "\x00\x01", "case,class,dice\nA,atrium,none\n"])
def test_damaged_scores_end_in_one_line(cml, damage):
    path = Path(cml.select(["cml"], 8)[0].metrics("last"))
    made_by = path.read_text().splitlines()[1].split(",")[-1]
    path.write_text(damage.replace("class", "made_by,class", 1).replace("A,", f"A,{made_by},"))
    with pytest.raises(BadInput, match=r"last-mean-test\.csv.*delete the file so that the run is evaluated again"):
        tables.collect(cml)


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"hash": "0"}'])
def test_damaged_record_ends_in_one_line(cml, damage):
    Path(cml.select(["cml"], 8)[0].folder, "run.json").write_text(damage)
    with pytest.raises(BadInput, match=r"run\.json.*delete its folder so that the run is made again"):
        tables.collect(cml)


def test_unknown_metric_is_named(cml):
    cml.document["metrics"]["dyce"] = None
    with pytest.raises(BadInput, match="unknown metric 'dyce'; did you mean 'dice'"):
        tables.collect(cml)
