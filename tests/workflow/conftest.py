"""A private checkout of the repository, Snakemake run in it, and one small workflow made once for all tests."""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = "results/tiny"
STUDY = """
title: Tiny
dataset: la
preparation: phantom
split: {source: random, folds: 2, seed: 0, train: 0.7, validation: 0.1, test: 0.2}
backbone: {name: vnet, width: 2, dropout: true}
recipe:
  steps: 10
  labelled: 2
  unlabelled: 2
  sample: patch
  patch: [16, 16, 16]
  augment: rotate-flip
  optimiser: {name: sgd, lr: 0.05, momentum: 0.9}
  schedule: {name: poly, power: 0.9}
  validate_every: 5
  warmup: {steps: 8, schedule: {name: constant}}
inference: {kind: sliding, stride: [16, 16, 16], batch: 4, largest_component: true, geometry: prepared}
budgets: [2]
metrics: {dice: null, hd95_voxel: null, asd_voxel: null}
own: cml
arms:
  supervised: {label: Supervised, method: supervised, budgets: [2, 4], recipe: {unlabelled: 0}}
  mt: {label: MT, method: mt}
  ua-mt: {label: UA-MT, method: ua-mt}
  cml: {label: CML, method: cml, recipe: {labelled: 4, unlabelled: 4, keep: 2}}
  # another lambda1: a run of its own on the same warm-up
  cml-lambda1:
    label: "CML, lambda1 0.5"
    method: cml
    hyperparameters: {unsupervised: 0.5}
    recipe: {labelled: 4, unlabelled: 4}
tables:
  comparison:
    title: Comparison
    rows: {supervised: null, mt: null, ua-mt: null, cml: null, cml-lambda1: null}
figures:
  curves: {kind: curves, caption: "Over training.", budget: 2, arms: [cml]}
  arms: {kind: bars, caption: "Each arm.", budget: 2, arms: [supervised, mt, ua-mt, cml]}
  overlays: {kind: overlays, caption: "Predictions.", budget: 2, arms: [supervised, cml], cases: 1}
"""
CONFIG = {"studies": ["tiny-la"], "seeds": [0], "folds": [0], "results": RESULTS, "raw": {"la": "phantom"}, "device": "cpu"}
THREADS = {"prepare": 1, "train": 1, "predict": 1}


@dataclass
class Planned:
    """What a dry-run lists: ``counts`` rule -> number of jobs (without ``all``), ``titles`` the jobs' messages, sorted."""

    counts: dict[str, int]
    titles: list[str]

    def trained(self) -> list[str]:
        """Return the trainings and warm-ups, in the words of their messages."""
        return [title for title in self.titles if title.startswith(("Training", "Warming"))]


class Checkout:
    """A private copy of the repository in ``root`` with the study ``tiny-la``; ``results`` is where it makes things."""

    def __init__(self, root: Path):
        self.root, self.results = root, root / RESULTS
        self.study, self.config = root / "config/studies/tiny-la.yaml", root / "config/tiny.yaml"
        self.dataset = root / "config/datasets/la.yaml"

    @property
    def environment(self) -> dict:
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}

    def execute(self, *words, timeout=300, **environment) -> subprocess.CompletedProcess:
        """Run a Python module in the checkout with captured output; a run that hangs is killed with all its children."""
        process = self.start(*words, **environment)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words, **environment) -> subprocess.Popen:
        command = [sys.executable, "-m", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        return subprocess.Popen(command, cwd=self.root, env={**self.environment, **environment}, **pipes)

    def snakemake(self, *words, check=True, configfile="config/tiny.yaml", **more) -> subprocess.CompletedProcess:
        """Run ``snakemake --cores 2 --configfile config/tiny.yaml WORDS``."""
        done = self.execute("snakemake", "--cores", "2", "--configfile", configfile, *words, **more)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def semimed(self, command: str, *words, **more) -> subprocess.CompletedProcess:
        """Run ``python -m semimed COMMAND --configfile config/tiny.yaml WORDS``."""
        return self.execute("semimed", command, "--configfile", "config/tiny.yaml", *words, PYTHONPATH="workflow", **more)

    def planned(self, *targets, **more) -> "Planned":
        """Return what a dry-run of the targets (by default everything) would do."""
        text = self.snakemake("-n", "--", *targets, **more).stdout
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total +(\d+)$", text, flags=re.M | re.S)
        if table is None:
            assert "Nothing to be done" in text, text
            return Planned({}, [])
        counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table[1], flags=re.M)}
        counts.pop("all", None)
        return Planned(counts, sorted(re.findall(r"^Job \d+: (.*)$", text, flags=re.M)))

    def edit(self, path, change) -> None:
        """Load a YAML file of the checkout, let ``change(document)`` change it in place, and write it."""
        document = yaml.safe_load((self.root / path).read_text())
        change(document)
        (self.root / path).write_text(yaml.safe_dump(document, sort_keys=False))

    def replace(self, path, old: str, new: str) -> None:
        """Replace text that must occur in a file of the checkout."""
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new))

    def run_folder(self, arm: str, budget: int = 2) -> Path:
        return self.results / f"runs/tiny-la/{arm}/{budget}/fold0-seed0"

    def copy(self, root: Path) -> "Checkout":
        """Copy everything, times and Snakemake's metadata included."""
        subprocess.run(["cp", "-a", self.root, root], check=True)
        return Checkout(root)


def new_checkout(root: Path) -> Checkout:
    """Copy the repository's files (tracked, and untracked but not ignored) and add the tiny study."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
    checkout = Checkout(root)
    checkout.study.write_text(STUDY.lstrip())
    checkout.config.write_text(yaml.safe_dump({**CONFIG, "threads": THREADS}))
    checkout.edit(checkout.dataset, _shrink)
    return checkout


def _shrink(dataset: dict) -> None:
    dataset["phantom"] |= {"cases": 10, "shape": [32, 28, 16]}
    dataset["preparations"]["phantom"] |= {"margin": 2, "patch": 16}


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Checkout:
    """A checkout in which nothing was made; not to be changed."""
    return new_checkout(tmp_path_factory.mktemp("pristine") / "semimed")


@pytest.fixture
def fresh(pristine, tmp_path) -> Checkout:
    """A checkout of its own in which nothing was made."""
    return pristine.copy(tmp_path / "semimed")


@pytest.fixture(scope="session")
def demo(pristine, tmp_path_factory) -> Checkout:
    """A checkout in which the whole tiny workflow was run; not to be changed. ``said`` is what Snakemake printed."""
    checkout = pristine.copy(tmp_path_factory.mktemp("demo") / "semimed")
    done = checkout.snakemake(timeout=600)
    checkout.said = done.stdout + done.stderr
    return checkout


@pytest.fixture
def made(demo, tmp_path) -> Checkout:
    """A copy of ``demo`` of its own, as ``cp -a`` makes it."""
    return demo.copy(tmp_path / "semimed")
