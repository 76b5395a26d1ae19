"""Tensors in files: atomic safetensors writes, digests of weights, and a limit on what a file may allocate.

The library's own writer creates files that only the owner can read, hides the system error in an error of its own, and
writes to a hidden file that stays behind after a kill.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from glassine.utils.errors import UserError

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a `.safetensors` file, readable by the library, and flush it to disk.

    Args:
        tensors: by name; on any device, of the dtypes in `DTYPES`.
        path: file to write or replace; meant to be a temporary path (`atomic_path`).
        metadata: additional header text.

    Raises:
        TypeError: a dtype that is not in `DTYPES`.
        OSError: a system error, for instance that the disk is full.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    # wide types first, so that each tensor is aligned to its item size
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    offset = 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name} must have one of the types {', '.join(map(str, DTYPES))}, got {tensor.dtype}")
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % 8)
    with path.open("wb") as file:
        file.write(len(said).to_bytes(8, "little") + said)
        for name in names:
            file.write(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def weights_digest(network: nn.Module) -> str:
    """A twelve-character digest of the network's weights."""
    state = hashlib.blake2b(digest_size=6)
    for name, tensor in sorted(network.state_dict().items()):
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


SCALE = "int8_scale"
"""Ending of the name under which the scales of a tensor in eight bits are stored, after a dot."""
FEWEST_WEIGHTS = 4096  # smaller tensors save nothing


def in_eight_bits(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with its larger weights in eight bits: a quarter of their size in single precision.

    Each output channel of a weight `o ...` has a scale, its largest magnitude over 127, as `NAME.int8_scale` `o`
    (float32). What has been through this once is not changed by a second time.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.numel() < FEWEST_WEIGHTS:
            stored[name] = tensor
            continue
        rows = tensor.detach().float().flatten(1)
        scale = rows.abs().amax(1) / 127  # o
        levels = (rows / scale.clamp(min=1e-30)[:, None]).round().clamp(-127, 127)
        stored |= {name: levels.to(torch.int8).view(tensor.shape), f"{name}.{SCALE}": scale}
    return stored


def out_of_eight_bits(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `in_eight_bits` made, in single precision; other state dicts as they are."""
    ending = f".{SCALE}"
    state: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        scale = stored.get(name + ending)
        if name.endswith(ending) and name.removesuffix(ending) in stored:
            continue
        state[name] = tensor if scale is None else (tensor.flatten(1) * scale.float()[:, None]).view(tensor.shape)
    return state


MOST_TENSORS = 30_000  # the largest networks of the papers have about 3,000 parameters and buffers
FALLBACK_BYTES = 64 << 30


def memory_bytes() -> int:
    """Main memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return FALLBACK_BYTES


class SizeGuard(TorchDispatchMode):
    """Context manager that counts tensors as they are created.

    Args:
        origin: file that describes the network, for the message.
        most_bytes: limit for all tensors together; the machine's memory by default.

    Raises:
        UserError: raised by the call that would exceed the limit, before it allocates.
    """

    def __init__(self, origin: str, most_bytes: int | None = None) -> None:
        super().__init__()
        self.origin = origin
        self.most_bytes = memory_bytes() if most_bytes is None else most_bytes
        self.bytes, self.tensors = 0.0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count the result of `func` if it is a factory function."""
        kwargs = kwargs or {}
        given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        if "device" in kwargs and torch.device(kwargs["device"] or "cpu").type != "meta":
            self.count(numel(given) * (kwargs.get("dtype") or torch.float32).itemsize)
        return func(*args, **kwargs)

    def count(self, size: float) -> None:
        """Add a tensor of `size` bytes."""
        self.bytes, self.tensors = self.bytes + size, self.tensors + 1
        if self.bytes > self.most_bytes or self.tensors > MOST_TENSORS:
            raise UserError(
                f"{self.origin} describes a network of more than {min(self.bytes, self.most_bytes) / 2**30:.1f} GiB or "
                f"{MOST_TENSORS:,} tensors, which does not fit on this machine: check its sizes"
            )


def numel(given: dict[str, Any]) -> float:
    """Number of elements that a factory function (`empty`, `arange`, `eye`, ...) creates."""
    if "size" in given:
        return math.prod(float(side) for side in given["size"])
    if "end" in given:
        span = float(given["end"]) - float(given.get("start", 0))
        return float(given["steps"]) if "steps" in given else abs(span / float(given.get("step", 1) or 1))
    if "n" in given:
        return float(given["n"]) * float(given.get("m", given["n"]))
    return 0.0
