"""What a run ran on: versions, hardware, memory."""

import ctypes
import os
import platform
import resource
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from .config import ROOT

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2  # of mallopt(3)
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


def keep_memory() -> None:
    """Ask the C library to keep freed memory, for work on the CPU; does nothing where the library is not glibc.

    By default glibc takes every large block from the kernel anew, which clears its pages, and gives it back at once: with
    tensors of tens of megabytes that is up to a third of a training step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**28)):
        library.mallopt(option, value)
