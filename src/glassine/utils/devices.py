"""Devices, memory and hardware of this machine, and whether the process keeps freed memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glassine.utils.errors import UserError

if TYPE_CHECKING:
    import torch  # takes seconds: imported only where a device is chosen


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, str | int]:
    """Names of the processor and the GPU, and the `cores` that this process may use."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (model := re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))):
        name = model.group(1).strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"cpu": name, "cores": cores(), "gpu": gpu}


def processor(device: torch.device) -> str:
    """Describe `device`: the CPU with its number of cores, or the GPU."""
    machine = hardware()
    return f"{machine['cpu']}, {machine['cores']} cores" if device.type == "cpu" else str(machine["gpu"])


def pick_device(name: str) -> torch.device:
    """The device called `name`: `auto` is CUDA's if there is one, else the CPU; `gpu` means `cuda`, as in Lightning.

    Raises:
        UserError: the device is unknown or not available.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device("cuda" if name == "gpu" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device must be auto, cpu, gpu or like cuda:1, and available, got {name!r}") from error
    return device


@functools.cache  # samplers ask at every step
def cpu_computes_in_bfloat16() -> bool:
    """Whether this machine's CPU has AVX-512 BF16 or AMX."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8") if info.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def fast_autocast(device: torch.device | str) -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 where the device computes in it: GPUs, and CPUs with AVX-512 BF16 or AMX."""
    import torch

    kind = torch.device(device).type
    fast = kind == "cuda" or (kind == "cpu" and cpu_computes_in_bfloat16())
    return torch.autocast(kind, torch.bfloat16) if fast else contextlib.nullcontext()


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def keep_freed_memory() -> None:
    """Tell glibc's malloc to keep freed memory; CPU steps with large temporaries then take a fifth less time.

    Does nothing with other C libraries. Memory use stays at its peak until the process ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)


def give_back_freed_memory() -> None:
    """Undo `keep_freed_memory`, for work with arrays so large that keeping freed ones would exhaust memory."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 65_536)
        mallopt(M_TRIM_THRESHOLD, 2**24)
        mallopt(M_TOP_PAD, 2**17)
