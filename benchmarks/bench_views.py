"""Time of each view on one CPU thread beside one forward pass on the same images: python benchmarks/bench_views.py."""

import subprocess
import sys
import time
from pathlib import Path

import torch
from monai.networks.nets import DenseNet121

WORKFLOW = Path(__file__).resolve().parents[1] / "workflow"
sys.path.insert(0, str(WORKFLOW))

from semimed.nets.unet import UNet
from semimed.views import VIEWS
from semimed.views.classification import KINDS

ROUNDS = 5
CASES = [
    ((24, 3, 256, 256), "U-Net", ("noise", "photometric", "blur", "morphology")),
    ((24, 1, 256, 256), "U-Net", ("noise", "photometric", "blur", "morphology")),
    ((4, 1, 112, 112, 80), None, ("noise", "blur")),
    ((64, 3, 224, 224), "DenseNet121", tuple(KINDS)),
    ((32, 3, 64, 64), "DenseNet121", tuple(KINDS)),
]
NETS = {"U-Net": lambda channels: UNet(channels, 2), "DenseNet121": lambda channels: DenseNet121(2, channels, 7)}


def main() -> None:
    """Print one line per shape and view: the median of some draws in ms, and as a share of the forward pass."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    code = "import torch, time; start = time.perf_counter(); import kornia; print(time.perf_counter() - start)"
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    print(f"import of kornia after torch: {1e3 * min(times):.0f} ms")
    for shape, name, kinds in CASES:
        image, forward = torch.rand(shape), None
        if name:
            net = NETS[name](shape[1]).eval()
            with torch.inference_mode():
                forward = median(lambda net=net, image=image: net(image), 1)
            print(f"{shape} {name} forward {1e3 * forward:6.0f} ms")
        for kind in kinds:
            taken = median(lambda kind=kind, image=image: VIEWS[kind](image), ROUNDS)
            share = f"   {taken / forward:5.1%} of the forward pass" if forward else ""
            print(f"{shape} {kind:13s} {1e3 * taken:6.0f} ms{share}")


def median(function, rounds: int) -> float:
    """Return the median seconds of ``rounds`` calls after a first one."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2]


if __name__ == "__main__":
    main()
