"""Tensors that a bundle has in common with another: named in its header instead of stored a second time.

The video network's spatial layers are those of the image network, which ships beside it. `model.safetensors` then
holds what differs, and its header says where the rest is: `shared` is a JSON object with `source` (a bundle), `digest`
of that bundle's file, and `names` (own name to name there).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from glassine.utils.errors import UserError

SHARED = "shared"
FEWEST = 1024  # numbers of a tensor; smaller ones are not worth a name


def file_digest(path: Path, size: int = 8) -> str:
    """Digest of a file's content, `size` bytes as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=size)).hexdigest()


def find_shared(state: Mapping[str, Tensor], other: Mapping[str, Tensor], precision: torch.dtype) -> dict[str, str]:
    """Names of tensors of `state` that equal one of `other` as far as a file can tell, and its name there.

    Two tensors are equal if they differ by no more than the rounding of `precision`, half or eight bits. Tensors of one
    number throughout, such as zeros, are left out: they are equal by chance.
    """
    rounding = 1 / 200 if precision == torch.int8 else 1 / 1000  # of the largest magnitude; a step of 8 bits is 1 / 127
    places: dict[tuple[int, ...], list[str]] = {}
    for name, tensor in other.items():
        if _counts(tensor):
            places.setdefault(tuple(tensor.shape), []).append(name)
    found = {}
    for name, tensor in state.items():
        if not _counts(tensor):
            continue
        candidates = places.get(tuple(tensor.shape), [])
        for candidate in sorted(candidates, key=lambda one: one != name):  # its own name first
            theirs = other[candidate].float()
            if (tensor.float() - theirs).abs().max() <= rounding * theirs.abs().max():
                found[name] = candidate
                break
    return found


def _counts(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() >= FEWEST and bool(tensor.min() < tensor.max())


def shared_header(source: str, file: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Header field of `write_tensors` for a bundle that shares `names` with the `file` of the bundle `source`."""
    content = {"source": source, "digest": file_digest(file), "names": dict(names)}
    return {SHARED: json.dumps(content, separators=(",", ":"))}


def shared_of(path: Path) -> tuple[str, str, dict[str, str]] | None:
    """Source, digest and names that the header of a `.safetensors` file has; None if it shares nothing.

    Raises:
        UserError: the field is not what `shared_header` writes.
    """
    with safe_open(path, framework="pt") as file:
        said = (file.metadata() or {}).get(SHARED)
    if said is None:
        return None
    try:
        content = json.loads(said)
        names = {str(own): str(other) for own, other in content["names"].items()}
        return str(content["source"]), str(content["digest"]), names
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} has a damaged header: export it again") from error


def take_shared(
    path: Path, source: str, file: Path, digest: str, names: Mapping[str, str], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors that the bundle at `path` shares, by its own names.

    Args:
        path: the file that shares.
        source: the bundle that it shares with.
        file: that bundle's file.
        digest: what that file must have.
        names: own name to name there.
        state: that file's tensors.

    Raises:
        UserError: the other bundle is not the one that it was exported beside.
    """
    if file_digest(file) != digest:
        raise UserError(
            f"{path} shares weights with another {source} than the one at {file}: export it again with "
            f"--shared-with {source}"
        )
    return {own: state[other] for own, other in names.items()}
