"""Measure the memory and the time that preparing a large case of KiTS19 takes, alone and with another one beside it.

The case is a phantom of the collection's largest size, stored as the official files are (64-bit numbers, 2 GB unpacked), in
the temporary folder; it needs about 1 GB there. Each preparation runs in a process of its own, whose peak resident memory is
printed; what importing the library takes is in it and printed too.

    python benchmarks/bench_prepare_memory.py [--slices N] [--side N]
"""

import argparse
import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow"))

from semimed.acquire import acquire
from semimed.datasets import load
from semimed.datasets.phantoms.abdomen import AFFINE, draw
from semimed.prepare import prepare

BLOCK = 10, 8, 8  # voxels of the large volume that one voxel of the small phantom becomes


def main() -> None:
    """Write the raw cases and print one line for each number of cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--side", type=int, default=512, help="rows and columns")
    parser.add_argument("--prepare", type=Path, nargs=2, metavar=("RAW", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare:
        return measure(*arguments.prepare)
    shape = arguments.slices, arguments.side, arguments.side
    with tempfile.TemporaryDirectory() as temporary:
        raws = {count: Path(temporary) / f"raw{count}" for count in (1, 2)}
        started = time.perf_counter()
        write_case(raws[1] / "data" / "case_90000", shape)
        print(f"wrote {'x'.join(map(str, shape))} voxels in {time.perf_counter() - started:.0f} s", flush=True)
        for name in ("case_90000", "case_90001"):
            (raws[2] / "data" / name).mkdir(parents=True)
            for file in (raws[1] / "data" / "case_90000").iterdir():
                os.link(file, raws[2] / "data" / name / file.name)
        for count, raw in raws.items():
            print(f"{count} at once: ", end="", flush=True)
            out = Path(temporary) / f"out{count}"
            subprocess.run([sys.executable, __file__, "--prepare", raw, out], check=True)


def measure(raw: Path, out: Path) -> None:
    """Prepare the cases of ``raw``, all at once as far as the memory is allowed, and print peak memory and time."""
    before, dataset = peak(), load("kits19")
    facts = yaml.safe_load((REPOSITORY / "config" / "datasets" / "kits19.yaml").read_text())
    acquire(dataset, facts, str(raw), out / "source.json", out / "phantom", out / "downloads")
    started, worked = time.perf_counter(), time.process_time()
    prepare(dataset, out / "source.json", facts["preparations"]["full"], out / "full", workers=len(list(raw.glob("data/*"))))
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    print(f"peak memory {peak():.0f} MiB ({before:.0f} MiB before), {seconds:.0f} s, processor {processor:.0f} s")


def peak() -> float:
    """Return the peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_case(folder: Path, shape: tuple[int, int, int]) -> None:
    """Write a case plane by plane, for a volume of it would fill the memory; each packed plane stands there ``BLOCK`` times."""
    rng = np.random.default_rng(0)
    image, label = draw(rng, tuple(-(-size // block) for size, block in zip(shape, BLOCK, strict=True)))
    folder.mkdir(parents=True)
    for name, small, kind, noise in (("imaging", image, np.float64, 20), ("segmentation", label, np.uint8, 0)):
        with open(folder / f"{name}.nii.gz", "wb") as file:
            file.write(gzip.compress(head(shape, kind)))
            for first in range(0, shape[2], BLOCK[2]):
                plane = np.kron(small[:, :, first // BLOCK[2]], np.ones(BLOCK[:2]))[: shape[0], : shape[1]]
                plane = plane + rng.normal(0, noise, plane.shape).round()
                # a gzip file may consist of several, one after another
                packed = gzip.compress(plane.astype(kind).tobytes(order="F"), compresslevel=1)
                file.write(packed * min(BLOCK[2], shape[2] - first))


def head(shape: tuple[int, int, int], kind) -> bytes:
    """Return what stands in a NIfTI file before the voxels."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(shape)
    header.set_sform(AFFINE)
    header["pixdim"][1:4] = nibabel.affines.voxel_sizes(AFFINE)
    header["vox_offset"] = 352
    return header.binaryblock + bytes(4)  # no extension


if __name__ == "__main__":
    main()
