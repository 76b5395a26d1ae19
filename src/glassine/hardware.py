"""What this machine has."""

import os
import platform
import re
from pathlib import Path

import torch

from glassine.errors import UserError


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, str | int]:
    """Names of the processor and the GPU, and the `cores` that this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (model := re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))):
        name = model.group(1).strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"cpu": name, "cores": cores(), "gpu": gpu}


def processor(device: torch.device) -> str:
    """What `device` is: the processor with its cores, or the GPU."""
    machine = hardware()
    return f"{machine['cpu']}, {machine['cores']} cores" if device.type == "cpu" else str(machine["gpu"])


def pick_device(name: str) -> torch.device:
    """The device called `name`: `auto` is CUDA's if there is one, else the CPU; `gpu` is `cuda`, as Lightning says it.

    Raises:
        UserError: no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device("cuda" if name == "gpu" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"device {name!r} came, which this machine does not have; give auto, cpu, gpu or cuda:1"
        ) from error
    return device
