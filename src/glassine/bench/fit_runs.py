"""Training runs that go on where they stopped: what the ablation and `make pretrain` share."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from glassine.pretrained.weights import SHIPPED, shipped_folder
from glassine.utils.errors import UserError
from glassine.utils.experiments import config_arguments, read_experiment
from glassine.utils.files import atomic_path

ASKED = "asked.json"


@dataclass(frozen=True)
class FitRun:
    """One `glassine fit`.

    Attributes:
        config: the experiment; of an overlay its own file, see `experiment_files`.
        folder: where the run writes, `save_dir/name/version` of its logger.
        steps: when it is finished.
        overrides: further arguments, for instance `--seed_everything 1`.
    """

    config: Path
    folder: Path
    steps: int
    overrides: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> Path:
        """Its last state."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def steps_done(self) -> int:
        """Of an earlier call; 0 without a checkpoint."""
        return steps_of(self.checkpoint)

    def arguments(self) -> list[str]:
        """What `glassine` is called with; it resumes if there is a checkpoint."""
        resume = ["--ckpt_path", str(self.checkpoint)] if self.checkpoint.is_file() else []
        return ["fit", *config_arguments(self.config), *self.overrides, *resume]

    def asked(self) -> dict[str, Any]:
        """All that decides what comes out: the YAML, the other arguments but for the device, and shipped weights."""
        others = list(self.overrides)
        if "--trainer.accelerator" in others:
            device = others.index("--trainer.accelerator")
            del others[device : device + 2]
        config = read_experiment(self.config)
        return {"config": config, "overrides": others, "weights": shipped_digests(config)}

    def asked_before(self) -> dict[str, Any] | None:
        """The same of the call that made the folder; None where `glassine fit` was called by hand."""
        file = self.folder / ASKED
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def finish(self) -> None:
        """Train, or go on, unless all steps are done.

        Raises:
            UserError: training failed; its reason has been printed. Or what is there was asked for otherwise.
        """
        from glassine.__main__ import main

        if self.checkpoint.is_file() and self.asked_before() not in (None, self.asked()):
            raise UserError(f"{self.folder} was trained by another {self.config}, or otherwise; move it out of the way")
        if self.steps_done >= self.steps:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / ASKED) as temporary:
            temporary.write_text(json.dumps(self.asked(), indent=1), encoding="utf-8")
        if main(self.arguments()):
            raise UserError(f"training {self.config} stopped early; {self.folder} is kept and the same command resumes")


def steps_of(checkpoint: Path) -> int:
    """How many optimizer steps led to it; 0 where there is none."""
    if not checkpoint.is_file():
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def shipped_digests(config: Any) -> dict[str, str]:
    """Of all weights that a YAML names as `glassine:NAME`, and what they are."""
    if isinstance(config, dict | list):
        parts = config.values() if isinstance(config, dict) else config
        return {name: digest for part in parts for name, digest in shipped_digests(part).items()}
    if not isinstance(config, str) or not config.startswith(SHIPPED):
        return {}
    file = shipped_folder(config) / "model.safetensors"
    return {config: hashlib.blake2b(file.read_bytes(), digest_size=6).hexdigest() if file.is_file() else "missing"}


def logger_folder(config: dict[str, Any], version: str | None = None) -> Path:
    """Where a run of this YAML writes; with another version of it if given."""
    logger = config["trainer"]["logger"]["init_args"]
    return Path(logger["save_dir"]) / logger["name"] / (version or logger["version"])


def schedule_overrides(config: dict[str, Any], steps: int) -> Sequence[str]:
    """Arguments that end training and its learning rate schedule after `steps`."""
    found = ["--trainer.max_steps", str(steps)]
    schedule = config["model"]["init_args"].get("lr_scheduler", {}).get("init_args", {})
    for name in ("T_max", "total_steps"):
        if name in schedule:
            found += [f"--model.init_args.lr_scheduler.init_args.{name}", str(steps)]
    return found
