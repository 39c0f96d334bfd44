"""Planning: all studies without data and without torch, the style checks, and mistakes in a configuration."""

import re
import subprocess
import sys
from collections import Counter

import pytest
import yaml


def run_clean(checkout, *command):
    return subprocess.run(command, cwd=checkout.root, capture_output=True, text=True, env=checkout.environment)


WITH_WARMUP = ("cps", "cfl", "cml", "plgcl", "rac-mt", "pefat")


def expected_counts(checkout, seeds: int) -> Counter:
    """Count the jobs of all tables from the files of the studies alone: arms x budgets x folds x seeds, and shared warm-ups."""
    config = yaml.safe_load((checkout.root / "config/config.yaml").read_text())
    counts, data = Counter(all_tables=1), set()
    for study in (yaml.safe_load((checkout.root / f"config/studies/{name}.yaml").read_text()) for name in config["studies"]):
        data.add((study["dataset"], study["preparation"]))
        trainings, shared, folds = 0, set(), study["split"].get("folds", 1)
        for arm in study["arms"].values():
            budgets, recipe = arm.get("budgets", study["budgets"]), arm.get("recipe", {})
            trainings += len(budgets) * seeds * folds
            first = study["recipe"].get("warmup", {}) | recipe.get("warmup", {})
            if arm["method"] in WITH_WARMUP and first.get("steps"):
                rest = {key: value for key, value in recipe.items() if key not in ("steps", "keep", "warmup")}
                key = yaml.safe_dump([arm["method"], arm.get("warmup", {}), first, rest], sort_keys=True)
                shared |= {(key, budget) for budget in budgets}
        validation = study["dataset"] in ("acdc", "brats2019") or study["split"].get("validation", 0) > 0
        scored = trainings * (2 if validation else 1)
        first = len(shared) * seeds * folds
        counts += Counter(train_run=trainings, predict=scored, evaluate=scored, warmup=first, split=folds, table=1)
    return counts + Counter(acquire=len({name for name, _ in data}), prepare=len(data))


def test_all_studies_are_planned_without_data_and_without_torch(pristine, tmp_path):
    for name in ("torch", "monai"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('planning imported {name}')\n")
    words = ("-n", "-q", "rules", "--", "results/tables/all.tex")
    done = pristine.execute("snakemake", "--cores", "2", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, flags=re.M)}
    total = counts.pop("total")
    assert counts == expected_counts(pristine, seeds=3) and total == sum(counts.values())
    assert (counts["train_run"], counts["warmup"], counts["table"]) == (1164, 213, 12)
    assert not (pristine.root / "results").exists()


def test_snakemake_lint_finds_nothing(pristine):
    done = pristine.execute("snakemake", "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_formatted(pristine):
    done = run_clean(pristine, sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow/rules")
    assert done.returncode == 0, done.stderr


def test_the_code_is_clean_and_formatted(pristine):
    for command in (("check",), ("format", "--check")):
        done = run_clean(pristine, sys.executable, "-m", "ruff", *command, "--no-cache", ".")
        assert done.returncode == 0, done.stdout + done.stderr


STUDY, CONFIG = "config/studies/tiny-la.yaml", "config/tiny.yaml"
MISTAKES = {
    "key of the configuration": (CONFIG, "seeds:", "sedes:", "unknown key 'sedes'; did you mean 'seeds'?"),
    "study": (CONFIG, "- tiny-la", "- tiny-al", "no file .*tiny-al.yaml; did you mean 'tiny-la'?"),
    "device": (CONFIG, "device: cpu", "device: gpu", "'gpu'"),
    "raw folder of an unknown data set": (CONFIG, "la: phantom", "laa: phantom", "laa.yaml; did you mean 'la'?"),
    "key of the study": (STUDY, "budgets: [2]\n", "budget: [2]\n", "unknown key 'budget'; did you mean 'budgets'?"),
    "key of the recipe": (STUDY, "  labelled: 2", "  labeled: 2", "unknown key 'labeled'; did you mean 'labelled'?"),
    "data set": (STUDY, "dataset: la", "dataset: las", "no file .*las.yaml; did you mean 'la'?"),
    "preparation": (STUDY, "preparation: phantom", "preparation: fantom", "did you mean 'phantom'?"),
    "backbone": (STUDY, "{name: vnet,", "{name: v-net,", "unknown backbone 'v-net'; did you mean 'vnet'?"),
    "option of the backbone": (STUDY, "width: 2", "widht: 2", "unknown key 'widht'; did you mean 'width'?"),
    "method": (STUDY, "method: ua-mt", "method: uamt", "unknown method 'uamt'; did you mean 'ua-mt'?"),
    "patch not divisible": (
        STUDY,
        "[16, 16, 16]\n  aug",
        "[16, 16, 24]\n  aug",
        "16x16x24: every side must be a multiple of 16",
    ),
    "hyper-parameter": (
        STUDY,
        "{unsupervised: 0.5}",
        "{unsupervized: 0.5}",
        "arms.cml-lambda1: hyperparameters: unknown key 'unsupervized'; did you mean 'unsupervised'?",
    ),
    "kind of a hyper-parameter": (STUDY, "unsupervised: 0.5", "unsupervised: a lot", "'unsupervised' must be like 1.0"),
    "warm-up of a method without one": (STUDY, "method: mt}", "method: mt, warmup: {box: 1}}", "method mt has no warm-up"),
    "arm of a table": (STUDY, "mt: null, ua", "tm: null, ua", "tables.comparison: no arm 'tm'; did you mean 'mt'?"),
    "arm of a figure": (STUDY, "arms: [supervised, cml],", "arms: [supervised, cmll],", "no arm 'cmll'; did you mean 'cml'?"),
    "kind of a figure": (STUDY, "kind: bars", "kind: bar", "'bar' is not known; did you mean 'bars'?"),
    "key of a figure": (STUDY, "cases: 1}", "case: 1}", "unknown key 'case'; did you mean 'cases'?"),
    "own arm": (STUDY, "own: cml", "own: clm", "own: no arm 'clm'; did you mean 'cml'?"),
    "metric": (STUDY, "hd95_voxel: null,", "hd95_voxels: null,", "'hd95_voxels'.*did you mean 'hd95_voxel'?"),
    "key given twice": (STUDY, "own: cml\n", "own: cml\nown: mt\n", "the key 'own' is given twice"),
    "no YAML": (STUDY, "budgets: [2]\n", "budgets: [2\n", "is not valid YAML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_one_line(fresh, mistake):
    path, old, new, wanted = MISTAKES[mistake]
    fresh.replace(path, old, new)
    done = fresh.snakemake("-n", "-q", "rules", check=False)
    assert done.returncode != 0
    said = (done.stdout + done.stderr).splitlines()
    lines = [line for line in said if line.startswith("semimed: error: ")]
    assert len(lines) == 1 and re.search(wanted.replace("?", r"\?"), lines[0]), done.stderr
    assert not any("Traceback" in line for line in said)
    # Snakemake itself adds only which profile and configuration it read
    others = [line for line in said if line not in lines]
    assert all(line.startswith(("Using workflow specific profile", "Config file")) for line in others), others


@pytest.mark.parametrize(
    "target",
    ["figures/tiny-la/curvs.png", "runs/tiny-la/cmll/2/fold0-seed0/run.json", "runs/tiny-la/cml/3/fold0-seed0/run.json"],
)
def test_a_figure_or_run_outside_the_plan_is_refused(fresh, target):
    done = fresh.snakemake("-n", "--", f"results/tiny/{target}", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "of the configured studies" in said and "KeyError" not in said, said
