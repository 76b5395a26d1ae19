"""Writing tensors as safetensors files: the library's own writer leaves files that only the owner may read.

It also hides what the system said in an error of its own, and writes to a hidden file that a kill leaves behind.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

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
    """Write a `.safetensors` file, as the library reads it, and wait until it is on the disk.

    Args:
        tensors: by name; on any device, of the dtypes in `DTYPES`.
        path: of the file, which is replaced; meant to be a temporary one (`atomic_path`).
        metadata: further text for the header.

    Raises:
        TypeError: a dtype that is not in `DTYPES`.
        OSError: what the system says, for instance that the disk is full.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    # wide types first, so that each tensor begins at a multiple of its own size
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
