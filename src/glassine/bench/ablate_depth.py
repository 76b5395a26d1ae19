"""Does time help? `python -m glassine.bench.ablate_depth --seeds 0 1 2`: ILDiff at several temporal depths.

The paper's table III. All depths are trained alike. Runs that are finished are kept, stopped ones go on. Scores are
those of the validation split, since a depth may be chosen by them.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from glassine.allocator import keep_freed_memory
from glassine.bench.console import print_table, progress_bar
from glassine.bench.depth_report import depth_table, write_depth_report
from glassine.bench.fit_runs import FitRun, logger_folder, read_yaml, schedule_overrides
from glassine.bench.held_out import HeldOut
from glassine.bench.methods import Method, ildiff_method
from glassine.bench.records import Record, plain, read_records
from glassine.bench.scoring import score
from glassine.bench.speed import peak_memory
from glassine.data.split import Split
from glassine.errors import UserError, exit_code
from glassine.hardware import pick_device

CONFIG = Path("experiments/ildiff/tiny.yaml")
CONDITIONS = ("white", "gray", "own_colour_jpeg75")
DEPTH = "--model.init_args.ildiff.init_args.adapter.init_args.depth"


def depth_run(config: Path, depth: int, seed: int, steps: int, accelerator: str, overrides: Sequence[str]) -> FitRun:
    """The training run of one depth and seed: the YAML with nothing changed but these, and no pause for validation."""
    content = read_yaml(config)
    version = f"depth{depth}-seed{seed}-{steps}steps"
    arguments = [DEPTH, str(depth), "--seed_everything", str(seed), "--data.seed", str(seed)]
    arguments += ["--trainer.logger.init_args.version", version, "--trainer.accelerator", accelerator]
    arguments += [*schedule_overrides(content, steps), "--trainer.max_time", "null"]
    arguments += ["--trainer.limit_val_batches", "0", *overrides]
    return FitRun(config, logger_folder(content, version), steps, tuple(arguments))


def ablate_depth(
    depths: Sequence[int] = (0, 3, 5, 8),
    seeds: Sequence[int] = (0,),
    steps: int = 150,
    accelerator: str = "auto",
    split: Split = "val",
    stickers: int = 12,
    size: int = 256,
    config: Path = CONFIG,
    data: str | None = None,
    benchmarks: Path = Path("benchmarks"),
    overrides: Sequence[str] = (),
) -> list[Record]:
    """Train, score, and write `ablate_depth.md` and `ablate_depth.png`.

    Args:
        depths: numbers of 3D convolutions.
        seeds: of weights and data.
        steps: optimiser steps of each run.
        accelerator: as Lightning's.
        split: of the stickers that are scored.
        stickers: how many, each of its own group.
        size: pixels.
        config: the YAML.
        data: shard folder to train and score on; None for the YAML's.
        benchmarks: folder of the records, the table and the plot.
        overrides: further arguments of `glassine fit`.

    Raises:
        UserError: no such YAML, no data, or a training failed.
    """
    overrides = [*(["--data.root", data] if data else []), *overrides]
    held_out = HeldOut(data or read_yaml(config)["data"]["root"], split, size, limit=stickers)
    device, folder = pick_device(accelerator), benchmarks / "results" / "ablate_depth"
    records: list[Record] = []
    for seed in seeds:
        for depth in depths:
            run = depth_run(config, depth, seed, steps, accelerator, overrides)
            print(f"depth {depth}, seed {seed}: {run.steps_done} of {steps} steps done", flush=True)
            run.finish()
            method = depth_method(run, depth, device)
            with progress_bar() as progress:
                (record,) = score([method], held_out, folder, CONDITIONS, data=held_out.name, progress=progress)
            add_costs(record, run, steps, device)
            record.save(folder)
            # earlier calls' seeds and depths belong to the same table
            records = [r for r in read_records(folder) if (r.setup, r.costs.get("steps")) == (record.setup, steps)]
            write_depth_report(records, benchmarks)
    print_table(depth_table(records), f"ILDiff after {steps} steps by temporal depth")
    print(f"wrote {benchmarks / 'ablate_depth.md'} and {benchmarks / 'ablate_depth.png'}")
    return records


def depth_method(run: FitRun, depth: int, device: torch.device) -> Method:
    """The run's network as a row of its own."""
    method = ildiff_method(str(run.checkpoint), device, f"depth {depth}")
    if method.function is None:
        raise UserError(method.missing)
    return dataclasses.replace(method, name="depth", config=f"{run.config} {' '.join(run.overrides)}")


def add_costs(record: Record, run: FitRun, steps: int, device: torch.device) -> None:
    """Seconds a clip, memory at the peak, and the training's length."""
    speed = record.costs["ms_per_frame"] or 0.0
    record.costs["seconds_per_clip"] = plain(speed * record.num_frames / 1000, 3)
    if "peak_memory_mib" not in record.costs:
        shape = (1, record.num_frames, 3, record.size, record.size)
        record.costs["peak_memory_mib"] = plain(peak_memory(str(run.checkpoint), shape, device), 4)
    record.costs["steps"] = steps


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.ablate_depth", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 3, 5, 8])
    parser.add_argument("--steps", type=int, default=150, help="optimiser steps of each run")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="stickers to score")
    parser.add_argument("--stickers", type=int, default=12, help="how many of them")
    parser.add_argument("--size", type=int, default=256, help="their pixels")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--data", default=None, help="shard folder (default: the YAML's)")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    if min(*args.depths, args.steps - 1, 0) < 0:
        parser.error("depths may not be negative, and there must be a step")
    torch.set_float32_matmul_precision("high")
    return exit_code(
        lambda: ablate_depth(
            args.depths,
            args.seeds,
            args.steps,
            args.accelerator,
            args.split,
            args.stickers,
            args.size,
            args.config,
            args.data,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
