"""Time the preparation of ISIC 2018 Task 3 (or NCT-CRC-HE-100K) against decoding each picture once with Pillow.

The three take turns on the same number of threads: decoding alone; decoding, resizing and holding the pixels as an array,
which is what training from the raw files would do every time; and the preparation, which also checks every file, hashes every
image and writes. The ratio that counts is that of the processor time, which other programs on the machine disturb less.

    python benchmarks/bench_prepare.py [--raw FOLDER] [--dataset NAME] [--preparation NAME] [--threads N] [--rounds N]
"""

import argparse
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow"))

from semimed.acquire import acquire
from semimed.datasets import load
from semimed.prepare import prepare


def main() -> None:
    """Print the seconds of each round and the ratios of the best ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, help="folder in the official layout; by default that of the configuration")
    parser.add_argument("--dataset", default="isic2018-cls", choices=["isic2018-cls", "nct-crc-he"])
    parser.add_argument("--preparation", default="full")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.raw = arguments.raw or REPOSITORY / "resources" / "raw" / arguments.dataset
    if not arguments.raw.is_dir():
        print(f"preparation against decoding is left out: no raw data in {arguments.raw}")
        return
    dataset = load(arguments.dataset)
    facts = yaml.safe_load((REPOSITORY / "config" / "datasets" / f"{arguments.dataset}.yaml").read_text())
    options = facts["preparations"][arguments.preparation]
    files = [case.files["image"] for case in dataset.find(arguments.raw)[1]]
    size = tuple(options["size"])
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source.json", Path(folder) / arguments.preparation
        acquire(dataset, facts, str(arguments.raw), source, Path(folder) / "phantom", Path(folder))
        ways = {
            "decode": lambda: over(decode, files, arguments.threads),
            "decode + resize": lambda: over(lambda file: resized(file, size), files, arguments.threads),
            "prepare": lambda: prepare(dataset, source, options, out, arguments.threads),
        }
        times = {way: [] for way in ways}
        for number in range(arguments.rounds):
            for way, run in ways.items():
                times[way].append(timed(run))
                wall, processor = times[way][-1]
                print(f"round {number} {way:16s} {wall:7.2f} s   processor {processor:7.2f} s", flush=True)
    best = {way: np.min(measured, axis=0) for way, measured in times.items()}
    for way in ("decode", "decode + resize"):
        wall, processor = best["prepare"] / best[way]
        print(f"prepare / {way:16s} wall {wall:.2f}   processor {processor:.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(files)} pictures, {arguments.threads} threads, size {size}, peak memory {peak:.0f} MiB")


def decode(file: Path) -> None:
    """Decode one picture."""
    with Image.open(file) as picture:
        picture.load()


def resized(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Return one picture as (rows, columns, 3)."""
    with Image.open(file) as picture:
        return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))


def over(function, files: list[Path], threads: int) -> None:
    """Apply ``function`` to all files, in jobs of 16, as the preparation does."""
    few = [files[first : first + 16] for first in range(0, len(files), 16)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda some: [function(file) for file in some] and None, few):
            pass


def timed(function) -> tuple[float, float]:
    """Return the seconds ``function`` took, and those of the processor over all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
