"""Train one method on one training set with one seed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glassine.bench.fit_runs import FitRun, logger_folder, schedule_overrides
from glassine.bench.generation.caches import DATA_FOLDER, LATENTS
from glassine.bench.generation.methods import ALL_METHODS, ALL_TRAINING_SETS, EXPERIMENTS
from glassine.utils.experiments import dataset_arguments, dataset_values, read_experiment


@dataclass(frozen=True)
class Budget:
    """What every run is given.

    Attributes:
        steps: optimizer steps of each stage.
        accelerator: as Lightning's.
        latents: folder of the latent caches.
        data: shard folder.
        marks: into how many parts training is divided where scores are followed along the way, see `Run.marks`.
        overrides: further arguments of `glassine fit`.
    """

    steps: int = 200
    accelerator: str = "auto"
    latents: Path = LATENTS
    data: str = DATA_FOLDER
    marks: int = 2
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One method, training set and seed.

    Attributes:
        method: key of `ALL_METHODS`.
        training_set: key of `ALL_TRAINING_SETS`.
        seed: of weights and data.
        budget: what it is given.
    """

    method: str
    training_set: str
    seed: int
    budget: Budget

    @property
    def name(self) -> str:
        """Of the last stage's folder."""
        return f"{self.method}-{self.training_set}-seed{self.seed}-{self.budget.steps}steps"

    @property
    def checkpoint(self) -> Path:
        """What the last stage leaves."""
        return self.stages()[-1].checkpoint

    @property
    def followed(self) -> bool:
        """First seeds on real stickers are looked at more closely."""
        return self.seed == 0 and self.training_set == "stickers"

    @property
    def mark_every(self) -> int | None:
        """Steps from one scored network on the way to the next, for those that are followed."""
        return self.budget.steps // self.budget.marks or None if self.followed else None

    @property
    def marks(self) -> dict[int, Path]:
        """Steps on the way, and the networks that they left."""
        if self.mark_every is None:
            return {}
        folder = self.stages()[-1].folder / "checkpoints"
        steps = range(self.mark_every, self.budget.steps, self.mark_every)
        return {step: folder / f"step-{step:06d}.ckpt" for step in steps}

    def stages(self) -> list[FitRun]:
        """The trainings, in order; each later one is told where the one before it left its network."""
        runs: list[FitRun] = []
        method = ALL_METHODS[self.method]
        for number, stage in enumerate(method.stages):
            config = EXPERIMENTS / f"{stage}.yaml"
            content = read_experiment(config)
            version = self.name if number == len(method.stages) - 1 else f"{self.name}-stage{number}"
            arguments = ["--seed_everything", str(self.seed), "--data.seed", str(self.seed)]
            arguments += ["--trainer.logger.init_args.version", version]
            arguments += ["--trainer.accelerator", self.budget.accelerator]
            arguments += [*schedule_overrides(content, self.budget.steps), "--trainer.limit_val_batches", "0"]
            arguments += self.data_arguments(content)
            if self.mark_every is not None:
                arguments += ["--trainer.callbacks+", "glassine.tasks.checkpoints.KeptCheckpoints"]
                arguments += ["--trainer.callbacks.every_n_train_steps", str(self.mark_every)]
            if runs:
                arguments += [method.told, str(runs[-1].checkpoint)]
            folder = logger_folder(content, version)
            runs.append(FitRun(config, folder, self.budget.steps, (*arguments, *self.budget.overrides)))
        return runs

    @property
    def asked(self) -> str:
        """Fingerprint of all that decides what is trained."""
        return hashlib.blake2b(repr([stage.asked() for stage in self.stages()]).encode(), digest_size=6).hexdigest()

    def data_arguments(self, content: Mapping[str, dict]) -> Sequence[str]:
        """Of `glassine fit`, for what it is trained on."""
        chosen = ALL_TRAINING_SETS[self.training_set]
        root = dataset_arguments(content, "root", self.budget.data)
        if "folders" not in dataset_values(content, "train"):
            return [*root, *chosen.clips]
        folders = ", ".join(f'"{self.budget.latents / name}"' for name in chosen.caches)
        return [*root, "--data.train.init_args.folders", f"[{folders}]"]


def train(run: Run) -> Path:
    """Train all stages, or what is missing of them; the last checkpoint.

    Raises:
        UserError: training failed, or what is there was asked for otherwise.
    """
    stages = run.stages()
    for stage in stages:
        print(f"{run.name}: {stage.steps_done} of {stage.steps} steps done of {stage.config}", flush=True)
        stage.finish()
    return stages[-1].checkpoint
