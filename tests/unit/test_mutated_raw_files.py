"""Damaged and wrongly written raw files of every data set: read right or refused in one line, and nothing else happens."""

import gzip
import math
import multiprocessing
import os
import random
import resource
import shutil
import sys
import traceback
from collections import Counter
from pathlib import Path

import h5py
import nrrd
import numpy as np
import pytest
from official_files import facts_of, with_phantoms
from raw_mutations import ANY, ORIGINAL, OTHERWISE, REFUSED, REWRITTEN, Target, damage
from raw_volume_mutations import VOLUMES
from semimed.datasets import load
from semimed.errors import BadInput

SECONDS = 10  # for one mutant
MEMORY = 2**30  # bytes more than at the start

# --- raw folders: the phantoms, and the other kinds of file that the readers take ---


def raw_folders(name: str, place: Path) -> dict[str, Path]:
    """Write small raw folders of a data set below ``place`` and return them by the kind of their files."""
    dataset, official = load(name), place / "official"
    dataset.write_phantom(official, facts_of(name)["phantom"])
    folders = {"official": official}
    for kind, (pattern, rewrite) in OTHERS.items():
        if any(official.rglob(pattern)):
            folders[kind] = shutil.copytree(official, place / kind)
            for file in list(folders[kind].rglob(pattern)):
                rewrite(file)
    layout, cases = dataset.find(official)
    for kind, write in PROCESSED.get(name, {}).items():
        folders[kind] = place / kind
        for case in cases:
            scan = dataset.read(case, layout)
            write(folders[kind], case.case, scan.image[0].astype(np.float32), scan.label)
    return folders


def _unpack(file):
    file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
    file.unlink()


def _store_plainly(file):
    array, header = nrrd.read(str(file))
    nrrd.write(str(file), array, header | {"encoding": "raw"})


OTHERS = {"unpacked": ("*.nii.gz", _unpack), "plain": ("*.nrrd", _store_plainly)}


def _write_h5(file, image, label, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as store:
        store.create_dataset("image", data=image, **options)
        store.create_dataset("label", data=label, **options)


def _write_slices(raw, case, image, label):
    for number, arrays in enumerate(zip(image, label, strict=True), 1):
        _write_h5(raw / "data" / "slices" / f"{case}_slice_{number}.h5", *arrays)


# the processed files of the field: in packed pieces and in one plain piece
PROCESSED = {
    "la": {"h5": lambda raw, case, *arrays: _write_h5(raw / case / "mri_norm2.h5", *arrays, compression="gzip")},
    "acdc": {"h5": lambda raw, case, *arrays: _write_h5(raw / "data" / f"{case}.h5", *arrays), "slices": _write_slices},
}


def targets(dataset, raw: Path) -> list[Target]:
    """Return what to change: the files of the first case, and one of each kind that belongs to no single case."""
    _, cases = dataset.find(raw)
    first, last = cases[0], cases[-1]
    found = []
    for role, file in first.files.items():
        if file.suffix != ".h5":
            found.append(Target(file, last.files[role], "picture" if dataset.task == "classification" else role))
        elif not found:  # both arrays in one file, or a file for each slice, of which one will do
            found = [Target(file, last.files[role], key, key) for key in ("image", "label")]
    of_cases = {file for case in cases for file in case.files.values()}
    tables = sorted(path for path in raw.rglob("*") if path.is_file() and path not in of_cases)
    first_tables = {file.name: file for file in reversed(tables)}
    return found + [Target(file, tables[-1], "table") for file in first_tables.values()]


# --- what becomes of a mutant ---


def survey(dataset, raw: Path, options: dict):
    """Return what the data set makes of a raw folder: its cases and the prepared scan of the first."""
    layout, cases = dataset.find(raw, "get it by hand")
    told = [(case.case, case.group, case.target, {role: str(file) for role, file in case.files.items()}) for case in cases]
    return told, dataset.read_prepared(cases[0], layout, options)


def same(one, two) -> bool:
    (cases, scan), (other_cases, other) = one, two
    arrays = all(np.array_equal(getattr(scan, part), getattr(other, part)) for part in ("image", "label"))
    return cases == other_cases and arrays and scan.spacing == other.spacing and scan.image.dtype == other.image.dtype


def faults(dataset, surveyed) -> list[str]:
    """Return what a prepared scan breaks of what data sets promise (``tests/contract/test_datasets.py``)."""
    _, scan = surveyed
    image, label, spacing = scan.image, scan.label, scan.spacing
    shape = image.shape[1:] if dataset.task == "segmentation" else ()
    promises = {
        "channels": image.shape[0] == dataset.channels and image.size > 0,
        "type": image.dtype in (np.float32, np.float16, np.uint8) and label.dtype == np.uint8,
        "finite": bool(np.isfinite(image).all()),
        "label": label.shape == shape and int(label.max(initial=0)) < len(dataset.classes),
        "spacing": spacing is None or (len(spacing) == image.ndim - 1 and all(0 < mm < math.inf for mm in spacing)),
    }
    return [promise for promise, kept in promises.items() if not kept]


def outcome(dataset, target: Target, raw: Path, options: dict, good) -> str:
    """Return what became of a changed raw folder, ``good`` being the survey of the unchanged one."""
    try:
        found = survey(dataset, raw, options)
    except BadInput as error:
        line, case = str(error), good[0][0][3].values()
        # a table speaks for all cases, and its fault may show in the pictures that it does not name
        places = [str(raw)] if target.role == "table" else [*case, str(target.file.parent)]
        if isinstance(error.__cause__ or error.__context__, MemoryError):
            return f"asked for more than {MEMORY} bytes: {line}"
        told = len(line.splitlines()) == 1 and any(place in line for place in places)
        return REFUSED if told else f"refused in {line[:300]!r}"
    except Exception:
        return f"not caught: {' '.join(traceback.format_exc().split()[-60:])}"
    broken = faults(dataset, found)
    return f"read with wrong {', '.join(broken)}" if broken else (ORIGINAL if same(good, found) else OTHERWISE)


def tree(folder: Path) -> dict:
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


def try_all(name: str, place: Path, told) -> None:
    """Run all mutants of a data set; tell each name, the right outcomes, and then what became of it."""
    dataset, options = load(name), facts_of(name)["preparations"]["phantom"]
    folders = raw_folders(name, place)
    (place / "here").mkdir()
    os.chdir(place / "here")
    os.environ["TMPDIR"] = str(place / "here")
    if sys.platform == "linux":  # where the limit counts what is asked for, used or not
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))
    for kind, raw in folders.items():
        good = survey(dataset, raw, options)
        for target in targets(dataset, raw):
            content = target.file.read_bytes()
            ways = damage(target.kind) | {**REWRITTEN, **VOLUMES}.get(target.kind, lambda target: {})(target)
            for way, (change, right) in ways.items():
                mutant = f"{kind}/{target.file.name}/{target.key}/{way}"
                right = ANY if (kind, way) == ("slices", "array-constant") else right  # a slice may be empty
                told.send((mutant, right, None))
                change(target, random.Random(f"{name} {mutant}"))
                before = tree(place)
                became = outcome(dataset, target, raw, options, good)
                told.send((mutant, right, became if tree(place) == before else "files were written"))
                for file in (target.file, target.file.with_name("linked.bin")):
                    file.unlink(missing_ok=True)
                target.file.write_bytes(content)


@pytest.mark.parametrize("name", with_phantoms())
def test_mutated_raw_files_are_read_right_or_refused_in_one_line(name, tmp_path):
    here, there = multiprocessing.Pipe(duplex=False)
    # a process of its own: a mutant may hang or crash it, and its memory is limited
    process = multiprocessing.get_context("fork").Process(target=try_all, args=(name, tmp_path, there))
    process.start()
    there.close()
    ends, wrong, mutant = Counter(), {}, None
    try:
        while here.poll(SECONDS):
            mutant, right, became = here.recv()
            if became is not None:
                ends[became if became in right else "WRONG"] += 1
                wrong |= {} if became in right else {mutant: became}
    except EOFError:
        process.join()
    finally:
        process.kill()
        process.join()
    print(f"{name}: {sum(ends.values())} mutants, {dict(ends)}")
    assert process.exitcode == 0, f"hung or crashed at {mutant}"
    assert not wrong, "\n".join(f"{mutant}: {became}" for mutant, became in wrong.items())
    assert sum(ends.values()) >= 20 and ends[REFUSED] > ends[OTHERWISE]
