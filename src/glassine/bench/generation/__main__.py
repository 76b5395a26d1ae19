"""VSD2M's tables 4, 5 and 7 at the tiny scale: `python -m glassine.bench.generation`.

Every method is trained alike on real stickers, on procedural ones, and on both; STI on stills, too. What is trained or
scored already is kept, so a stopped run goes on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from glassine.bench.console import progress_bar
from glassine.bench.generation.caches import make_cache
from glassine.bench.generation.curves import draw_curves
from glassine.bench.generation.evaluators import TINY_CLIP, TINY_VIDEO, Evaluators, EvaluatorSources
from glassine.bench.generation.methods import METHODS, ONLY_STI, TRAINING_SETS
from glassine.bench.generation.runs import Budget, Run, train
from glassine.bench.generation.scoring import Scorer
from glassine.bench.generation.tables import about, generation_report, method_table, write_report
from glassine.bench.generation.test_set import SETS, TestSet
from glassine.bench.generation.timing import time_together, trained_row
from glassine.bench.parameter_counts import METHODS as FULL_SIZE
from glassine.bench.parameter_counts import count_parameters
from glassine.bench.readme import write_blocks
from glassine.bench.records import Record, read_records
from glassine.bench.tables import markdown, read_optional
from glassine.utils.devices import keep_freed_memory, pick_device
from glassine.utils.errors import UserError, exit_code

RESULTS = Path("results") / "generation"
ON_THE_WAY = Path("results") / "generation_steps"
FIRST = ("stickers", "stickers")  # what it is trained and tested on


def planned(methods: Sequence[str], training_sets: Sequence[str], seeds: int | None, budget: Budget) -> list[Run]:
    """All runs: first seeds first, so that a table stands early."""
    runs = [
        Run(method, training_set, seed, budget)
        for training_set in training_sets
        for method in methods
        for seed in range(METHODS[method].seeds if seeds is None else seeds)
        # seeds are those of table 4
        if (training_set not in ONLY_STI or method == "sti") and (training_set == "stickers" or seed == 0)
    ]
    return sorted(runs, key=lambda run: run.seed)


def study(
    runs: Sequence[Run],
    scorer: Scorer,
    benchmarks: Path,
    prepare: Callable[[Run], None] = lambda _: None,
    readme: Path | None = None,
) -> list[Record]:
    """Train and score what is missing; the tables are written after every score.

    Args:
        runs: which.
        scorer: on what and by what.
        benchmarks: folder of the records and the tables.
        prepare: called before a run is trained.
        readme: see `report`.
    """
    for run in runs:
        for step, network in [(None, run.checkpoint), *run.marks.items()]:
            folder = benchmarks / (RESULTS if step is None else ON_THE_WAY)
            record = scorer.record(run, network, folder)
            if scorer.missing(record):
                if not network.is_file():
                    prepare(run)
                    train(run)
                scorer.fill(record, run, network, folder, step)
                report(benchmarks, run.budget.steps, readme)
    if not runs:
        return []
    folder = benchmarks / RESULTS
    rows = [trained_row(run, scorer, folder) for run in runs if run.followed]
    if not time_together(rows, next(iter(scorer.test_sets.values())).clips[0], folder):
        print("seconds a clip are not measured: that needs the networks of all methods in one call")
    return report(benchmarks, runs[0].budget.steps, readme)


def report(benchmarks: Path, steps: int, readme: Path | None = None) -> list[Record]:
    """Write `generation.md` and `generation.png` from the records of runs of so many steps, and return these.

    The README has a place for the first part of table 4.
    """
    records = [record for record in read_records(benchmarks / RESULTS) if record.costs.get("steps") == steps]
    on_the_way = [r for r in read_records(benchmarks / ON_THE_WAY) if f"-{steps}steps" in r.weights]
    if records:
        full = {name: count_parameters(parts) for name, parts in FULL_SIZE.items()}
        published = read_optional(benchmarks / "published_vsd2m.yaml") or []
        write_report(generation_report(records, published, full), benchmarks / "generation.md")
        draw_curves([*on_the_way, *records], benchmarks / "generation.png")
        write_blocks(readme, {"generation": f"{markdown(method_table(records, *FIRST))}\n\n{about(records)}"})
    return records


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.generation", description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--training-sets", nargs="+", choices=TRAINING_SETS, default=list(TRAINING_SETS))
    parser.add_argument("--seeds", type=int, help="of each method (default: 3 for STI and VideoLDM, else 1)")
    parser.add_argument("--marks", type=int, default=Budget.marks, help="scores on the way (default: %(default)s)")
    add_arguments(parser)
    parser.add_argument("--tables", action="store_true", help="train nothing, only write the tables again")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    return exit_code(lambda: run(args))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What this study and that of Layer-Animate both take."""
    parser.add_argument("--steps", type=int, default=Budget.steps, help="of each stage (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=48, help="of each test set (default: %(default)s)")
    parser.add_argument("--data", default=Budget.data, help="shard folder (default: %(default)s)")
    parser.add_argument("--latents", type=Path, default=Budget.latents, help="folder of caches (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--video", default=TINY_VIDEO, help="evaluator behind fvd_glassine (default: %(default)s)")
    parser.add_argument("--image-text", default=TINY_CLIP, help="evaluator behind clip_glassine (default: %(default)s)")
    parser.add_argument("--i3d", help="path of i3d_pretrained_400.pt: adds FVD")
    parser.add_argument("--clip", help="hub id or path of a CLIP: adds its score and similarity")
    parser.add_argument("--fast-vqa", help="path of FAST-VQA-B's weights: adds VQA")
    parser.add_argument(
        "--clips-to", type=Path, metavar="FOLDER", help="also write the clips that this call scores, for study build"
    )
    parser.add_argument("--to", type=Path, default=Path("benchmarks"), help="folder of records and tables")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="file with <!-- table:... --> markers")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.tables:
        if not report(args.to, args.steps, args.readme):
            raise UserError(f"{args.to / RESULTS} has no records of {args.steps} steps; run without --tables first")
        return
    if min(args.steps, args.clips, args.marks, 1 if args.seeds is None else args.seeds) < 1:
        raise UserError(
            f"steps {args.steps}, clips {args.clips}, marks {args.marks}, seeds {args.seeds} came; give at least 1 of "
            "each"
        )
    budget = Budget(args.steps, args.device, args.latents, args.data, args.marks)
    runs = planned(args.methods, args.training_sets, args.seeds, budget)
    sources = EvaluatorSources(args.video, args.image_text, args.i3d, args.clip, args.fast_vqa)
    evaluators = Evaluators(sources, pick_device(args.device))
    test_sets = {name: TestSet(name, args.data, count=args.clips) for name in SETS}

    def make_caches(run: Run) -> None:
        for cache in TRAINING_SETS[run.training_set].caches:
            make_cache(cache, budget.data, budget.latents, args.device)

    scorer = Scorer(test_sets, evaluators, progress_bar, args.clips_to)
    study(runs, scorer, args.to, make_caches, args.readme)
    print(f"wrote {args.to / 'generation.md'}")


if __name__ == "__main__":
    sys.exit(main())
