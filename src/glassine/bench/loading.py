"""Load networks to measure from a folder of weights, a training run or a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.weights import SHIPPED, load_bundle
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest


@dataclass(frozen=True)
class Loaded:
    """A network in eval mode with its origin for records.

    Attributes:
        network: with all parameters loaded.
        origin: the bundle, or the run's folder or checkpoint as named by `shown`.
        seed: of the training; None if unknown.
    """

    network: nn.Module
    origin: str
    seed: int | None = None

    @property
    def digest(self) -> str:
        """Hash of all weights, including frozen parts: twelve hexadecimal digits."""
        return weights_digest(self.network)


def load_network(source: str, part: str = "ildiff") -> Loaded:
    """Load a network to measure.

    Args:
        source: `glassine:NAME` or a folder of weights (`load_bundle`), a run's folder, or a `.ckpt` file in it.
        part: argument of the trained task that holds the network; for runs and checkpoints only.

    Raises:
        UserError: `source` does not exist, has no such part, or does not fit this version of the code.
    """
    path = Path(source)
    if path.is_dir() and not (path / "model.safetensors").is_file():
        path = path / "checkpoints" / "last.ckpt"
        if not path.is_file():
            raise UserError(f"{source} has neither model.safetensors nor checkpoints/last.ckpt: train or export first")
    if path.suffix == ".ckpt":
        return load_checkpoint(path, part)
    return Loaded(load_bundle(source), source if source.startswith(SHIPPED) else shown(path))


def load_checkpoint(checkpoint: Path, part: str) -> Loaded:
    """Load `part` from a checkpoint, built from its run's `config.yaml`, with averaged weights if there are any.

    Raises:
        UserError: a file is missing, the run has no such part, or a trained tensor is missing or does not fit.
    """
    config = read_run_config(checkpoint)
    network, _ = load_part(checkpoint, part, config)
    seed = config.get("seed_everything")
    return Loaded(network, shown(checkpoint), seed if type(seed) is int else None)


def shown(path: Path) -> str:
    """The name of a path in records.

    It is relative to the working folder; a path outside is cut to its last four parts, so that no home folder is
    published. A run's last checkpoint is named by the run's folder.
    """
    path = path.resolve()
    if path.parts[-2:] == ("checkpoints", "last.ckpt"):
        path = path.parent.parent
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return "/".join(path.parts[-4:]).lstrip("/")
