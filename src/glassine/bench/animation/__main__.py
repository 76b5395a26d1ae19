"""Layer-Animate's table I and ablation at the tiny scale: `python -m glassine.bench.animation`.

Every method is trained for equally many steps a stage on the same image network and motion modules (Still-Moving has
two stages); then what ships is compared: opaque clips that are cut out, and clips that carry alpha in the latents. What
is trained or scored already is kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from glassine.bench.animation.makers import MAKERS, TITLES
from glassine.bench.animation.scoring import AnimationScorer
from glassine.bench.animation.tables import ROUTES, animation_report, readme_blocks
from glassine.bench.console import progress_bar
from glassine.bench.generation.__main__ import add_arguments
from glassine.bench.generation.caches import make_cache
from glassine.bench.generation.evaluators import Evaluators, EvaluatorSources
from glassine.bench.generation.methods import ALL_TRAINING_SETS, ANIMATION, TRANSPARENT
from glassine.bench.generation.rows import SHORT_SETTINGS, VideoSampler
from glassine.bench.generation.runs import Budget, Run, train
from glassine.bench.generation.tables import write_report
from glassine.bench.generation.test_set import TestSet
from glassine.bench.generation.timing import Load, ready, time_together, trained_row
from glassine.bench.readme import write_blocks
from glassine.bench.records import Record, read_record, read_records
from glassine.bench.tables import read_optional
from glassine.utils.devices import keep_freed_memory, pick_device
from glassine.utils.errors import UserError, exit_code

RESULTS = Path("results") / "animation"
NUM_FRAMES = 16  # of a clip, as in the paper


def planned(methods: Sequence[str], seeds: int | None, budget: Budget) -> list[Run]:
    """All runs, first seeds first."""
    runs = [
        Run(method, TRANSPARENT, seed, budget)
        for method in methods
        for seed in range(ANIMATION[method].seeds if seeds is None else seeds)
    ]
    return sorted(runs, key=lambda run: run.seed)


def compare(
    runs: Sequence[Run], makers: Sequence[str], scorer: AnimationScorer, benchmarks: Path, readme: Path | None = None
) -> list[Record]:
    """Train and score what is missing; the page is written after every row.

    Args:
        runs: which methods are trained.
        makers: keys of `MAKERS`.
        scorer: on what and by what.
        benchmarks: folder of the records and the page.
        readme: see `report`.
    """
    folder = benchmarks / RESULTS
    rows: list[tuple[Record, Load]] = []
    for name in makers:
        try:
            maker = MAKERS[name](scorer.evaluators.device)
        except UserError as error:  # weights that are not there; the others do not wait for them
            print(f"{TITLES[name]}: {error}")
            continue
        record = shipped_record(scorer, name, maker, folder)
        if scorer.missing(record):
            scorer.measure(record, maker, folder, TITLES[name])
            report(benchmarks, readme)
        if name in ROUTES:
            rows.append((record, ready(maker)))
    for run in runs:
        record = scorer.record(run, run.checkpoint, folder)
        if scorer.missing(record):
            if not run.checkpoint.is_file():
                for cache in ALL_TRAINING_SETS[run.training_set].caches:
                    make_cache(cache, run.budget.data, run.budget.latents, run.budget.accelerator)
                train(run)
            scorer.fill(record, run, run.checkpoint, folder)
            report(benchmarks, readme)
    rows += [trained_row(run, scorer, folder) for run in runs if run.seed == 0]
    if not time_together(rows, next(iter(scorer.test_sets.values())).clips[0], folder):
        print("seconds a clip are not measured: that needs the networks of all methods in one call")
    return report(benchmarks, readme)


def shipped_record(scorer: AnimationScorer, name: str, maker: VideoSampler, folder: Path) -> Record:
    """The record of the `maker` of that name in `MAKERS`, with the scores of earlier calls if it was the same."""
    test_set = next(iter(scorer.test_sets.values()))
    shape = (test_set.split, test_set.size, test_set.num_frames)
    settings = {**SHORT_SETTINGS, **maker.settings}
    record = Record(name, TITLES[name], *shape, [], digest=maker.digest, settings=settings)
    path = folder / record.file_name
    old = read_record(path) if path.is_file() else record
    return old if (old.digest, old.settings) == (record.digest, settings) else record


def report(benchmarks: Path, readme: Path | None = None) -> list[Record]:
    """Write `animation.md` from the records, and return these. The README has a place for each table."""
    records = read_records(benchmarks / RESULTS)
    if records:
        published = read_optional(benchmarks / "published_layer_animate.yaml") or []
        write_report(animation_report(records, published), benchmarks / "animation.md")
        write_blocks(readme, readme_blocks(records, published))
    return records


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.animation", description=__doc__)
    parser.add_argument(
        "--methods", nargs="*", choices=ANIMATION, default=list(ANIMATION), help="what is trained (default: all)"
    )
    parser.add_argument("--beside", nargs="*", choices=MAKERS, default=list(MAKERS), help="what is not trained here")
    parser.add_argument("--seeds", type=int, help="of each method (default: 3 in table I, 1 in the ablation)")
    add_arguments(parser)
    parser.add_argument("--raft", help="path of torchvision's raft_large or raft_small file: adds its dynamic degree")
    parser.add_argument("--tables", action="store_true", help="train nothing, only write the page again")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    return exit_code(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.tables:
        if not report(args.to, args.readme):
            raise UserError(f"{args.to / RESULTS} has no records; run without --tables first")
        return
    if min(args.steps, args.clips, 1 if args.seeds is None else args.seeds) < 1:
        raise UserError(f"steps {args.steps}, clips {args.clips}, seeds {args.seeds} came; give at least 1 of each")
    budget = Budget(args.steps, args.device, args.latents, args.data)
    sources = EvaluatorSources(args.video, args.image_text, args.i3d, args.clip, args.fast_vqa, args.raft)
    evaluators = Evaluators(sources, pick_device(args.device))
    test_sets = {"stickers": TestSet("stickers", args.data, count=args.clips, num_frames=NUM_FRAMES)}
    scorer = AnimationScorer(test_sets, evaluators, progress_bar, args.clips_to)
    compare(planned(args.methods, args.seeds, budget), args.beside, scorer, args.to, args.readme)
    print(f"wrote {args.to / 'animation.md'}")


if __name__ == "__main__":
    sys.exit(main())
