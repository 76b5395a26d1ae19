"""Weights by name: files, bundles of our own, those that ship with the package, and parts of a run's checkpoint.

`load_partial` is the one way by which a state dict gets into a network: it renames, allows what may be missing, and
reports everything else that does not fit in one error.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glassine.utils.class_paths import build, read_yaml
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.renamed import with_current_names
from glassine.utils.tensors import in_eight_bits, out_of_eight_bits, write_tensors

ASSETS = Path(__file__).parent.parent / "assets"
SHIPPED = "glassine:"
SEARCHED = "GLASSINE_WEIGHTS"
"""Environment variable: folders of bundles in which `glassine:NAME` is looked up before the package's own."""
Shape = tuple[int, ...]


def read_state(path: Path, averaged: bool = True) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file or of a `.pt`/`.pth`/`.ckpt` file, read without running any code in it.

    Args:
        path: the file.
        averaged: of a run with `EMAWeightAveraging`, take the average; False takes the weights of its last step.

    Raises:
        UserError: no such file, one that cannot be read, or one without named tensors.
    """
    if not path.is_file():
        raise UserError(f"no weight file at {path}: give a .safetensors, .pt, .pth or .ckpt file that exists")
    try:
        if path.suffix == ".safetensors":
            return out_of_eight_bits(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be read as weights ({reason}): fetch or train it again") from error
    except (UnpicklingError, LookupError, AttributeError, TypeError) as error:
        # torch's own words about a file of another kind are a page, and advise to run the code in it; or it stumbles
        raise UserError(
            f"{path} cannot be read as weights (it holds something else): fetch or train it again"
        ) from error
    if not averaged and isinstance(content, dict) and "current_model_state" in content:  # WeightAveraging's
        content = content["current_model_state"]
    for name in ("state_dict", "model"):  # Lightning's checkpoints, EfficientSAM's
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    state = content if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UserError(f"{path} holds no named tensors: give a network's weights or a run's checkpoint")
    return state


@dataclass(frozen=True)
class LoadReport:
    """Result of `load_partial`.

    Attributes:
        source: of the state dict.
        loaded: names of the module's tensors that were filled.
        missing: those that the state dict lacks; they keep their values.
        unused: names of the state dict that were left out.
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
    """Copy a state dict, or what is wanted of it, into a module; or change nothing and say what does not fit.

    Args:
        module: the network.
        state: tensors by the names of `source`.
        rename: the module's name for a name of `state`, None to leave that tensor out; by default names are kept.
        allow_missing: whether a tensor of the module may be missing in `state`; by default none may.
        source: of `state`, for the report and the error message.
        misfits: what the caller has found already, for instance settings that differ; see `misfit`.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape or not finite; or there are `misfits`.
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
    """How a setting or a shape differs, in words."""
    return f"{name} must be {needed}, got {got}"


def shape_misfits(needed: Mapping[str, Shape], given: Mapping[str, Shape]) -> list[str]:
    """What is of another shape, missing or unexpected, in words; one of each kind comes first."""
    both = [name for name in needed if name in given and needed[name] != given[name]]
    kinds = (
        [misfit(name, needed[name], given[name]) for name in both],
        [f"{name} is missing" for name in needed if name not in given],
        [f"{name} is unexpected" for name in given if name not in needed],
    )
    return [*(kind[0] for kind in kinds if kind), *(one for kind in kinds for one in kind[1:])]


def refuse_misfits(module: nn.Module, misfits: Sequence[str], source: str) -> None:
    """Raise UserError if there are any; it names three of them."""
    if misfits:
        more = f" and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise UserError(
            f"{source} does not fit {type(module).__name__}: {'; '.join(misfits[:3])}{more}. Give weights of this "
            "architecture, or the network the arguments of theirs"
        )


LAYER = re.compile(r"(.+?\.temp_(?:attentions|convs)\.\d+|[^.]+)(?:\.(.+))?")


def by_layer(names: Sequence[str]) -> list[str]:
    """Names of tensors in few words: layers with the same tensors together."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, tensor = LAYER.fullmatch(name).groups("")  # type: ignore[union-attr]
        layers.setdefault(layer, []).append(tensor)
    alike: dict[tuple[str, ...], list[str]] = {}
    for layer, tensors in layers.items():
        alike.setdefault(tuple(tensors), []).append(layer)
    return [f"{shortened(tensors)} in {shortened(layers)}" for tensors, layers in alike.items()]


def shortened(names: Sequence[str]) -> str:
    """The first two names and the number of the others."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def with_weights(network: nn.Module, weights: str, prefix: str = "", fresh: tuple[str, ...] = ()) -> nn.Module:
    """The `network` with weights from elsewhere, for use as a `class_path` in a YAML.

    Args:
        network: any module.
        weights: path of a file for `read_state`, or of a bundle (see `load_bundle`).
        prefix: load only the entries that start with it, without it; for instance `decoder.` of a codec.
        fresh: prefixes of the network's tensors that may be missing and keep their initialization.

    Raises:
        UserError: the file is missing or unreadable, or does not fit.
    """
    bundle = weights.startswith(SHIPPED) or Path(weights).is_dir()
    state = read_state(locate(weights) / "model.safetensors" if bundle else Path(weights))
    load_partial(
        network,
        state,
        rename=lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None,
        allow_missing=lambda name: name.startswith(tuple(fresh)),
        source=weights,
    )
    return network


def check_finite(state: Mapping[str, Tensor], says: str, buffers: AbstractSet[str] = frozenset()) -> None:
    """UserError, which begins with `says`, where a tensor holds nan, or inf in what is not among the `buffers`."""
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        bad = tensor.isnan() if name in buffers else ~tensor.isfinite()  # a mask may hold minus infinity
        if bad.any():
            raise UserError(f"{says}, got {float(tensor[bad].flatten()[0])} in {name}: use an earlier checkpoint")


def locate(source: str) -> Path:
    """Folder of a bundle: `glassine:NAME` for the ones that ship with the package, else a path."""
    folder = shipped_folder(source) if source.startswith(SHIPPED) else Path(source)
    if folder.suffix == ".ckpt" or (folder / "checkpoints").is_dir():
        checkpoint = folder if folder.suffix == ".ckpt" else folder / "checkpoints" / "last.ckpt"
        command = f"glassine export weights {checkpoint} --part PART --to FOLDER"
        raise UserError(f"{source} is a training run: first `{command}`")
    if not (folder / "config.yaml").is_file():
        shipped = ", ".join(sorted(SHIPPED + f.parent.name for f in ASSETS.glob("*/config.yaml")))
        raise UserError(f"no weights at {source}: give a folder with config.yaml, or one of {shipped or 'none yet'}")
    return folder


def shipped_folder(source: str) -> Path:
    """Where `glassine:NAME` lies: in the first of the searched folders that has it, else in the package."""
    name = source.removeprefix(SHIPPED)
    searched = [Path(folder) for folder in os.environ.get(SEARCHED, "").split(os.pathsep) if folder]
    found = [folder / name for folder in searched if (folder / name / "config.yaml").is_file()]
    return found[0] if found else ASSETS / name


def load_bundle(source: str, frozen: bool = False) -> nn.Module:
    """A network from a folder with `config.yaml` (class_path, init_args) and `model.safetensors`.

    Args:
        source: the folder, or `glassine:NAME` for weights that ship with the package.
        frozen: whether it is never to be trained; a network that it is a part of then leaves it out of its own files.

    The configuration may name other bundles for the network's frozen parts; those stay out of the file and are read
    from their own. A folder may come from anywhere: no code in it is run, and of code outside of it only the classes
    that `glassine.utils.class_paths` lists, and those that the user allows besides.

    Raises:
        UserError: no such folder, its configuration names something else, or does not make a network with its weights.
    """
    folder = locate(source)
    with being_loaded(folder, source):
        network = build_network(read_yaml(folder / "config.yaml"), f"{source}/config.yaml")
        load_trained(network, read_state(folder / "model.safetensors"), source)
    return network.eval().requires_grad_(False) if frozen else network.eval()


_OPEN: ContextVar[tuple[Path, ...]] = ContextVar("bundles that are being loaded", default=())


@contextmanager
def being_loaded(folder: Path, source: str) -> Iterator[None]:
    """While a bundle is loaded; UserError if it is a part of itself."""
    place = folder.resolve()
    if place in _OPEN.get():
        raise UserError(f"{source} names itself as one of its own parts: it must be exported again")
    token = _OPEN.set((*_OPEN.get(), place))
    try:
        yield
    finally:
        _OPEN.reset(token)


def build_network(config: Any, origin: str) -> nn.Module:
    """The network that the `class_path` and `init_args` found in `origin` describe; UserError if they describe none."""
    try:
        return build(nn.Module, with_current_names(config), origin)
    except UserError:
        raise
    except Exception as error:  # whatever a constructor makes of arguments that are not its own
        reason = " ".join(str(error).split())[-300:]  # the deepest cause comes last
        raise UserError(f"{origin} does not describe a network of this version ({reason}); make it again") from error


def load_trained(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """`load_partial` of which only frozen parts may be missing: the configuration has filled them."""
    load_partial(network, state, allow_missing=lambda name: is_frozen(network, name), source=source)


def save_bundle(network: nn.Module, config: dict, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write what `load_bundle` reads; parameters that need no gradient are left out, unless all of them are.

    Floating-point tensors are stored as `dtype`, those too large for it as they are; half precision halves the file and
    is read back into the network's own precision. With `torch.int8` it is halved once more: weights of layers are
    stored in eight bits with a scale for each output channel, all other tensors in half precision.

    Raises:
        UserError: a weight is not finite, or the folder cannot be written.
    """
    state = network.state_dict()
    if any(p.requires_grad for p in network.parameters()):
        state = {name: tensor for name, tensor in state.items() if not is_frozen(network, name)}
    check_finite(state, "weights must be finite to be written", {name for name, _ in network.named_buffers()})
    if dtype == torch.int8:
        state, dtype = in_eight_bits(state), torch.float16
    stored = {name: stored_as(tensor, dtype) for name, tensor in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "config.yaml") as description, atomic_path(folder / "model.safetensors") as weights:
        write_tensors(stored, weights)
        description.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def stored_as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor as it is stored: in `dtype` where that can hold it."""
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.to(dtype)
    return stored if torch.equal(stored.isfinite(), tensor.isfinite()) else tensor


def save_model(network: Any, folder: Path) -> None:
    """`save_bundle` of a network with diffusers' `config`, described by its own arguments, not by a loader."""
    kind = type(network)
    # those of its base classes are not arguments of its own
    arguments = {name: network.config[name] for name in inspect.signature(kind).parameters}
    module = "diffusers" if kind.__module__.startswith("diffusers.") else kind.__module__  # its public name
    save_bundle(network, {"class_path": f"{module}.{kind.__qualname__}", "init_args": arguments}, folder)


def is_frozen(network: nn.Module, name: str) -> bool:
    """Whether the tensor called `name` belongs to a part that is not trained.

    That of a module without parameters goes by the smallest part around it that has some.
    """
    place = name.rpartition(".")[0]
    while True:
        module = network.get_submodule(place)
        parameters = list(module.parameters(recurse=False)) or list(module.parameters())
        if parameters or not place:
            return bool(parameters) and not any(p.requires_grad for p in parameters)
        place = place.rpartition(".")[0]


NOT_PARTS = ("optimizer", "lr_scheduler")


def read_run_config(checkpoint: Path, config: Path | None = None) -> dict[str, Any]:
    """The `config.yaml` of the run that wrote `checkpoint`; UserError if either file is missing."""
    file = config or checkpoint.parent.parent / "config.yaml"
    for needed in (checkpoint, file):
        if not needed.is_file():
            raise UserError(f"no file at {needed}: give the checkpoint of a run that `glassine fit` made")
    try:
        content = with_current_names(read_yaml(file))
        content["model"]["init_args"].items()
    except (UserError, AttributeError, LookupError, TypeError) as error:
        raise UserError(f"{file} is not the configuration of a run: give the one that `glassine fit` wrote") from error
    return content


def load_part(checkpoint: Path, part: str, config: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The trained `part` of a checkpoint, averaged weights where it has them, and its `class_path` and `init_args`.

    Args:
        checkpoint: a `.ckpt` file; read without running any code in it.
        part: argument of the task that holds the network: `vae`, `codec`, `ildiff`; a dot goes on into its own
            arguments: `reconstruction.encoder`.
        config: of the run, see `read_run_config`.

    Raises:
        UserError: the run has no such part, or a trained tensor is missing or does not fit.
    """
    arguments = config["model"]["init_args"]
    description: dict[str, Any] = {}
    for name in part.split("."):
        parts = {n: v for n, v in arguments.items() if n not in NOT_PARTS and isinstance(v, dict) and "class_path" in v}
        if name not in parts:
            raise UserError(f"the run of {checkpoint} has no part {part!r}; its parts are {', '.join(parts)}")
        description = parts[name]
        arguments = description.get("init_args") or {}
    network = build_network(description, f"the config.yaml of {checkpoint}")
    state = read_state(checkpoint)
    prefix = f"{part}."
    trained = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    load_trained(network, trained, str(checkpoint))
    return network.eval(), without_loaders(description, network)


LOADERS = {
    "glassine.pretrained.weights.with_weights": "network",
    "glassine.pretrained.image_unet.with_image_unet": "unet",
    "glassine.pretrained.motion_adapter.with_motion_adapter": "unet",
    "glassine.pretrained.priors.with_latent_mean": "latent_mean",
}
"""Functions that fill a network with weights from elsewhere, and their argument that is the network."""


def without_loaders(description: Any, network: nn.Module) -> Any:
    """The description of a trained network without where its weights first came from, so that it stands alone.

    Args:
        description: its `class_path` and `init_args`; nested ones describe its parts of the same names.
        network: what they describe; frozen parts keep their loaders, since a bundle leaves their weights out.
    """
    if not isinstance(description, dict) or "class_path" not in description:
        return description
    arguments = description.get("init_args") or {}
    inner = LOADERS.get(description["class_path"])
    if inner is not None and any(parameter.requires_grad for parameter in network.parameters()):
        return without_loaders(arguments[inner], network)
    parts = {name: part for name, part in network.named_children() if isinstance(arguments.get(name), dict)}
    return {**description, "init_args": {**arguments, **{n: without_loaders(arguments[n], parts[n]) for n in parts}}}
