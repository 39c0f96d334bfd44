"""Training steps against the bare passes they need: python benchmarks/bench_step.py [--backbone unet | densenet121].

For every method one whole iteration (losses, backward, optimiser, teacher; the batch and its views already made) is timed
against the same passes of its networks, in the same mode, on the same shapes (loss = mean of the logits), plus the
optimiser steps. Both are interleaved in one process; the figure is the median of the repeats' ratios. Drawing a batch,
making its views and labelling components on the CPU are listed beside it; the latter two are not part of the ratio.
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

from semimed import components, registry
from semimed.build import build_method, choose_device
from semimed.datasets import load as load_dataset
from semimed.methods.base import Clock
from semimed.nets.base import Backbone
from semimed.optimise import MAIN, build_optimisers, run_step
from semimed.store import Case
from semimed.training_set import TrainingSet

SETTINGS = {
    # data set, sample, patch, augment, labelled and unlabelled samples, options of the backbone
    "vnet": ("la", "patch", [48, 48, 32], "rotate-flip", (2, 2), {"width": 8}),
    "unet": ("acdc", "slice", [256, 256], "turn-or-tilt", (12, 12), {"width": 16}),
    "densenet121": ("isic2018-cls", "image", [64, 64], "none", (8, 24), {}),
}


def synthetic_cases(folder: Path, shape: tuple[int, ...], classes: int, count: int = 8) -> list[Case]:
    """Write ``count`` random volumes in [0, 1] with boxes for labels; return them as prepared cases."""
    rng, cases = np.random.default_rng(0), []
    for index in range(count):
        label = np.zeros(shape, np.uint8)
        for number in range(1, classes):
            start = [int(rng.integers(0, n // 2)) for n in shape]
            label[tuple(slice(s, s + n // 3 + 1) for s, n in zip(start, shape, strict=True))] = number
        paths = folder / f"{index}.image.npy", folder / f"{index}.label.npy"
        noise = 0.1 * rng.normal(size=(1, *shape))
        np.save(paths[0], (0.3 + 0.4 * label / (classes - 1) + noise).clip(0, 1).astype(np.float32))
        np.save(paths[1], label)
        counts = tuple(np.bincount(label.ravel(), minlength=classes).tolist())
        cases.append(Case(str(index), str(index), shape, None, counts, *paths, ""))
    return cases


def synthetic_images(folder: Path, shape: tuple[int, ...], classes: int, count: int = 48) -> list[Case]:
    """Write one file of random images with a class each; return them as prepared cases."""
    rng, path = np.random.default_rng(0), folder / "images.npy"
    np.save(path, rng.integers(0, 256, (count, 3, *shape), dtype=np.uint8))
    one_hot = np.eye(classes, dtype=int)
    return [Case(str(k), str(k), shape, None, tuple(one_hot[k % classes].tolist()), path, None, "", k) for k in range(count)]


def passes_of(method, step) -> list[tuple]:
    """Return (network or its encoder alone, input, with gradient, in train mode) of every pass in one iteration."""
    found, handles = [], []
    for network in (m for m in method.modules() if isinstance(m, Backbone)):

        def encoded(_, inputs, net=network):
            found.append([net.encoder, inputs[0].detach(), torch.is_grad_enabled(), net.training])

        def decoded(_, inputs, net=network):
            found[-1][0] = net

        handles.append(network.encoder.register_forward_pre_hook(encoded))
        if hasattr(network, "decoder"):
            handles.append(network.decoder.register_forward_pre_hook(decoded))
    step()
    for handle in handles:
        handle.remove()
    return [tuple(entry) for entry in found]


def bare(passes, optimiser, steps: int) -> None:
    """Do the passes one by one and the optimiser steps."""
    optimiser.zero_grad(set_to_none=True)
    for network, image, with_gradient, training in passes:
        network.train(training)
        with torch.set_grad_enabled(with_gradient):
            output = network(image)
            # Of a network that classifies the encoder is all but the whole.
            loss = (output[-1] if isinstance(output, tuple) else output).mean()
        if with_gradient:
            loss.backward()
    for _ in range(steps):
        optimiser.step()


def timed(work, device: torch.device) -> float:
    """Return the seconds that ``work`` took; on the CPU its own, so that other programs on the machine count less."""
    if device.type != "cuda":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


class Stopwatch:
    """Adds up the seconds that are spent inside a function of a module."""

    def __init__(self, module, name: str):
        self.seconds, original = 0.0, getattr(module, name)

        def watched(*given):
            start = time.process_time()
            result = original(*given)
            self.seconds += time.process_time() - start
            return result

        setattr(module, name, watched)

    def reset(self) -> float:
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def prepare(name: str, options: argparse.Namespace, folder: Path, device: torch.device):
    """Return the training set, the method and its optimisers on synthetic cases."""
    entry = registry.method(name)
    dataset, sample, _, augment, _, _ = SETTINGS[options.backbone]
    data_set = load_dataset(dataset)
    recipe = {
        "steps": 1000,
        "labelled": options.batch[0],
        "unlabelled": 0 if name == "supervised" else options.batch[1],
        "pool": "rest",
        "epoch": "labelled",
        "sample": sample,
        "patch": options.patch,
        "augment": augment,
        "optimiser": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"name": "constant"},
    }
    backbone = {"name": options.backbone, **options.network}
    hyper = entry.defaults[data_set.task]
    spec = {"method": name, "backbone": backbone, "recipe": recipe, "hyperparameters": hyper, "warmup": entry.warmup}
    if data_set.task == "classification":
        cases, labelled = synthetic_images(folder, tuple(options.patch), len(data_set.classes)), 16
    else:
        shape = [side + 16 for side in options.patch] if sample == "patch" else [4, *options.patch]
        cases, labelled = synthetic_cases(folder, tuple(shape), len(data_set.classes)), 4
    data = TrainingSet(cases[:labelled], cases[labelled:], data_set, recipe, (0, "bench"), device)
    method = build_method(spec, data, (0,)).to(device).train()
    return data, method, build_optimisers(method, recipe)


def measure(name: str, options: argparse.Namespace, folder: Path, device: torch.device, watch: Stopwatch) -> str:
    """Return the printed row of one method."""
    data, method, optimisers = prepare(name, options, folder, device)
    batch = data.batch(0, method.views)
    yields = []

    def counted(losses):
        for terms in losses:
            yields.append(None)
            yield terms

    def step(index: int = 500) -> None:
        yields.clear()
        method.train()
        run_step(counted(method.step(batch, Clock(index, 1000, index, index, False, False))), optimisers)

    passes = passes_of(method, step)
    watch.reset()
    pairs, labelling = [], []
    for _ in range(options.repeats + 1):
        ours = timed(step, device)
        labelling.append(watch.reset())
        pairs.append((ours - labelling[-1], timed(lambda: bare(passes, optimisers[MAIN].optimiser, len(yields)), device)))
    pairs = pairs[1:]  # the first pair warms up
    draws = [timed(lambda i=i: data.batch(i, method.views), device) for i in range(5)]
    views = [timed(lambda i=i: look(data.batch(i, method.views), method.views), device) - draws[i] for i in range(5)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    grads = sum(with_gradient for _, _, with_gradient, _ in passes)
    beside = [1e3 * statistics.median(values) for values in (draws, views, labelling)]
    count = f"{grads} + {len(passes) - grads}"
    return f"{name:12} {1e3 * ours:9.0f} {1e3 * theirs:9.0f} {ratio:7.2f} {count:>8}" + "".join(f" {ms:9.1f}" for ms in beside)


def look(batch, views) -> None:
    """Make every view of a batch."""
    for name in views:
        batch.view(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=SETTINGS, default="vnet")
    parser.add_argument("--width", type=int)
    parser.add_argument("--patch", type=int, nargs="+")
    parser.add_argument("--batch", type=int, nargs=2, help="labelled and unlabelled samples")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--methods", nargs="*")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    dataset, _, patch, _, batch, network = SETTINGS[options.backbone]
    options.patch, options.batch = options.patch or patch, options.batch or batch
    options.network = {"width": options.width} if options.width else network
    methods, task = registry.methods().items(), load_dataset(dataset).task
    known = [name for name, entry in methods if len(options.patch) in entry.dimensions and task in entry.tasks]
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    sides = "x".join(map(str, options.patch))
    print(f"{options.backbone} {options.network}, {sides}, batch {options.batch[0]} + {options.batch[1]}, {device}")
    heads = ("step ms", "bare ms", "ratio", "passes", "draw ms", "views ms", "label ms")
    print(f"{'method':12} {heads[0]:>9} {heads[1]:>9} {heads[2]:>7} {heads[3]:>8}" + "".join(f" {h:>9}" for h in heads[4:]))
    # Methods took the function by name when they were imported, so the module is patched before any of them is.
    watch = Stopwatch(components, "largest_component")
    for name in options.methods or sorted(known):
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, options, Path(folder), device, watch), flush=True)
    print("passes: with gradient + without. Beside the step: draw a batch, make its views, label components on the CPU.")


if __name__ == "__main__":
    main()
