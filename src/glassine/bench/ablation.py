"""Networks trained alike but for one thing, over several seeds, then scored: what all ablations share.

Runs that are finished are kept, stopped ones go on; every score is saved as soon as it is known.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from glassine.bench.console import progress_bar
from glassine.bench.decoder_methods import ildiff_method
from glassine.bench.fit_runs import FitRun, logger_folder, schedule_overrides
from glassine.bench.held_out import HeldOut
from glassine.bench.method import Method
from glassine.bench.records import Record, plain, read_records
from glassine.bench.scoring import score
from glassine.bench.speed import peak_memory
from glassine.data.sticker import Split
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError
from glassine.utils.experiments import dataset_arguments, read_experiment, training_root

CONDITIONS = ("white", "gray", "own_color_jpeg75")


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Attributes:
        name: of its runs' folders.
        title: its row.
        config: the YAML.
        overrides: what is changed in it, as arguments of `glassine fit`.
    """

    name: str
    title: str
    config: Path
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """How all arms are trained and scored.

    Attributes:
        seeds: of weights and data.
        steps: optimizer steps of each run.
        accelerator: as Lightning's.
        split: of the stickers that are scored; a choice may be made by them, so not the test split.
        stickers: how many, each of its own group.
        size: pixels.
        data: shard folder to train and score on; None for the YAML's.
        overrides: further arguments of `glassine fit`.
    """

    seeds: Sequence[int] = (0,)
    steps: int = 150
    accelerator: str = "auto"
    split: Split = "val"
    stickers: int = 12
    size: int = 256
    data: str | None = None
    overrides: tuple[str, ...] = ()

    def run(self, arm: Arm, seed: int) -> FitRun:
        """The training of an arm: its YAML with seed and steps changed, and no pause for validation."""
        content = read_experiment(arm.config)
        version = f"{arm.name}-seed{seed}-{self.steps}steps"
        arguments = [*arm.overrides, "--seed_everything", str(seed), "--data.seed", str(seed)]
        arguments += ["--trainer.logger.init_args.version", version, "--trainer.accelerator", self.accelerator]
        arguments += [*schedule_overrides(content, self.steps), "--trainer.max_time", "null"]
        arguments += ["--trainer.limit_val_batches", "0"]
        arguments += dataset_arguments(content, "root", self.data) if self.data else []
        return FitRun(arm.config, logger_folder(content, version), self.steps, (*arguments, *self.overrides))


def run_arms(
    arms: Sequence[Arm],
    trial: Trial,
    folder: Path,
    method: str,
    report: Callable[[Sequence[Record]], None],
    beside: Sequence[Arm] = (),
) -> list[Record]:
    """Train and score all arms, seed by seed.

    Args:
        arms: what is compared.
        trial: how.
        folder: of the records.
        method: what they are of, a part of their names.
        report: called with all comparable records of the folder after each run.
        beside: further arms of the same table, which earlier calls may have trained.

    Returns:
        Those records.

    Raises:
        UserError: no such YAML, no data, or a training failed.
    """
    root = trial.data or training_root(read_experiment(arms[0].config))
    held_out = HeldOut(root, trial.split, trial.size, limit=trial.stickers)
    device = pick_device(trial.accelerator)
    configs, records = {arm.config.as_posix() for arm in (*arms, *beside)}, list[Record]()
    for seed in trial.seeds:
        for arm in arms:
            run = trial.run(arm, seed)
            print(f"{arm.title}, seed {seed}: {run.steps_done} of {trial.steps} steps done", flush=True)
            run.finish()
            row = arm_method(run, arm, method, device)
            with progress_bar() as progress:
                (record,) = score([row], held_out, folder, CONDITIONS, data=held_out.name, progress=progress)
            add_costs(record, run, trial.steps, device)
            record.save(folder)
            # earlier calls' seeds and arms belong to the same table, those of another YAML do not
            records = [r for r in alike(read_records(folder), record) if config_of(r) in configs]
            report(records)
    return records


def alike(records: Sequence[Record], one: Record | None = None) -> list[Record]:
    """The finished records of one kind, that of `one` or the one that has most of them: what one table may show."""
    finished = [record for record in records if record.costs.get("steps") and set(CONDITIONS) <= set(record.conditions)]
    kinds = [kind_of(record) for record in finished]
    kind = max(kinds, key=kinds.count, default=None) if one is None else kind_of(one)
    return [record for record in finished if kind_of(record) == kind]


def kind_of(record: Record) -> tuple[object, ...]:
    """What must be equal for two records of an ablation to be compared."""
    return record.setup, record.costs.get("steps")


def config_of(record: Record) -> str:
    """The YAML that its network was trained by."""
    return record.config.partition(" ")[0]


def arm_method(run: FitRun, arm: Arm, name: str, device: torch.device) -> Method:
    """The run's network as a row of its own."""
    method = ildiff_method(str(run.checkpoint), device, arm.title)
    if method.function is None:
        raise UserError(method.missing)
    return dataclasses.replace(method, name=name, config=f"{run.config} {' '.join(run.overrides)}")


def add_costs(record: Record, run: FitRun, steps: int, device: torch.device) -> None:
    """Seconds a clip, memory at the peak, and the training's length."""
    speed = record.costs["ms_per_frame"] or 0.0
    record.costs["seconds_per_clip"] = plain(speed * record.num_frames / 1000, 3)
    if "peak_memory_mib" not in record.costs:
        shape = (1, record.num_frames, 3, record.size, record.size)
        record.costs["peak_memory_mib"] = plain(peak_memory(str(run.checkpoint), shape, device), 4)
    record.costs["steps"] = steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every ablation's command line takes; `trial_of` reads it."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--steps", type=int, default=Trial.steps, help="optimizer steps of each run (default: %(default)s)"
    )
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="stickers to score")
    parser.add_argument("--stickers", type=int, default=12, help="how many of them")
    parser.add_argument("--size", type=int, default=256, help="their pixels")
    parser.add_argument("--data", default=None, help="shard folder (default: the YAML's)")


def trial_of(args: argparse.Namespace) -> Trial:
    """The trial that was asked for; UserError for numbers below 1."""
    if min(args.steps, args.stickers, args.size) < 1:
        raise UserError(f"steps {args.steps}, stickers {args.stickers}, size {args.size} came; give at least 1 of each")
    return Trial(args.seeds, args.steps, args.accelerator, args.split, args.stickers, args.size, args.data)
