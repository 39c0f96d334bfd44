"""The whole workflow, once from nothing to the report."""

import csv
import json
import re

import yaml

RECORD = {
    *("study", "arm", "budget", "fold", "seed", "hash", "steps", "warmup_steps", "images", "seconds", "validation", "threads"),
    *("engine", "commit", "versions", "device", "machine", "peak_memory_mb", "code", "data", "facts", "config"),
}


def test_tables_figures_and_report_are_there(demo):
    tables = demo.results / "tables"
    assert "\\documentclass" in (tables / "all.tex").read_text() and "\\end{document}" in (tables / "all.tex").read_text()
    rows = list(csv.DictReader((tables / "tiny-la.csv").open(newline="")))
    assert len(rows) == 2 * 6 and {row["checkpoint"] for row in rows} == {"last", "best"}
    assert all((row["n"], row["stale"], row["missing"]) == ("1", "0", "0") and row["dice_mean"] for row in rows)
    assert "UA-MT" in (tables / "tiny-la.md").read_text()
    assert "\\begin{tabular}" in (tables / "tiny-la.tex").read_text()
    for name in ("curves", "arms", "overlays"):
        figure = demo.results / "figures/tiny-la" / name
        assert figure.with_suffix(".png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert figure.with_suffix(".png").stat().st_size > 5000
        assert figure.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-"
    report = (demo.results / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 3 + 4 and not re.search(r'(src|href)="https?:', report)


def test_every_run_left_its_record_and_no_work_folder(demo):
    records = sorted(demo.results.glob("*/tiny-la/*/*/fold0-seed0/run.json"))
    assert len(records) == 6 + 1
    for path in records:
        record = json.loads(path.read_text())
        assert set(record) == RECORD, path
        arm, budget = path.parts[-4], path.parts[-3]
        assert (record["study"], record["arm"], str(record["budget"]), record["seed"]) == ("tiny-la", arm, budget, 0)
        assert re.fullmatch("[0-9a-f]{64}", record["hash"]) and re.fullmatch("[0-9a-f]{64}", record["engine"])
        assert str(demo.root) not in path.read_text(), "the place of the checkout stands in run.json"
    assert not list(demo.results.rglob("work")) and not [
        p for p in demo.results.rglob(".*") if p.name != ".snakemake_timestamp"
    ]


def test_the_warm_up_is_shared_and_counted(demo):
    assert len(list(demo.results.glob("warmups/tiny-la/*/2/fold0-seed0/run.json"))) == 1
    for arm in ("cml", "cml-lambda1"):
        record = json.loads((demo.run_folder(arm) / "run.json").read_text())
        assert (record["steps"], record["warmup_steps"], record["images"]) == (10, 8, 8 * 18)


def test_every_job_left_its_log(demo):
    counts = {"acquire": 1, "prepare": 1, "split": 1, "warmup": 1, "train": 6, "predict": 12, "evaluate": 12, "curve": 1}
    counts |= {"table": 2, "figure": 3}
    logs = demo.results / "logs"
    assert {rule: sum(path.is_file() for path in (logs / rule).rglob("*.log")) for rule in counts} == counts
    assert (logs / "report.log").exists()
    assert not [path for path in logs.rglob("*.log") if "rror" in path.read_text()]


def test_a_second_call_has_nothing_to_do(demo):
    assert demo.planned().counts == {}
    done = demo.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_split_holds_no_case_twice_and_the_test_cases_stay_out_of_training(demo):
    rows = list(csv.DictReader((demo.results / "splits/tiny-la/fold0.csv").open(newline="")))
    assert len({row["case"] for row in rows}) == len(rows) == 10
    test = {row["case"] for row in rows if row["subset"] == "test"}
    scored = {row["case"] for row in csv.DictReader((demo.run_folder("cml") / "metrics/last-mean-test.csv").open(newline=""))}
    assert len(test) == 2 and scored == test
    facts = json.loads((demo.run_folder("cml") / "run.json").read_text())["facts"]
    assert (facts["labelled"], facts["unlabelled"]) == (2, 5)


def test_the_demonstration_is_small(pristine):
    """``make demo`` has at most 60 jobs and plans from the committed configuration alone."""
    config = yaml.safe_load((pristine.root / "config/demo.yaml").read_text())
    assert set(config["raw"].values()) == {"phantom"} and config["results"] != "results"
    planned = pristine.planned(configfile="config/demo.yaml")
    assert {"acquire", "prepare", "split", "warmup", "train_run", "table", "figure", "report"} <= set(planned.counts)
    assert sum(planned.counts.values()) + 1 <= 60
