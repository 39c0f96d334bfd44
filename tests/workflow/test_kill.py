"""Training is killed at random moments and goes on to the same weights; damaged and foreign checkpoints are refused."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

SAVE_EVERY_STEP = ("--save-seconds", "0", "--threads", "1")


def remove(checkout, *arms):
    """Remove the runs of some arms, and the warm-ups where ``cml`` is one of them."""
    for arm in arms:
        shutil.rmtree(checkout.results / f"runs/tiny-la/{arm}")
    if "cml" in arms:
        shutil.rmtree(checkout.results / "warmups")


def lengthen(checkout):
    """Make the training of ``cml`` long enough to be killed ten times."""
    checkout.replace("config/studies/tiny-la.yaml", "steps: 10", "steps: 30")
    remove(checkout, "cml", "cml-lambda1")


def resume_files(checkout) -> dict[str, int]:
    """Return the stage and time of every resume file there is."""
    found = {}
    for stage, kind in (("warm-up", "warmups"), ("train", "runs")):
        for path in checkout.results.glob(f"{kind}/tiny-la/cml*/2/fold0-seed0/work/resume.pt"):
            with contextlib.suppress(FileNotFoundError):
                found[stage] = path.stat().st_mtime_ns
    return found


def kill_after_a_save(checkout, process, delay: float) -> str | None:
    """Kill a training ``delay`` seconds after its next resume file and return the stage, ``None`` when it had ended."""
    before = resume_files(checkout)
    while process.poll() is None:
        new = [stage for stage, saved in resume_files(checkout).items() if saved != before.get(stage)]
        if new:
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    process.communicate(timeout=60)
    return new[-1] if process.returncode == -signal.SIGKILL else None


def states(folder: Path) -> dict:
    return {path.name: torch.load(path, weights_only=True)["method"] for path in sorted((folder / "weights").glob("*.pt"))}


def rows(folder: Path) -> list[list[str]]:
    """Return the history without the seconds per step."""
    lines = [line.split(",") for line in (folder / "history.csv").read_text().split()]
    return [[cell for cell, name in zip(line, lines[0], strict=True) if name != "seconds"] for line in lines]


def assert_same_training(folder: Path, reference: Path):
    ours, theirs = states(folder), states(reference)
    assert list(ours) == list(theirs) and ours
    for name, state in ours.items():
        assert list(state) == list(theirs[name])
        assert all(torch.equal(value, theirs[name][key]) for key, value in state.items()), name
    assert rows(folder) == rows(reference)
    record, wanted = (json.loads((path / "run.json").read_text()) for path in (folder, reference))
    for key in ("hash", "steps", "warmup_steps", "images", "validation", "config"):
        assert record[key] == wanted[key], key
    assert not (folder / "work").exists()


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(demo, tmp_path):
    straight, killed = (demo.copy(tmp_path / name) for name in ("straight", "killed"))
    for checkout in (straight, killed):
        lengthen(checkout)
    done = straight.semimed("train", "tiny-la", "cml", "--threads", "1")
    assert done.returncode == 0, done.stderr
    draw, hit = random.Random(0), []
    words = ("semimed", "train", "--configfile", "config/tiny.yaml", "tiny-la", "cml", *SAVE_EVERY_STEP)
    for _ in range(10):
        hit.append(kill_after_a_save(killed, killed.start(*words, PYTHONPATH="workflow"), draw.uniform(0, 0.1)))
    assert hit.count("warm-up") >= 2 and hit.count("train") >= 2 and None not in hit, hit
    done = killed.semimed("train", "tiny-la", "cml", *SAVE_EVERY_STEP)
    assert done.returncode == 0 and "going on from step" in done.stderr, done.stderr
    assert_same_training(killed.run_folder("cml"), straight.run_folder("cml"))
    ours, theirs = (next(c.results.glob("warmups/tiny-la/cml-*/2/fold0-seed0")) for c in (killed, straight))
    assert_same_training(ours, theirs)
    assert not list(killed.results.rglob(".*.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_ends_with_one_line(made, demo, number):
    remove(made, "mt")
    # no save by time: what is there afterwards was saved because of the signal
    process = made.start(
        *("semimed", "train", "--configfile", "config/tiny.yaml", "tiny-la", "mt", "--threads", "1"), PYTHONPATH="workflow"
    )
    wait_for(made.run_folder("mt") / "work/history.csv", process)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    line = err.strip().splitlines()[-1]
    assert line.startswith("semimed: error: stopped by " + number.name) and "run it again" in line and "Traceback" not in err
    assert (made.run_folder("mt") / "work/resume.pt").exists() and not (made.run_folder("mt") / "run.json").exists()
    again = made.semimed("train", "tiny-la", "mt", "--threads", "1")
    assert again.returncode == 0 and "going on from step" in again.stderr, again.stderr
    assert_same_training(made.run_folder("mt"), demo.run_folder("mt"))


def wait_for(path: Path, process: subprocess.Popen, patience=120):
    began = time.monotonic()
    while not path.exists():
        assert process.poll() is None and time.monotonic() - began < patience, f"{path} did not appear"
        time.sleep(0.001)


@pytest.mark.slow
def test_snakemake_killed_during_training_goes_on_after_unlock(made, demo):
    remove(made, "mt", "ua-mt")
    finished = {path: path.stat().st_mtime_ns for path in made.results.glob("runs/*/*/*/*/weights/*.pt")}
    words = ("snakemake", "--cores", "1", "--configfile", "config/tiny.yaml", "--", "train")
    process = made.start(*words)
    wait_for_training(made, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    locked = made.snakemake("--", "train", check=False)
    assert locked.returncode != 0 and "--unlock" in locked.stdout + locked.stderr
    made.snakemake("--unlock")
    done = made.snakemake("--", "train")
    said = done.stdout + done.stderr
    assert said.count(": Training ") == 2 and ": Warming up " not in said, said
    for arm in ("mt", "ua-mt"):
        assert_same_training(made.run_folder(arm), demo.run_folder(arm))
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items())
    assert made.planned("train").counts == {}


def wait_for_training(checkout, process):
    """Wait until one of the two trainings has begun."""
    began = time.monotonic()
    while not any((checkout.run_folder(arm) / "work").exists() for arm in ("mt", "ua-mt")):
        assert process.poll() is None and time.monotonic() - began < 120, "no training began"
        time.sleep(0.002)


@pytest.mark.slow
def test_a_checkpoint_cut_in_half(made, demo):
    shutil.rmtree(made.results / "runs/tiny-la/mt")
    work = made.run_folder("mt") / "work"
    words = ("tiny-la", "mt", "--threads", "1", "--save-seconds", "0")
    process = made.start("semimed", "train", "--configfile", "config/tiny.yaml", *words, PYTHONPATH="workflow")
    while not (work / "resume.previous.pt").exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    saved = {path: path.read_bytes() for path in (work / "resume.pt", work / "resume.previous.pt")}
    for path, data in saved.items():
        path.write_bytes(data[: len(data) // 2])
    done = made.semimed("train", *words)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    line = last_line(done)
    assert "every checkpoint" in line and str(work.relative_to(made.root)) in line and "delete" in line
    assert not (made.run_folder("mt") / "run.json").exists()
    (work / "resume.previous.pt").write_bytes(saved[work / "resume.previous.pt"])
    done = made.semimed("train", *words)
    assert done.returncode == 0 and "resume.pt is damaged" in done.stderr and "going on from step" in done.stderr
    ours, theirs = (checkout.run_folder("mt") / "metrics/last-student-test.csv" for checkout in (made, demo))
    assert ours.read_text() == theirs.read_text()


def test_a_checkpoint_of_another_configuration_given_by_hand(made):
    shutil.rmtree(made.results / "runs/tiny-la/mt")
    cases = {"cml/2/fold0-seed0/weights/last.pt": "does not belong to this run", "nothing.pt": "no checkpoint"}
    for given, wanted in cases.items():
        done = made.semimed("train", "tiny-la", "mt", "--resume", f"results/tiny/runs/tiny-la/{given}")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        line = last_line(done)
        assert wanted in line and given in line, line
        assert not (made.run_folder("mt") / "run.json").exists()


def last_line(done) -> str:
    """Return the last line of what a failed command said: the program's own."""
    line = done.stderr.rstrip().splitlines()[-1]
    assert line.startswith("semimed: error: ") and "Traceback" not in done.stderr, done.stderr
    return line
