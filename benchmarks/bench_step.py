"""Training steps against the bare passes they need: python benchmarks/bench_step.py [--width 8] [--patch 48 48 32].

For every method of the registry one whole iteration (losses, backward, optimiser, teacher; the batch already drawn) is
timed against the same number of bare passes of its networks on the same shapes (loss = mean of the logits) plus the
optimiser step. Both are interleaved in one process; the figure is the median of the repeats' ratios. Drawing a batch is
listed beside it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from semimed import registry
from semimed.build import build_method, choose_device
from semimed.datasets import load as load_dataset
from semimed.methods.base import Clock
from semimed.nets.base import Backbone
from semimed.optimise import MAIN, build_optimisers, run_step
from semimed.store import Case
from semimed.training_set import TrainingSet


def synthetic_cases(folder: Path, shape: tuple[int, ...], count: int = 8) -> list[Case]:
    """Write ``count`` random volumes with a box for a label; return them as prepared cases."""
    rng, cases = np.random.default_rng(0), []
    for index in range(count):
        label = np.zeros(shape, np.uint8)
        label[tuple(slice(n // 4, n // 2) for n in shape)] = 1
        paths = folder / f"{index}.image.npy", folder / f"{index}.label.npy"
        np.save(paths[0], rng.normal(size=(1, *shape)).astype(np.float32) + label)
        np.save(paths[1], label)
        counts = (int((label == 0).sum()), int(label.sum()))
        cases.append(Case(str(index), str(index), shape, (1.0,) * len(shape), counts, *paths, ""))
    return cases


def passes_of(method, step) -> list[tuple[Backbone, torch.Tensor, bool]]:
    """Return (network, input, with gradient) of every network pass in one iteration."""
    found, handles = [], []
    for network in (m for m in method.modules() if isinstance(m, Backbone)):
        take = lambda _, inputs, net=network: found.append((net, inputs[0].detach(), torch.is_grad_enabled()))  # noqa: E731
        handles.append(network.encoder.register_forward_pre_hook(take))
    step()
    for handle in handles:
        handle.remove()
    return found


def bare(passes, optimiser) -> None:
    """Do the passes one by one and one optimiser step."""
    optimiser.zero_grad(set_to_none=True)
    for network, image, with_gradient in passes:
        with torch.set_grad_enabled(with_gradient):
            loss = network(image).mean()
        if with_gradient:
            loss.backward()
    optimiser.step()


def timed(work, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(name: str, options: argparse.Namespace, folder: Path, device: torch.device) -> str:
    """Return the printed row of one method."""
    entry = registry.method(name)
    unlabelled = 0 if name == "supervised" else options.batch
    recipe = {
        "steps": 1000,
        "labelled": options.batch,
        "unlabelled": unlabelled,
        "pool": "rest",
        "epoch": "labelled",
        "patch": options.patch,
        "augment": "rotate-flip",
        "optimiser": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"name": "constant"},
    }
    backbone = {"name": "vnet", "width": options.width}
    spec = {"method": name, "backbone": backbone, "recipe": recipe, "hyperparameters": entry.hyperparameters}
    cases = synthetic_cases(folder, tuple(side + 16 for side in options.patch))
    data = TrainingSet(cases[:4], cases[4:], load_dataset("la"), recipe, (0, "bench"), device)
    method = build_method(spec, data, (0,)).to(device).train()
    optimisers = build_optimisers(method, recipe)
    batch = data.batch(0, method.views)

    def step(index: int = 500) -> None:
        clock = Clock(index, 1000, index, 0, False, False)
        run_step(method.step(batch, clock), optimisers)

    passes = passes_of(method, step)
    pairs = []
    for _ in range(options.repeats + 1):
        pairs.append((timed(step, device), timed(lambda: bare(passes, optimisers[MAIN].optimiser), device)))
    pairs = pairs[1:]  # the first pair warms up
    draw = statistics.median(timed(lambda i=i: data.batch(i, method.views), device) for i in range(5))
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    grads = sum(with_gradient for *_, with_gradient in passes)
    count = f"{grads} + {len(passes) - grads}"
    return f"{name:12} {1e3 * ours:10.0f} {1e3 * theirs:10.0f} {ratio:8.2f} {count:>10} {1e3 * draw:10.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--patch", type=int, nargs=3, default=[48, 48, 32])
    parser.add_argument("--batch", type=int, default=2, help="labelled, and as many unlabelled")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--methods", nargs="*", default=sorted(registry.methods()))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    print(f"V-Net width {options.width}, patch {options.patch}, batch {options.batch} + {options.batch}, {device}")
    print(f"{'method':12} {'step ms':>10} {'bare ms':>10} {'ratio':>8} {'passes':>10} {'draw ms':>10}")
    for name in options.methods:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, options, Path(folder), device), flush=True)
    print("passes: with gradient + without; draw: one batch, not part of the step")


if __name__ == "__main__":
    main()
