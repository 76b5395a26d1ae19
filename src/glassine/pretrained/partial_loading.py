"""Loading of a state dict, or part of one, into a network: all that fits, or nothing.

`load_partial` is the only way to load a state dict into a network: it renames, allows listed tensors to be missing, and
reports everything else that does not match in one error. Files are read by `glassine.pretrained.weights`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from torch import Tensor, nn

from glassine.utils.errors import UserError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoadReport:
    """Result of `load_partial`.

    Attributes:
        source: source of the state dict.
        loaded: names of the module's tensors that were loaded.
        missing: tensors missing from the state dict; they keep their values.
        unused: names in the state dict that were not used.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded from {self.source}"]
        lines += [f"missing, keeps its initialization: {part}" for part in by_layer(self.missing)]
        lines += [f"not used: {part}" for part in by_layer(self.unused)]
        return "\n".join(lines)


def load_partial(
    module: nn.Module,
    state: Mapping[str, Tensor],
    rename: Callable[[str], str | None] | None = None,
    allow_missing: Callable[[str], object] | None = None,
    source: str = "",
    misfits: Sequence[str] = (),
) -> LoadReport:
    """Copy a state dict, or part of it, into a module; on a mismatch, change nothing and raise.

    Args:
        module: the network.
        state: tensors by the names of `source`.
        rename: maps a name in `state` to the module's name, or None to skip the tensor; by default names are unchanged.
        allow_missing: whether a tensor of the module may be missing in `state`; by default none may.
        source: origin of `state`, for the report and the error message.
        misfits: mismatches the caller has already found, for instance in settings; see `misfit`.

    Raises:
        UserError: a tensor is missing, unexpected, of the wrong shape or not finite; or there are `misfits`.
    """
    names = {name: rename(name) if rename else name for name in state}
    given = {new: state[old] for old, new in names.items() if new is not None}
    own = module.state_dict()
    allowed = {name for name in own if name not in given and allow_missing and allow_missing(name)}
    needed = {name: tuple(tensor.shape) for name, tensor in own.items() if name not in allowed}
    found = shape_misfits(needed, {name: tuple(tensor.shape) for name, tensor in given.items()})
    refuse_misfits(module, [*misfits, *found], source)
    buffers = {name for name, _ in module.named_buffers()}
    check_finite(given, f"{source} holds weights that must be finite", buffers)
    module.load_state_dict(given, strict=False)
    missing = tuple(name for name in own if name in allowed)
    return LoadReport(source, tuple(given), missing, tuple(old for old, new in names.items() if new is None))


def misfit(name: str, needed: object, got: object) -> str:
    """Description of a differing setting or shape."""
    return f"{name} must be {needed}, got {got}"


def shape_misfits(needed: Mapping[str, Shape], given: Mapping[str, Shape]) -> list[str]:
    """Descriptions of tensors that have the wrong shape, are missing or unexpected; one of each kind comes first."""
    both = [name for name in needed if name in given and needed[name] != given[name]]
    kinds = (
        [misfit(name, needed[name], given[name]) for name in both],
        [f"{name} is missing" for name in needed if name not in given],
        [f"{name} is unexpected" for name in given if name not in needed],
    )
    return [*(kind[0] for kind in kinds if kind), *(one for kind in kinds for one in kind[1:])]


def refuse_misfits(module: nn.Module, misfits: Sequence[str], source: str) -> None:
    """Raise UserError if there are any, naming three of them."""
    if misfits:
        more = f" and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise UserError(
            f"{source} does not match {type(module).__name__}: {'; '.join(misfits[:3])}{more}. Use weights of this "
            "architecture, or build the network with their arguments"
        )


LAYER = re.compile(r"(.+?\.temp_(?:attentions|convs)\.\d+|[^.]+)(?:\.(.+))?")


def by_layer(names: Sequence[str]) -> list[str]:
    """Compact list of tensor names, grouping layers with the same tensors."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, tensor = LAYER.fullmatch(name).groups("")  # type: ignore[union-attr]
        layers.setdefault(layer, []).append(tensor)
    alike: dict[tuple[str, ...], list[str]] = {}
    for layer, tensors in layers.items():
        alike.setdefault(tuple(tensors), []).append(layer)
    return [f"{shortened(tensors)} in {shortened(layers)}" for tensors, layers in alike.items()]


def shortened(names: Sequence[str]) -> str:
    """The first two names and the number of remaining ones."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def check_finite(state: Mapping[str, Tensor], says: str, buffers: AbstractSet[str] = frozenset()) -> None:
    """Raise UserError, starting with `says`, if a tensor has nan, or has inf and is not one of the `buffers`."""
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        bad = tensor.isnan() if name in buffers else ~tensor.isfinite()  # masks may contain minus infinity
        if bad.any():
            raise UserError(f"{says}, got {float(tensor[bad].flatten()[0])} in {name}: use an earlier checkpoint")
