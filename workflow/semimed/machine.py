"""What a run ran on: versions, hardware, memory."""

import os
import platform
import resource
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from .config import ROOT

PACKAGES = ("torch", "numpy", "scipy", "connected-components-3d")


def describe(device: torch.device) -> dict:
    """Return versions, hardware, peak memory in MB, and git commit (``None`` outside a checkout)."""
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "processor": platform.machine()},
        "peak_memory_mb": round(peak / 2**20, 1),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
