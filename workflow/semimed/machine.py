"""What a run ran on: versions, hardware, memory, and the hash of the shared code."""

import os
import platform
import resource
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from .config import ROOT
from .identity import engine_hash

PACKAGES = ("torch", "numpy", "scipy", "connected-components-3d")


def describe(device: torch.device) -> dict:
    """Return versions, hardware, peak memory in MB, git commit (``None`` outside a checkout) and engine hash."""
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "engine": engine_hash(),
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
