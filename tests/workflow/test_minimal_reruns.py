"""What a change re-runs, read from the job table of a dry-run after everything was made."""

import csv
import os
import random
import shutil
import subprocess

import pytest
import yaml

STUDY, CONFIG, DATASET = "config/studies/tiny-la.yaml", "config/tiny.yaml", "config/datasets/la.yaml"
METHODS = "workflow/semimed/methods"
SHOWN = {"table": 1, "all_tables": 1, "report": 1}
MEASURED = ("acquire", "prepare", "split", "warmup", "train_run", "predict", "evaluate", "curve", "illustrate", "embed")


def of(planned, *rules) -> dict[str, int]:
    return {rule: planned.counts[rule] for rule in rules if rule in planned.counts}


def runs(count: int) -> dict[str, int]:
    """Return the jobs of some trainings: each predicts and scores two checkpoints, the last and the validation-selected."""
    return {"train_run": count, "predict": 2 * count, "evaluate": 2 * count}


def test_a_hyperparameter_of_one_arm_re_runs_that_arm(made):
    made.replace(STUDY, "{unsupervised: 0.5}", "{unsupervised: 0.25}")
    planned = made.planned()
    assert planned.counts == {**runs(1), **SHOWN}
    assert planned.trained() == ["Training cml-lambda1 of tiny-la at 2 labels, fold 0, seed 0"]


def test_a_hyperparameter_of_the_warm_up_makes_a_new_one_for_that_arm(made):
    made.replace(STUDY, "{unsupervised: 0.5}", "{unsupervised: 0.5}\n    warmup: {discrepancy: 0.1}")
    planned = made.planned()
    assert planned.counts == {"warmup": 1, **runs(1), **SHOWN}
    assert next(title.split(" of ")[0] for title in planned.trained()) == "Training cml-lambda1"


def test_the_recipe_of_the_study_re_runs_all_runs_but_no_data(made):
    made.replace(STUDY, "lr: 0.05", "lr: 0.04")
    planned = made.planned()
    assert planned.counts == {"warmup": 1, **runs(6), "curve": 1, "figure": 3, **SHOWN}


def add_arm(study):
    study["arms"]["mt-slow"] = {"method": "mt", "hyperparameters": {"momentum": 0.999}}
    study["tables"]["comparison"]["rows"]["mt-slow"] = None


def test_a_new_arm_trains_only_itself(made):
    made.edit(STUDY, add_arm)
    planned = made.planned()
    assert of(planned, *MEASURED) == runs(1)
    assert planned.trained() == ["Training mt-slow of tiny-la at 2 labels, fold 0, seed 0"]


def test_a_new_seed_trains_only_that_seed(made):
    made.edit(CONFIG, lambda config: config.update(seeds=[0, 1]))
    planned = made.planned()
    assert planned.counts == {"warmup": 1, **runs(6), "curve": 1, "figure": 3, **SHOWN}
    assert all(title.endswith("seed 1") for title in planned.trained())


def test_a_new_budget_trains_only_that_budget(made):
    made.edit(STUDY, lambda study: study.update(budgets=[2, 3]))
    planned = made.planned()
    # the supervised arm has a list of its own
    assert of(planned, *MEASURED) == {"warmup": 1, **runs(4)}
    assert all("at 3 labels" in title for title in planned.trained())


@pytest.mark.parametrize("by", ["selection", "study"])
def test_a_new_fold_trains_only_that_fold(made, by):
    made.edit(CONFIG, lambda config: config.update(folds=[0, 1] if by == "selection" else [0, 2]))
    if by == "study":
        made.replace(STUDY, "folds: 2", "folds: 3")
    planned = made.planned()
    assert planned.counts == {"split": 1, "card": 1, "warmup": 1, **runs(6), "curve": 1, "figure": 3, **SHOWN}
    assert not any("fold 0" in title for title in planned.trained())


@pytest.mark.parametrize("change", ["style", "caption", "label", "title"])
def test_a_change_of_looks_measures_nothing(made, change):
    if change == "style":
        made.replace("workflow/semimed/reporting/figures.py", '"axes.titlesize": 9', '"axes.titlesize": 10')
    elif change == "caption":
        made.replace(STUDY, "Each arm.", "Each arm at two labels.")
    elif change == "label":
        made.replace(STUDY, "label: UA-MT", "label: Uncertainty")
    else:
        made.replace(STUDY, "title: Comparison", "title: All arms")
    planned = made.planned()
    assert of(planned, *MEASURED) == {}
    figures = {"style": 3, "caption": 1}.get(change)
    assert planned.counts == {"figure": figures, "report": 1} if figures else planned.counts["table"] == 1, planned.counts


def test_a_preparation_option_re_runs_everything_after_it(made):
    made.edit(DATASET, lambda dataset: dataset["preparations"]["phantom"].update(margin=3))
    planned = made.planned()
    everything = {"prepare": 1, "split": 1, "card": 1, "warmup": 1, **runs(6), "curve": 1, "figure": 3, **SHOWN}
    assert planned.counts == everything


@pytest.mark.parametrize(
    ("file", "trained"),
    {
        "mt": {"mt", "ua-mt"},
        "ua_mt": {"ua-mt"},
        "supervised": {"supervised"},
        "cml": {"cml", "cml-lambda1", "warm-up"},
        "cfl": {"cml", "cml-lambda1", "warm-up"},
    }.items(),
)
def test_the_file_of_a_method_re_runs_it_and_what_imports_it(made, file, trained):
    with (made.root / METHODS / f"{file}.py").open("a") as handle:
        handle.write("\nANOTHER = 1\n")
    planned = made.planned()
    words = [title.split() for title in planned.trained()]
    assert {"warm-up" if first == "Warming" else second for first, second, *_ in words} == trained
    assert of(planned, "acquire", "prepare", "split") == {}
    assert planned.counts["predict"] == planned.counts["evaluate"] == 2 * planned.counts["train_run"]


def test_the_metrics_re_run_the_scores_only(made):
    with (made.root / "workflow/semimed/metrics/segmentation.py").open("a") as handle:
        handle.write("\nANOTHER = 1\n")
    assert of(made.planned(), *MEASURED) == {"evaluate": 12, "curve": 1}


def test_touched_files_re_run_nothing(made):
    files = [path for path in made.root.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    random.Random(0).shuffle(files)
    for path in files:
        os.utime(path)
    assert made.planned().counts == {}


def turned(value):
    """Return a document with the order of the keys of every mapping turned round, but that of arms and rows kept."""
    if not isinstance(value, dict):
        return [turned(item) for item in value] if isinstance(value, list) else value
    return {key: value[key] if key in ("arms", "rows") else turned(value[key]) for key in reversed(value)}


def test_another_layout_of_the_same_configuration_re_runs_nothing(made):
    for path in (STUDY, CONFIG, DATASET):
        document = yaml.safe_load((made.root / path).read_text())
        text = yaml.safe_dump(turned(document), sort_keys=False, default_flow_style=False, indent=4, width=40)
        (made.root / path).write_text("# a comment\n" + text)
    assert made.planned().counts == {}
    made.replace(STUDY, "lr: 0.05", "lr: 5.0e-2  # the same")
    assert made.planned().counts == {}


@pytest.mark.slow
def test_moved_raw_data_re_run_nothing(fresh, demo, tmp_path):
    shutil.copytree(demo.results / "data/la/raw", tmp_path / "here")
    fresh.edit(CONFIG, lambda config: config.update(raw={"la": str(tmp_path / "here")}))
    target = "results/tiny/runs/tiny-la/supervised/2/fold0-seed0/run.json"
    fresh.snakemake("--", target)
    (tmp_path / "here").rename(tmp_path / "there")
    fresh.edit(CONFIG, lambda config: config.update(raw={"la": str(tmp_path / "there")}))
    assert fresh.planned(target).counts == {}
    # the place is read from the configuration of the day, so a later preparation finds the files
    fresh.snakemake("--forcerun", "prepare", "--", "results/tiny/data/la/phantom/cases.csv")


def last_rows(checkout) -> dict[str, dict]:
    """Return the rows of the headline checkpoint in the made table, by arm and budget."""
    with (checkout.results / "tables/tiny-la.csv").open(newline="") as handle:
        return {f"{row['arm']} {row['budget']}": row for row in csv.DictReader(handle) if row["checkpoint"] == "last"}


def test_without_metadata_a_stale_number_is_not_shown(made):
    """With ``.snakemake`` lost Snakemake plans nothing after a change of a hyper-parameter; the hash in run.json tells."""
    before = last_rows(made)
    assert before["cml-lambda1 2"]["dice_mean"]
    shutil.rmtree(made.root / ".snakemake")
    made.replace(STUDY, "{unsupervised: 0.5}", "{unsupervised: 0.25}")
    assert made.planned().counts == {}
    made.snakemake("--forcerun", "table", "--", "results/tiny/tables/tiny-la.csv")
    after = last_rows(made)
    row = after.pop("cml-lambda1 2")
    assert [row[key] for key in ("n", "expected", "stale", "dice_mean", "hd95_voxel_mean")] == ["0", "1", "1", "", ""]
    assert all(row == before[key] for key, row in after.items())
    printed = made.semimed("table", "tiny-la")
    assert printed.returncode == 0 and "stale" in printed.stdout, printed.stderr
    assert printed.stdout.strip() == (made.results / "tables/tiny-la.md").read_text().strip()


def test_orphans_lists_what_no_study_names(made):
    made.replace(STUDY, "cml-lambda1", "cml-half")
    before = subprocess.run(["find", made.results], capture_output=True, check=True).stdout
    listed = made.semimed("orphans").stdout.split()
    assert listed == ["results/tiny/runs/tiny-la/cml-lambda1/2/fold0-seed0"]
    assert subprocess.run(["find", made.results], capture_output=True, check=True).stdout == before
