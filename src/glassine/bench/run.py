"""Training runs, from a spec to a checkpoint; shared by ablations, both benchmarks and `glassine pretrain`.

A `Spec` is a list of stages, each an experiment (a whole YAML or an overlay). With a seed, a training set and a
`Budget` it becomes a `Run`, which trains only missing stages: finished ones are kept, stopped ones are resumed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from glassine.pretrained.shared_tensors import file_digest
from glassine.pretrained.weights import SHIPPED, WEIGHTS_FILE, shipped_folder
from glassine.utils.errors import UserError
from glassine.utils.experiments import (
    config_arguments,
    dataset_arguments,
    dataset_values,
    experiment_files,
    read_experiment,
)
from glassine.utils.files import atomic_path

ASKED = "asked.json"
DATA = "data/fluent"
LATENTS = Path("data/latents")
# argument by which a stage gets the checkpoint of the previous stage
INIT_FROM = "--model.init_args.init_from"


@dataclass(frozen=True)
class FitRun:
    """One call of `fit`.

    Attributes:
        config: YAML of the experiment; for an overlay, the overlay itself, see `experiment_files`.
        folder: where the run writes, `save_dir/name/version` of its logger.
        steps: number of optimizer steps; 0 saves the initial networks.
        overrides: additional arguments, for instance `--seed_everything 1`.
        over: another YAML laid over the base of the experiment, see `experiment_files`; None for none.
    """

    config: Path
    folder: Path
    steps: int
    overrides: tuple[str, ...] = ()
    over: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """Path of the last checkpoint."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def steps_done(self) -> int:
        """Optimizer steps in the last checkpoint; 0 without one."""
        return steps_of(self.checkpoint)

    @property
    def description(self) -> str:
        """The experiment and the overrides, for records."""
        over = [self.over.as_posix()] if self.over is not None else []
        return " ".join([*over, self.config.as_posix(), *self.overrides])

    def arguments(self) -> list[str]:
        """Command line arguments for a child process `glassine`, which resumes if there is a checkpoint."""
        resume = ["--ckpt_path", str(self.checkpoint)] if self.checkpoint.is_file() else []
        return ["fit", *config_arguments(self.config, self.over), *self.overrides, *resume]

    def asked(self) -> dict[str, Any]:
        """Everything that determines the result: the YAMLs, the overrides except the device, and shipped weights."""
        others = list(self.overrides)
        if "--trainer.accelerator" in others:
            device = others.index("--trainer.accelerator")
            del others[device : device + 2]
        config = read_experiment(self.config, self.over)
        return {"config": config, "overrides": others, "weights": shipped_digests(config)}

    def asked_before(self) -> dict[str, Any] | None:
        """`asked` as saved in the folder; None if the folder was made by a manual `glassine fit`."""
        file = self.folder / ASKED
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def finish(self) -> None:
        """Train or resume until all steps are done.

        Raises:
            UserError: training failed, or the folder holds a run of other YAMLs, overrides or weights.
        """
        from glassine.bench.fit import fit

        if self.checkpoint.is_file() and self.asked_before() not in (None, self.asked()):
            raise UserError(
                f"{self.folder} must be a run of {self.description[:200]}, got one of other settings: move it away"
            )
        if self.checkpoint.is_file() and self.steps_done >= self.steps:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / ASKED) as temporary:
            temporary.write_text(json.dumps(self.asked(), indent=1), encoding="utf-8")
        try:
            resumed = self.checkpoint if self.checkpoint.is_file() else None
            cli = fit(experiment_files(self.config, self.over), self.overrides, resumed)
            if not self.steps:  # without training, Lightning saved no checkpoint
                cli.trainer.save_checkpoint(self.checkpoint)
        except UserError as error:
            raise UserError(f"{error} ({self.folder} is kept, the same command resumes)") from error


@dataclass(frozen=True)
class TrainingSet:
    """A training set of the benchmark.

    Attributes:
        title: in tables.
        caches: names of the latent caches, see `Budget.latents`.
        clips: arguments of `fit` for a task that takes clips instead of latents.
        tested_on: names of the test sets.
    """

    title: str
    caches: tuple[str, ...]
    clips: tuple[str, ...]
    tested_on: tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    """One method, or one arm of an ablation.

    Attributes:
        name: of its records and of its runs' folders.
        title: of its row in tables.
        stages: YAMLs of the experiments, trained one after the other; for an overlay, the overlay itself.
        part: argument of the last stage's task that holds the network.
        overrides: additional arguments of every stage.
        seeds: default number of seeds.
        handover: argument by which a stage gets the checkpoint of the previous stage.
        from_nothing: its networks start from random numbers, not from shared weights.
    """

    name: str
    title: str
    stages: tuple[Path, ...]
    part: str = "generator"
    overrides: tuple[str, ...] = ()
    seeds: int = 1
    handover: str = INIT_FROM
    from_nothing: bool = False


@dataclass(frozen=True)
class Budget:
    """Settings that all runs of a comparison share.

    Attributes:
        steps: optimizer steps of each stage.
        accelerator: of Lightning's trainer.
        latents: folder of the latent caches.
        data: shard folder; None for the one in the YAML.
        marks: number of equal parts of a training after which checkpoints are scored, see `Run.marks`.
        overrides: additional arguments of `fit`.
        start: YAML with the shared weights from which the methods start, laid over the experiments of those that start
            from any; None for the weights that the experiments name.
    """

    steps: int = 200
    accelerator: str = "auto"
    latents: Path = LATENTS
    data: str | None = DATA
    marks: int = 2
    overrides: tuple[str, ...] = ()
    start: Path | None = None


@dataclass(frozen=True)
class Run:
    """A spec with a training set and a seed.

    Attributes:
        spec: what to train.
        seed: of weights and data.
        budget: steps, device and data.
        training_set: name of the training set; empty for the data in the YAML.
        trained_on: the training set; None for the data in the YAML.
    """

    spec: Spec
    seed: int
    budget: Budget
    training_set: str = ""
    trained_on: TrainingSet | None = None

    @property
    def name(self) -> str:
        """Name of the last stage's folder."""
        start = self.start.stem if self.start is not None else ""
        parts = [self.spec.name, self.training_set, start, f"seed{self.seed}", f"{self.budget.steps}steps"]
        return "-".join(filter(None, parts))

    @property
    def start(self) -> Path | None:
        """The YAML with the shared weights, see `Budget.start`; None if the method starts from nothing."""
        return None if self.spec.from_nothing else self.budget.start

    @property
    def checkpoint(self) -> Path:
        """Last checkpoint of the last stage."""
        return self.stages()[-1].checkpoint

    @property
    def followed(self) -> bool:
        """Whether checkpoints during training are scored: only for first seeds on real stickers."""
        return self.seed == 0 and self.training_set == "stickers"

    @property
    def mark_every(self) -> int | None:
        """Steps between scored checkpoints; None if only the last one is scored."""
        return self.budget.steps // self.budget.marks or None if self.followed else None

    @property
    def marks(self) -> dict[int, Path]:
        """Step -> path of the checkpoint, for the scored steps before the end of training."""
        if self.mark_every is None:
            return {}
        folder = self.stages()[-1].folder / "checkpoints"
        steps = range(self.mark_every, self.budget.steps, self.mark_every)
        return {step: folder / f"step-{step:06d}.ckpt" for step in steps}

    def stages(self) -> list[FitRun]:
        """The trainings, in order; each starts from the checkpoint of the previous one."""
        runs: list[FitRun] = []
        for number, config in enumerate(self.spec.stages):
            content = read_experiment(config, self.start)
            version = self.name if number == len(self.spec.stages) - 1 else f"{self.name}-stage{number}"
            arguments = [*self.spec.overrides, "--seed_everything", str(self.seed), "--data.seed", str(self.seed)]
            arguments += ["--trainer.logger.init_args.version", version]
            arguments += ["--trainer.accelerator", self.budget.accelerator]
            arguments += schedule_overrides(content, self.budget.steps)
            if "max_time" in content["trainer"]:  # compared runs must all end after the same number of steps
                arguments += ["--trainer.max_time", "null"]
            arguments += ["--trainer.limit_val_batches", "0", *self.data_arguments(content)]
            if self.mark_every is not None:
                arguments += ["--trainer.callbacks+", "glassine.tasks.checkpoints.KeptCheckpoints"]
                arguments += ["--trainer.callbacks.every_n_train_steps", str(self.mark_every)]
            if runs:
                arguments += [self.spec.handover, str(runs[-1].checkpoint)]
            folder = logger_folder(content, version)
            runs.append(FitRun(config, folder, self.budget.steps, (*arguments, *self.budget.overrides), self.start))
        return runs

    @property
    def asked(self) -> str:
        """Fingerprint of everything that determines the result."""
        return hashlib.blake2b(repr([stage.asked() for stage in self.stages()]).encode(), digest_size=6).hexdigest()

    def data_arguments(self, content: Mapping[str, Any]) -> Sequence[str]:
        """Arguments of `fit` that select the training set."""
        root = dataset_arguments(content, "root", self.budget.data) if self.budget.data else []
        if self.trained_on is None:
            return root
        if "folders" not in dataset_values(content, "train"):
            return [*root, *self.trained_on.clips]
        folders = ", ".join(f'"{self.budget.latents / name}"' for name in self.trained_on.caches)
        return [*root, "--data.train.init_args.folders", f"[{folders}]"]

    def train(self) -> None:
        """Train all stages that are not finished.

        Raises:
            UserError: training failed, or a stage's folder holds a run with other settings.
        """
        for stage in self.stages():
            print(f"{self.name}: {stage.steps_done} of {stage.steps} steps done of {stage.config}", flush=True)
            stage.finish()


def steps_of(checkpoint: Path) -> int:
    """Number of optimizer steps of a checkpoint; 0 if the file does not exist."""
    if not checkpoint.is_file():
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def shipped_digests(config: Any) -> dict[str, str]:
    """Hashes of all shipped weights that a YAML names as `glassine:NAME`; `missing` for those that do not exist."""
    if isinstance(config, dict | list):
        parts = config.values() if isinstance(config, dict) else config
        return {name: digest for part in parts for name, digest in shipped_digests(part).items()}
    if not isinstance(config, str) or not config.startswith(SHIPPED):
        return {}
    file = shipped_folder(config) / WEIGHTS_FILE
    return {config: file_digest(file, size=6) if file.is_file() else "missing"}


def logger_folder(config: Mapping[str, Any], version: str | None = None) -> Path:
    """Folder of a run of this YAML, with the given or the YAML's own version."""
    logger = config["trainer"]["logger"]["init_args"]
    return Path(logger["save_dir"]) / logger["name"] / (version or logger["version"])


def schedule_overrides(config: Mapping[str, Any], steps: int) -> Sequence[str]:
    """Arguments that end the training and its learning rate schedule after `steps`."""
    found = ["--trainer.max_steps", str(steps)]
    schedule = config["model"]["init_args"].get("lr_scheduler", {}).get("init_args", {})
    for name in ("T_max", "total_steps"):
        if name in schedule:
            found += [f"--model.init_args.lr_scheduler.init_args.{name}", str(max(steps, 1))]
    return found
