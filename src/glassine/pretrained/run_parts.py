"""Trained parts of a run's checkpoint, with descriptions from which they can be built again."""

from pathlib import Path
from typing import Any

from torch import nn

from glassine.pretrained.weights import build_network, load_trained, read_state
from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError
from glassine.utils.renamed import with_current_names

NOT_PARTS = ("optimizer", "lr_scheduler")


def read_run_config(checkpoint: Path, config: Path | None = None) -> dict[str, Any]:
    """The `config.yaml` of the run that wrote `checkpoint`; raises UserError if either file is missing."""
    file = config or checkpoint.parent.parent / "config.yaml"
    for needed in (checkpoint, file):
        if not needed.is_file():
            raise UserError(f"no file at {needed}: give the checkpoint of a `glassine fit` run")
    try:
        content = with_current_names(read_yaml(file))
        content["model"]["init_args"].items()
    except (UserError, AttributeError, LookupError, TypeError) as error:
        raise UserError(f"{file} is not the configuration of a run: give the one written by `glassine fit`") from error
    return content


def load_part(checkpoint: Path, part: str, config: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The trained `part` of a checkpoint, with averaged weights if available, and its `class_path` and `init_args`.

    Args:
        checkpoint: a `.ckpt` file; read without running any code in it.
        part: the task argument that is the network: `vae`, `codec`, `ildiff`; a dot selects one of its own
            arguments: `reconstruction.encoder`.
        config: config of the run, see `read_run_config`.

    Raises:
        UserError: the run has no such part, or a trained tensor is missing or incompatible.
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
    """The description of a trained network without the loaders of its initial weights, so that it can be built alone.

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
