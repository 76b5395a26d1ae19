"""The trained network in a checkpoint that `glassine fit` left."""

from pathlib import Path
from typing import Any

from torch import nn

from glassine.descriptions import read_yaml
from glassine.errors import UserError
from glassine.pretrained.weights import build_network, load_trained, read_state

NOT_PARTS = ("optimizer", "lr_scheduler")


def read_run_config(checkpoint: Path, config: Path | None = None) -> dict[str, Any]:
    """The `config.yaml` of the run that wrote `checkpoint`; UserError where either file is missing."""
    file = config or checkpoint.parent.parent / "config.yaml"
    for needed in (checkpoint, file):
        if not needed.is_file():
            raise UserError(f"no file at {needed}: give the checkpoint of a run that `glassine fit` made")
    try:
        content = read_yaml(file)
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
    return network.eval(), description
