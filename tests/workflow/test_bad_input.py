"""Every bad input ends in the program's own one line, in the log and on the terminal, and leaves nothing half-written."""

import os
import shutil
import subprocess
from pathlib import Path

import h5py
import nrrd
import numpy as np
import pytest

STUDY, CONFIG, LIST = "config/studies/tiny-la.yaml", "config/tiny.yaml", "resources/splits/tiny.csv"
CASES = "data/la/phantom/cases.csv"
SPLIT, SPLIT_LOG = "splits/tiny-la/fold0.csv", "split/tiny-la-fold0.log"
BAD = "PHANTOM001"


def own_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("semimed: error: ")]


def assert_nothing_half_written(checkout):
    left = [path for path in checkout.results.rglob("*") if path.name.startswith(".") or path.suffix in (".tmp", ".part")]
    assert [path for path in left if path.name != ".snakemake_timestamp"] == []


def refused(checkout, target: str, log: str, *wanted: str) -> str:
    """Run Snakemake for a target that must fail; check the line, where it stands and what is left; return the line."""
    done = checkout.snakemake("--", f"results/tiny/{target}", check=False)
    said, written = done.stdout + done.stderr, (checkout.results / "logs" / log).read_text()
    assert done.returncode != 0 and not (checkout.results / target).exists()
    assert len(own_lines(written)) == 1, written
    line = own_lines(written)[0]
    assert written.rstrip().splitlines()[-1] == line and line in done.stderr + done.stdout
    assert "Traceback" not in said and "Traceback" not in written, said
    for word in wanted:
        assert word in line, line
    assert_nothing_half_written(checkout)
    return line


@pytest.fixture
def with_raw(fresh, demo):
    """A fresh checkout whose raw folder ``raw`` holds three good scans in the official layout."""
    for number in range(3):
        case = f"PHANTOM{number:03d}"
        shutil.copytree(demo.results / "data/la/raw" / case, fresh.root / "raw" / case)
    fresh.edit(CONFIG, lambda config: config.update(raw={"la": "raw"}))
    return fresh


def test_no_raw_data(fresh):
    fresh.edit(CONFIG, lambda config: config.update(raw={"la": "somewhere"}))
    where = str(fresh.root / "somewhere")
    line = refused(fresh, CASES, "acquire/la.log", where, "https://www.cardiacatlas.org", "raw: la:")
    assert "<case>/lgemri.nrrd" in line
    (fresh.root / "somewhere").mkdir()
    refused(fresh, CASES, "acquire/la.log", "somewhere", "https://www.cardiacatlas.org")


def rewrite(file: Path, change):
    volume, header = nrrd.read(str(file))
    nrrd.write(str(file), change(volume), header)


def no_label(case: Path):
    (case / "laendo.nrrd").unlink()


def other_shape(case: Path):
    rewrite(case / "laendo.nrrd", lambda label: label[:, :, :-1])


def strange_value(case: Path):
    rewrite(case / "laendo.nrrd", lambda label: np.where(label > 0, 7, 0).astype(np.uint8))


def empty_label(case: Path):
    rewrite(case / "laendo.nrrd", np.zeros_like)


def nan_voxels(case: Path):
    rewrite(case / "lgemri.nrrd", lambda image: np.where(image > 100, np.nan, image).astype(np.float32))


def truncated(case: Path):
    data = (case / "lgemri.nrrd").read_bytes()
    (case / "lgemri.nrrd").write_bytes(data[: len(data) // 2])


DAMAGES = {
    no_label: ("laendo.nrrd", "move the case folder away"),
    other_shape: ("laendo.nrrd", "(32, 28, 15)", "(32, 28, 16)"),
    strange_value: ("laendo.nrrd", "label values 7", "0, 255"),
    empty_label: ("laendo.nrrd", "empty label"),
    nan_voxels: ("lgemri.nrrd", "NaN"),
    truncated: ("lgemri.nrrd", "truncated NRRD"),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_scan(with_raw, damage):
    damage(with_raw.root / "raw" / BAD)
    refused(with_raw, CASES, "prepare/la-phantom.log", BAD, *DAMAGES[damage])
    assert [path.name for path in (with_raw.results / "data/la/phantom").iterdir()] == ["work"]


def test_a_truncated_h5(with_raw):
    for case in (with_raw.root / "raw").iterdir():
        image, label = (nrrd.read(str(case / name))[0] for name in ("lgemri.nrrd", "laendo.nrrd"))
        for name in ("lgemri.nrrd", "laendo.nrrd"):
            (case / name).unlink()
        with h5py.File(case / "mri_norm2.h5", "w") as store:
            store.create_dataset("image", data=image.astype(np.float32))
            store.create_dataset("label", data=(label > 0).astype(np.uint8))
    file = with_raw.root / "raw" / BAD / "mri_norm2.h5"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refused(with_raw, CASES, "prepare/la-phantom.log", f"{BAD}/mri_norm2.h5", "truncated HDF5", "get it again")


LISTS = {
    "no file": ("PHANTOM000,train\nNOBODY,test\n", ("NOBODY", "has no prepared case")),
    "both lists": ("PHANTOM000,train\nPHANTOM001,test\nPHANTOM000,test\n", ("PHANTOM000", "both train and test", "remove")),
    "no test case": ("PHANTOM000,train\n", ("no test case",)),
    "unknown subset": ("PHANTOM000,train\nPHANTOM001,tset\n", ("'tset'", "did you mean 'test'?")),
}


@pytest.mark.parametrize("mistake", LISTS)
def test_a_wrong_list(made, mistake):
    text, wanted = LISTS[mistake]
    (made.root / LIST).write_text("case,subset\n" + text)
    made.edit(STUDY, lambda study: study.update(split={"source": "official", "file": LIST}))
    refused(made, SPLIT, SPLIT_LOG, "tiny.csv", *wanted)


RECIPES = {
    "budget 0": (("budgets", [0]), "0", ("budget '0' for 7 training units", "1 to 7")),
    "budget too large": (("budgets", [8]), "8", ("budget '8' for 7 training units", "1 to 7")),
    "patch too large": (("patch", [16, 16, 48]), "2", ("16x16x48", "make the patch smaller")),
}


@pytest.mark.parametrize("mistake", RECIPES)
def test_a_wrong_recipe(made, mistake):
    (key, value), budget, wanted = RECIPES[mistake]

    def change(study):
        study["figures"] = {}
        study["arms"] = {"mt": {"method": "mt"}, "cml": study["arms"]["cml"]}
        study["tables"]["comparison"]["rows"] = {"mt": None}
        (study if key == "budgets" else study["recipe"])[key] = value

    shutil.rmtree(made.results / "runs/tiny-la/mt")
    made.edit(STUDY, change)
    refused(made, f"runs/tiny-la/mt/{budget}/fold0-seed0/run.json", f"train/tiny-la/mt-{budget}-fold0-seed0.log", *wanted)


@pytest.mark.parametrize("place", ["results", "results/tiny/data"])
def test_a_file_stands_where_a_folder_is_needed(fresh, place):
    (fresh.root / place).parent.mkdir(parents=True, exist_ok=True)
    (fresh.root / place).write_text("in the way")
    done = fresh.semimed("train", "tiny-la", "mt")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    (line,) = own_lines(done.stderr)
    assert "a file stands where a folder is needed" in line and "results" in line
    assert (fresh.root / place).read_text() == "in the way"
    done = fresh.snakemake("--", "results/tiny/data/la/source.json", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and own_lines(said) and "Traceback" not in said, said


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_results_folder(fresh):
    fresh.results.mkdir(parents=True)
    fresh.results.chmod(0o555)
    done = fresh.semimed("train", "tiny-la", "mt")
    fresh.results.chmod(0o755)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "permission denied" in own_lines(done.stderr)[0]


@pytest.fixture
def small_disk():
    """``small_disk(folder, kilobytes)`` mounts a file system of that size on an emptied folder, its content kept."""
    mounted = []

    def mount(folder: Path, kilobytes: int):
        kept = folder.with_name("kept")
        folder.mkdir(parents=True, exist_ok=True)
        folder.rename(kept)
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("no permission to mount a small file system")
        mounted.append(folder)
        subprocess.run(["cp", "-a", f"{kept}/.", folder], check=True)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_while_preparing(fresh, small_disk):
    small_disk(fresh.results, 500)
    done = fresh.snakemake("--", f"results/tiny/{CASES}", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said, said
    line = own_lines(said)[0]
    assert "the disk is full" in line and "`results:`" in line
    assert not (fresh.results / CASES).exists() and [path.name for path in (fresh.results / CASES).parent.iterdir()] == ["work"]
    assert_nothing_half_written(fresh)


def test_a_full_disk_while_training(made, small_disk):
    shutil.rmtree(made.results / "runs")
    shutil.rmtree(made.results / "warmups")
    used = int(subprocess.run(["du", "-sk", made.results], capture_output=True, text=True, check=True).stdout.split()[0])
    small_disk(made.results, used + 150)
    done = made.semimed("train", "tiny-la", "mt")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "the disk is full" in own_lines(done.stderr)[0]
    assert not (made.run_folder("mt") / "run.json").exists()
    assert_nothing_half_written(made)
