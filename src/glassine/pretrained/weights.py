"""Weights in files, in our own bundles, and in those shipped with the package: reading, building and writing.

Into a network they are loaded by `glassine.pretrained.partial_loading`.
"""

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glassine.pretrained.partial_loading import check_finite, load_partial
from glassine.pretrained.shared_tensors import find_shared, shared_header, shared_of, take_shared
from glassine.utils.class_paths import build, read_yaml
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.renamed import with_current_names
from glassine.utils.tensors import in_eight_bits, out_of_eight_bits, write_tensors

ASSETS = Path(__file__).parent.parent / "assets"
SHIPPED = "glassine:"
# weights of the first edition, and their successors
REPLACED = {"glassine:tiny-sti": "glassine:sti", "glassine:tiny-layer-animate": "glassine:layer-animate"}
WEIGHTS_FILE = "model.safetensors"
SEARCHED = "GLASSINE_WEIGHTS"
"""Environment variable: folders of bundles in which `glassine:NAME` is looked up before the package's own."""


def read_state(path: Path, averaged: bool = True) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file or of a `.pt`/`.pth`/`.ckpt` file, read without running any code in it.

    Args:
        path: the file.
        averaged: for runs with `EMAWeightAveraging`, load the average; False loads the weights of the last step.

    Raises:
        UserError: the file does not exist, cannot be read, or has no named tensors.
    """
    if not path.is_file():
        raise UserError(f"no weight file at {path}: give a .safetensors, .pt, .pth or .ckpt file that exists")
    try:
        if path.suffix == ".safetensors":
            return with_shared(out_of_eight_bits(load_file(path)), path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be read as weights ({reason}): fetch or train it again") from error
    except (UnpicklingError, LookupError, AttributeError, TypeError) as error:
        # torch's own error for other file types is very long and suggests running the code in it, or torch crashes
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
        raise UserError(f"{path} contains no named tensors: give a network's weights or a run's checkpoint")
    return state


def with_shared(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, and those that it shares with another bundle, see `shared_tensors`.

    Raises:
        UserError: the other bundle is missing, or another one.
    """
    shared = shared_of(path)
    if shared is None:
        return state
    source, digest, names = shared
    folder = locate(source)
    with being_loaded(folder, source):  # which would never end if two shared with each other
        file = folder / WEIGHTS_FILE
        return state | take_shared(path, source, file, digest, names, read_state(file))


def with_weights(network: nn.Module, weights: str, prefix: str = "", fresh: tuple[str, ...] = ()) -> nn.Module:
    """The `network` with weights from a file or bundle, for use as a `class_path` in a YAML.

    Args:
        network: any module.
        weights: path of a file for `read_state`, or of a bundle (see `load_bundle`).
        prefix: only load entries with this prefix, which is removed; for instance `decoder.` of a TransparencyVAE.
        fresh: prefixes of the network's tensors that may be missing and keep their initialization.

    Raises:
        UserError: the file is missing, unreadable or incompatible.
    """
    bundle = weights.startswith(SHIPPED) or Path(weights).is_dir()
    state = read_state(locate(weights) / WEIGHTS_FILE if bundle else Path(weights))
    load_partial(
        network,
        state,
        rename=lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None,
        allow_missing=lambda name: name.startswith(tuple(fresh)),
        source=weights,
    )
    return network


def locate(source: str) -> Path:
    """Folder of a bundle: `glassine:NAME` for those shipped with the package, otherwise a path."""
    folder = shipped_folder(source) if source.startswith(SHIPPED) else Path(source)
    if folder.suffix == ".ckpt" or (folder / "checkpoints").is_dir():
        checkpoint = folder if folder.suffix == ".ckpt" else folder / "checkpoints" / "last.ckpt"
        command = f"glassine export weights {checkpoint} --part PART --to FOLDER"
        raise UserError(f"{source} is a training run: first `{command}`")
    if not (folder / "config.yaml").is_file():
        if source in REPLACED:
            raise UserError(f"{source} is of the first edition and no longer ships: use {REPLACED[source]}")
        shipped = ", ".join(sorted(SHIPPED + f.parent.name for f in ASSETS.glob("*/config.yaml")))
        raise UserError(f"no weights at {source}: give a folder with config.yaml, or one of {shipped or 'none yet'}")
    return folder


def shipped_folder(source: str) -> Path:
    """Location of `glassine:NAME`: the first of the searched folders that has it, otherwise the package."""
    name = source.removeprefix(SHIPPED)
    searched = [Path(folder) for folder in os.environ.get(SEARCHED, "").split(os.pathsep) if folder]
    found = [folder / name for folder in searched if (folder / name / "config.yaml").is_file()]
    return found[0] if found else ASSETS / name


def kind_of(source: str) -> str:
    """Name of the class that a bundle's configuration describes, without loading it; empty if it describes none.

    Raises:
        UserError: there is no bundle.
    """
    content = read_yaml(locate(source) / "config.yaml")  # what else is wrong with it is found when it is loaded
    return str(content.get("class_path") if isinstance(content, dict) else "").rpartition(".")[2]


def load_bundle(source: str, frozen: bool = False) -> nn.Module:
    """A network from a folder with `config.yaml` (class_path, init_args) and `model.safetensors`.

    Args:
        source: the folder, or `glassine:NAME` for weights that ship with the package.
        frozen: whether it is never trained; networks that contain it then leave it out of their own files.

    The configuration may name other bundles for the network's frozen parts; these are not in the file and are loaded
    from their own. A folder may come from anywhere: no code in it is run, and of other code only the classes that
    `glassine.utils.class_paths` lists, and those that the user allows.

    Raises:
        UserError: the folder does not exist, or its configuration does not describe a network that matches its weights.
    """
    folder = locate(source)
    with being_loaded(folder, source):
        network = build_network(read_yaml(folder / "config.yaml"), f"{source}/config.yaml")
        load_trained(network, read_state(folder / WEIGHTS_FILE), source)
    return network.eval().requires_grad_(False) if frozen else network.eval()


_OPEN: ContextVar[tuple[Path, ...]] = ContextVar("bundles that are being loaded", default=())


@contextmanager
def being_loaded(folder: Path, source: str) -> Iterator[None]:
    """Active while a bundle is loaded; raises UserError if it contains itself."""
    place = folder.resolve()
    if place in _OPEN.get():
        raise UserError(f"{source} names itself as one of its own parts: it must be exported again")
    token = _OPEN.set((*_OPEN.get(), place))
    try:
        yield
    finally:
        _OPEN.reset(token)


def build_network(config: Any, origin: str) -> nn.Module:
    """The network that the `class_path` and `init_args` in `origin` describe; raises UserError if there is none."""
    try:
        return build(nn.Module, with_current_names(config), origin)
    except UserError:
        raise
    except Exception as error:  # constructors can raise anything for wrong arguments
        reason = " ".join(str(error).split())[-300:]  # the root cause comes last
        raise UserError(f"{origin} does not describe a network of this version ({reason}); recreate it") from error


def load_trained(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """`load_partial` in which only frozen parts may be missing: the configuration has already loaded them."""
    load_partial(network, state, allow_missing=lambda name: is_frozen(network, name), source=source)


def save_bundle(
    network: nn.Module,
    config: dict,
    folder: Path,
    dtype: torch.dtype = torch.float16,
    shared_with: str | None = None,
) -> None:
    """Write a bundle for `load_bundle`; parameters without gradients are left out, unless that is all of them.

    Floating-point tensors are stored as `dtype`, or unchanged if out of its range; half precision halves the file and
    is converted back to the network's precision when loaded. `torch.int8` halves it again: the weights of layers are
    stored in eight bits with one scale per output channel, all other tensors in half precision. Tensors that equal one
    of the bundle `shared_with` up to that rounding are not stored: that bundle must be there when this one is loaded.

    Raises:
        UserError: a weight is not finite, or the folder cannot be written.
    """
    state = network.state_dict()
    if any(p.requires_grad for p in network.parameters()):
        state = {name: tensor for name, tensor in state.items() if not is_frozen(network, name)}
    check_finite(state, "weights must be finite to be written", {name for name, _ in network.named_buffers()})
    header = {}
    if shared_with is not None:
        file = locate(shared_with) / WEIGHTS_FILE
        names = find_shared(state, read_state(file), dtype)
        state = {name: tensor for name, tensor in state.items() if name not in names}
        header = shared_header(shared_with, file, names) if names else {}
    if dtype == torch.int8:
        state, dtype = in_eight_bits(state), torch.float16
    stored = {name: stored_as(tensor, dtype) for name, tensor in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "config.yaml") as description, atomic_path(folder / WEIGHTS_FILE) as weights:
        write_tensors(stored, weights, header)
        description.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def stored_as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor as stored: in `dtype` if its values are in range."""
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.to(dtype)
    return stored if torch.equal(stored.isfinite(), tensor.isfinite()) else tensor


def save_model(network: Any, folder: Path) -> None:
    """`save_bundle` for a network with a diffusers `config`, described by its own arguments, not by a loader."""
    kind = type(network)
    # arguments of its base classes are not its own
    arguments = {name: network.config[name] for name in inspect.signature(kind).parameters}
    module = "diffusers" if kind.__module__.startswith("diffusers.") else kind.__module__  # its public name
    save_bundle(network, {"class_path": f"{module}.{kind.__qualname__}", "init_args": arguments}, folder)


def is_frozen(network: nn.Module, name: str) -> bool:
    """Whether the tensor called `name` belongs to an untrained part.

    For modules without parameters, the smallest enclosing part with parameters decides.
    """
    place = name.rpartition(".")[0]
    while True:
        module = network.get_submodule(place)
        parameters = list(module.parameters(recurse=False)) or list(module.parameters())
        if parameters or not place:
            return bool(parameters) and not any(p.requires_grad for p in parameters)
        place = place.rpartition(".")[0]
