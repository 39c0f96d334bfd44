"""Time medpy's hd95 + asd against score_case, which gives these and all other metrics, on left-atrium label maps.

Per case the two take turns (three rounds, best of each), so that a busy machine slows both. Without --raw the maps are
seeded synthetic atria of the same size.

    python benchmarks/bench_metrics.py [--raw FOLDER_OF_LA_H5] [--cases N]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter, map_coordinates, shift

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from semimed.components import largest_component
from semimed.metrics.segmentation import score_case

SPACING = (0.625, 0.625, 0.625)  # of the LA 2018 volumes, in mm
ROUNDS = 3


def main() -> None:
    """Print one line per case and the ratios over all cases; exit with 1 when a number differs from medpy's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, help="folder with <case>/mri_norm2.h5 files; synthetic maps when left out")
    parser.add_argument("--cases", type=int, default=6, help="how many cases (default 6)")
    arguments = parser.parse_args()
    ratios = {"isotropic": [], "anisotropic": []}
    for number, reference in enumerate(references(arguments.raw, arguments.cases)):
        rng = np.random.default_rng(number)
        prediction = disturbed(reference, rng, number % 3)
        for name, spacing in (("isotropic", SPACING), ("anisotropic", (0.625, 0.625, 2.5))):
            medpy_time, our_time, row = compare(prediction, reference, spacing)
            ratios[name].append(medpy_time / our_time)
            print(
                f"case {number} {reference.shape} {name:11s} Dice {row['dice']:.3f} 95HD {row['hd95_voxel']:5.2f} voxel   "
                f"medpy {1e3 * medpy_time:6.1f} ms   score_case {1e3 * our_time:5.1f} ms   {medpy_time / our_time:5.1f}x"
            )
        if number == 0:
            patch = np.ascontiguousarray(prediction[tuple(slice(0, size) for size in (112, 112, 80))])
            duration = min(timed(lambda patch=patch: largest_component(patch, 2))[0] for _ in range(10))
            print(f"largest_component on {patch.shape}: {1e3 * duration:.2f} ms")
    for name, values in ratios.items():
        print(
            f"{name}: median {np.median(values):.1f}x, min {min(values):.1f}x, max {max(values):.1f}x over {len(values)} cases"
        )


def compare(prediction, reference, spacing) -> tuple[float, float, dict]:
    """Return the best times in seconds of medpy and of score_case, in turns, and the row; stop if they disagree."""
    from medpy.metric.binary import asd, hd95

    times = []
    for _ in range(ROUNDS):
        medpy_time, theirs = timed(lambda: (hd95(prediction, reference), asd(prediction, reference)))
        our_time, (row,) = timed(lambda: score_case(prediction, reference, ["background", "atrium"], spacing))
        times.append((medpy_time, our_time))
    if not np.allclose(theirs, (row["hd95_voxel"], row["asd_voxel"]), rtol=0, atol=1e-9):
        sys.exit(f"medpy gives 95HD and ASD {theirs}, score_case {row}")
    return *np.min(times, axis=0), row


def timed(function):
    """Return the seconds ``function`` took and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def references(raw: Path | None, cases: int):
    """Yield label maps: of the files under ``raw``, or synthetic ones, a smooth random surface around an ellipsoid."""
    if raw is None:
        for seed in range(cases):
            rng = np.random.default_rng(1000 + seed)
            shape = (175 + int(rng.integers(-15, 30)), 132 + int(rng.integers(-8, 20)), 88)
            grid = (np.indices(shape) - np.reshape(shape, (3, 1, 1, 1)) / 2) / np.reshape((62, 36, 26), (3, 1, 1, 1))
            bumps = gaussian_filter(rng.standard_normal(shape), 7)
            yield (np.square(grid).sum(axis=0) + 0.3 * bumps / bumps.std() < 1).astype(np.uint8)
        return
    import h5py

    files = sorted(raw.glob("*/mri_norm2.h5"))[:cases]
    if not files:
        sys.exit(f"no <case>/mri_norm2.h5 under {raw}: give the folder that holds the case folders")
    for path in files:
        with h5py.File(path) as file:
            yield file["label"][()].astype(np.uint8)


def disturbed(reference: np.ndarray, rng: np.random.Generator, kind: int) -> np.ndarray:
    """Return a prediction that errs: a smooth deformation (0), one with a shift (1), one with an erosion (2)."""
    fields = [gaussian_filter(rng.standard_normal(reference.shape), 8) for _ in range(3)]
    places = [axis + 3 * field / field.std() for axis, field in zip(np.indices(reference.shape), fields, strict=True)]
    mask = map_coordinates(reference.astype(np.float32), places, order=1) > 0.5
    if kind == 1:
        mask = shift(mask.astype(np.uint8), (3, -2, 1), order=0) > 0
    elif kind == 2:
        mask = binary_erosion(mask)
    return mask.astype(np.uint8)


if __name__ == "__main__":
    main()
