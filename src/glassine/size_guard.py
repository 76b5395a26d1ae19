"""No network that the machine cannot hold is allocated because a file asks for it."""

import math
import os
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glassine.errors import UserError

MOST_TENSORS = 30_000  # the largest networks of the papers have about 3,000 parameters and buffers
FALLBACK_BYTES = 64 << 30


def memory_bytes() -> int:
    """Main memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return FALLBACK_BYTES


class SizeGuard(TorchDispatchMode):
    """While it is entered, tensors are counted as they are made.

    Args:
        origin: file that describes the network, for the message.
        most_bytes: of all tensors together; the machine's memory by default.

    Raises:
        UserError: from the call that would make one tensor too many, before it is allocated.
    """

    def __init__(self, origin: str, most_bytes: int | None = None) -> None:
        super().__init__()
        self.origin = origin
        self.most_bytes = memory_bytes() if most_bytes is None else most_bytes
        self.bytes, self.tensors = 0.0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what `func` makes, if it makes a tensor out of numbers."""
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
                f"{MOST_TENSORS:,} tensors, which this machine cannot hold: check its sizes"
            )


def numel(given: dict[str, Any]) -> float:
    """Elements that a factory function (`empty`, `arange`, `eye`, ...) makes of its arguments."""
    if "size" in given:
        return math.prod(float(side) for side in given["size"])
    if "end" in given:
        span = float(given["end"]) - float(given.get("start", 0))
        return float(given["steps"]) if "steps" in given else abs(span / float(given.get("step", 1) or 1))
    if "n" in given:
        return float(given["n"]) * float(given.get("m", given["n"]))
    return 0.0
