"""Train one method on one training set with one seed, and score what it makes."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glassine import __version__
from glassine.bench.fit_runs import FitRun, logger_folder, read_yaml, schedule_overrides
from glassine.bench.generation.caches import DATA_FOLDER, LATENTS
from glassine.bench.generation.evaluators import Evaluators
from glassine.bench.generation.methods import EXPERIMENTS, METHODS, TRAINING_SETS
from glassine.bench.generation.rows import SHORT, Maker, load_maker
from glassine.bench.generation.test_set import TestSet
from glassine.bench.records import Cell, Record, plain, read_record
from glassine.hardware import hardware

Tell = Callable[[str, int, int], None]
# where VideoGPT's second stage is told of its first
FIRST_STAGE = "--model.init_args.prior.init_args.vqvae.init_args.weights"


@dataclass(frozen=True)
class Budget:
    """What every run is given.

    Attributes:
        steps: optimiser steps of each stage.
        accelerator: as Lightning's.
        latents: folder of the latent caches.
        data: shard folder.
        marks: into how many parts training is divided where scores are followed along the way, see `Run.marks`.
        overrides: further arguments of `glassine fit`.
    """

    steps: int = 400
    accelerator: str = "auto"
    latents: Path = LATENTS
    data: str = DATA_FOLDER
    marks: int = 4
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One method, training set and seed.

    Attributes:
        method: key of `METHODS`.
        training_set: key of `TRAINING_SETS`.
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
    def mark_every(self) -> int | None:
        """Steps from one scored network on the way to the next; first seeds on real stickers have such."""
        followed = self.seed == 0 and self.training_set == "stickers"
        return self.budget.steps // self.budget.marks or None if followed else None

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
        for number, stage in enumerate(METHODS[self.method].stages):
            config = EXPERIMENTS / f"{stage}.yaml"
            content = read_yaml(config)
            version = self.name if number == len(METHODS[self.method].stages) - 1 else f"{self.name}-stage{number}"
            arguments = ["--seed_everything", str(self.seed), "--data.seed", str(self.seed)]
            arguments += ["--trainer.logger.init_args.version", version]
            arguments += ["--trainer.accelerator", self.budget.accelerator]
            arguments += [*schedule_overrides(content, self.budget.steps), "--trainer.limit_val_batches", "0"]
            arguments += self.data_arguments(content)
            if self.mark_every is not None:
                arguments += ["--trainer.callbacks+", "glassine.tasks.checkpoints.KeptCheckpoints"]
                arguments += ["--trainer.callbacks.every_n_train_steps", str(self.mark_every)]
            if runs:
                arguments += [FIRST_STAGE, str(runs[-1].checkpoint)]
            folder = logger_folder(content, version)
            runs.append(FitRun(config, folder, self.budget.steps, (*arguments, *self.budget.overrides)))
        return runs

    def data_arguments(self, content: Mapping[str, dict]) -> Sequence[str]:
        """Of `glassine fit`, for what it is trained on."""
        chosen = TRAINING_SETS[self.training_set]
        if "latents" not in content["data"]:
            root = [] if "--data.root" in chosen.clips else ["--data.root", self.budget.data]
            return [*root, *chosen.clips]
        folders = ", ".join(f'"{self.budget.latents / name}"' for name in chosen.caches)
        return ["--data.root", self.budget.data, "--data.latents", f"[{folders}]"]


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


def score_run(
    run: Run,
    checkpoint: Path,
    test_sets: Mapping[str, TestSet],
    evaluators: Evaluators,
    folder: Path,
    tell: Tell = lambda *_: None,
    steps: int | None = None,
) -> Record:
    """Fill the record of a run; what is measured already on the same clips and weights is kept.

    Args:
        run: which.
        checkpoint: its network.
        test_sets: by name.
        evaluators: see there.
        folder: of the records.
        tell: called with what goes on, how many clips are made, and of how many.
        steps: of the training until this checkpoint; None for all.
    """
    method = METHODS[run.method]
    maker = load_maker(str(checkpoint), method.part, evaluators.device)
    first = next(iter(test_sets.values()))
    record = Record(
        run.method,
        method.title,
        first.split,
        first.size,
        first.num_frames,
        [],
        data=run.training_set,
        weights=re.sub(r"/checkpoints/last\.ckpt$", "", checkpoint.as_posix()),
        config=" ".join(stage.config.as_posix() for stage in run.stages()),
        digest=maker.digest,
        seed=run.seed,
        settings={"sampler": f"{SHORT.solver} {SHORT.steps}", "guidance_scale": SHORT.guidance_scale},
        measured="clips for the captions of held-out stickers, on white; seconds: 25 steps of DDIM, one clip",
    )
    path = folder / record.file_name
    if path.is_file() and (old := read_record(path)).digest == record.digest:
        record = old
    for name in TRAINING_SETS[run.training_set].tested_on:
        wanted = test_sets[name]
        inputs = cell_inputs(record, wanted, evaluators)
        if name in record.conditions and record.conditions[name].inputs == inputs:
            continue
        made = maker.clips(wanted.clips, tell=lambda done, of: tell(run.name, done, of))
        scores = evaluators.score(wanted.stacked(), made, [one.caption for one in wanted.clips])
        cell = Cell(inputs, len(wanted.clips), {score: plain(value) for score, value in scores.items()})
        record.conditions[name] = cell
        record.costs |= costs(maker, wanted) if steps is None else {}
        record.costs["steps"] = steps or run.budget.steps
        machine = hardware()
        on_cpu = evaluators.device.type == "cpu"
        record.costs_on = f"{machine['cpu']}, {machine['cores']} cores" if on_cpu else str(machine["gpu"])
        record.save(folder)
    return record


def costs(maker: Maker, test_set: TestSet) -> dict[str, float | None]:
    """Parameters, and seconds a clip."""
    return {"parameters": maker.parameters, "seconds_per_clip": plain(maker.seconds_a_clip(test_set.clips[0]), 3)}


def cell_inputs(record: Record, test_set: TestSet, evaluators: Evaluators) -> str:
    """Fingerprint of all that decides a cell's scores."""
    sources = evaluators.sources
    parts = (__version__, record.digest, sorted(record.settings.items()), test_set.fingerprint(), repr(sources))
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()
