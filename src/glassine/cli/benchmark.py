"""`glassine benchmark`: train, evaluate and record methods, and write tables from the records."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from glassine.bench.methods import Sources, make_methods
from glassine.bench.run import Budget
from glassine.cli.benchmark_arguments import add_parser, cache_latents, parse
from glassine.cli.benchmark_data import cache_latents_of, test_sets
from glassine.utils.errors import UserError

if TYPE_CHECKING:
    from glassine.bench.evaluators import Evaluators

__all__ = ["add_parser", "run"]

FOR_TABLES = "these are numbers to choose by; `--split test` is for the published tables"
NUM_FRAMES = 16  # of a transparent clip, as in Layer-Animate
TRAINS = ("generation", "animation", "depth", "variants")


def run(args: argparse.Namespace) -> None:
    """Run the requested benchmark.

    Raises:
        UserError: invalid data, weights, experiments or numbers.
    """
    if args.kind in TRAINS:
        torch.set_float32_matmul_precision("high")
    KINDS[args.kind](args)


def alpha(args: argparse.Namespace) -> None:
    """Evaluate matting methods, print the table of this call, and write the page."""
    from glassine.bench.alpha_report import print_scores
    from glassine.bench.evaluate import evaluate
    from glassine.bench.gallery import draw_procedural
    from glassine.bench.loading import load_network
    from glassine.bench.progress import progress_bar
    from glassine.bench.protocols import AlphaEvalSet
    from glassine.bench.report import ALPHA_RESULTS, write_alpha
    from glassine.models.vae import RoundTrip
    from glassine.utils.devices import pick_device

    device = pick_device(args.device)
    sources = Sources(
        args.ildiff,
        args.transparency,
        args.sam,
        args.matting_anything,
        args.sam2,
        transparency_encoder=args.transparency_encoder,
        sd_vae=args.sd_vae,
    )
    methods = make_methods(args.methods, sources, device)
    round_trip: RoundTrip | None = None
    try:
        round_trip = RoundTrip(load_network(args.vae, "vae").network)
    except UserError as error:
        print(f"the condition vae_decoded is skipped: {error}")
    eval_set = AlphaEvalSet(args.data, args.split, args.size, limit=args.limit, round_trip=round_trip)
    print(f"{len(eval_set)} stickers of {len(eval_set)} groups, split {args.split}")
    folder, data = args.to / ALPHA_RESULTS, Path(args.data).name
    records = evaluate(methods, eval_set, folder, args.conditions, args.again, data, progress_bar)
    print_scores(records)
    networks = [method for method in methods if method.name in ("layer_diffuse", "ildiff")][:2]
    if networks and args.split == "test" and args.limit is None:
        for path in draw_procedural(eval_set, networks, args.to / "procedural"):
            print(f"wrote {path}")
    if args.split != "test":
        print(FOR_TABLES)
    elif write_alpha(args.to, args.readme):
        print(f"wrote {args.to / 'tables.md'}")


def generation(args: argparse.Namespace) -> None:
    """Train and evaluate text-to-sticker methods."""
    from glassine.bench import study
    from glassine.bench.evaluate_video import VideoEvaluator
    from glassine.bench.progress import progress_bar
    from glassine.bench.protocols import CaptionedSet, VideoEvalSet
    from glassine.bench.specs import generation_runs

    check_numbers(args, "steps", "clips", "marks", "seeds", "limit")
    budget = Budget(args.steps, args.device, args.latents, args.data, args.marks, start=args.start)
    runs = generation_runs(args.methods, args.training_sets, args.seeds, budget)
    tested = {name: CaptionedSet(name, root, args.split, args.limit) for name, root in test_sets(args).items()}
    evaluator = VideoEvaluator(VideoEvalSet(tested, args.clips), evaluators(args), progress_bar, args.clips_to)
    study.generation(runs, evaluator, args.to, cache_latents_of, args.readme, args.beside)
    say_written(args, "generation.md")


def animation(args: argparse.Namespace) -> None:
    """Train and evaluate methods that generate transparent clips."""
    from glassine.bench import study
    from glassine.bench.evaluate_video import AnimationEvaluator
    from glassine.bench.progress import progress_bar
    from glassine.bench.protocols import CaptionedSet, VideoEvalSet
    from glassine.bench.specs import animation_runs

    check_numbers(args, "steps", "clips", "seeds", "limit")
    budget = Budget(args.steps, args.device, args.latents, args.data, start=args.start)
    runs = animation_runs(args.methods, args.seeds, budget)
    tested = {
        name: CaptionedSet(name, root, args.split, args.limit, num_frames=NUM_FRAMES, paced=True)
        for name, root in test_sets(args).items()
        if name != "procedural"
    }
    eval_set = VideoEvalSet(tested, args.clips)
    evaluator = AnimationEvaluator(eval_set, evaluators(args), progress_bar, args.clips_to)
    study.animation(runs, args.beside, evaluator, args.to, cache_latents_of, args.readme)
    say_written(args, "animation.md")


def animated_stickers(args: argparse.Namespace) -> None:
    """Compare networks of Animated Stickers, print the table and write the page."""
    from glassine.bench.chain import ChainRow, evaluate_chain
    from glassine.bench.chain_report import RESULTS, chain_table, write_chain
    from glassine.bench.evaluators import Evaluators, EvaluatorSources
    from glassine.bench.progress import progress_bar
    from glassine.bench.protocols import CaptionedSet
    from glassine.bench.tables import print_table
    from glassine.models.animation import Animation
    from glassine.utils.devices import pick_device

    check_numbers(args, "limit", "procedural", "size")
    pairs = [given.partition("=") for given in args.row]
    if not pairs or not all(name and source for name, _, source in pairs):
        raise UserError(f"--row must be NAME=WEIGHTS, at least once, got {' '.join(args.row) or 'none'}")
    rows = [ChainRow(name, source) for name, _, source in pairs]
    guided = Animation(args.steps, args.guidance, image_guidance_scale=args.image_guidance)
    rendered = args.procedural is not None
    name, count = ("procedural", args.procedural) if rendered else ("stickers", args.limit)
    tested = CaptionedSet(name, args.data, args.split, count, args.size, args.frames)
    networks = Evaluators(
        EvaluatorSources(args.video, args.image_text), pick_device(args.device), ("distances", "clip")
    )
    records = evaluate_chain(rows, tested, args.seeds, guided, networks, args.to / RESULTS, progress_bar, args.clips_to)
    print_table(chain_table(records, name))
    if path := write_chain(args.to, args.split):
        print(f"wrote {path}")
    if args.split != "test":
        print(FOR_TABLES)


def say_written(args: argparse.Namespace, page: str) -> None:
    """Name the page that the split has."""
    from glassine.bench.report import page_of

    print(f"wrote {page_of(args.to / page, args.split)}")
    if args.split != "test":
        print(FOR_TABLES)


def evaluators(args: argparse.Namespace) -> "Evaluators":
    """The metrics for generated clips selected by the arguments."""
    from glassine.bench.evaluators import Evaluators, EvaluatorSources
    from glassine.utils.devices import pick_device

    raft = getattr(args, "raft", None)
    sources = EvaluatorSources(args.video, args.image_text, args.i3d, args.clip, args.fast_vqa, raft)
    return Evaluators(sources, pick_device(args.device))


def ablation(args: argparse.Namespace) -> None:
    """Train and evaluate the arms of an ablation, and print its table."""
    from glassine.bench import study
    from glassine.bench.ablation_report import depth_table, variants_table
    from glassine.bench.specs import depth_ablation, variants_ablation
    from glassine.bench.tables import print_table

    depth = args.kind == "depth"
    chosen = depth_ablation(args.depths) if depth else variants_ablation(args.variants)
    whole = None if depth else variants_ablation()
    budget = Budget(args.steps, args.device, data=args.data, start=args.start)
    records = study.ablate(chosen, args.seeds, budget, args.to, args.split, args.stickers, args.size, whole)
    print_table(depth_table(records) if depth else variants_table(records), chosen.title)
    print(f"wrote {args.to / f'ablate_{chosen.name}.md'}")


def styles(args: argparse.Namespace) -> None:
    """Cut stickers of several styles out of many backgrounds, print the table and write the page."""
    from glassine.bench.progress import progress_bar
    from glassine.bench.style_cases import CONDITIONS, find_cases
    from glassine.bench.style_rows import make_rows
    from glassine.bench.styles import RESULTS, condition_table, evaluate, write_styles
    from glassine.bench.tables import print_table

    if args.sheet is not None and args.sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet must be a .png file, got {args.sheet}")
    rows = make_rows(args.methods, args.device)
    cases = find_cases(args.shards, args.split, args.limit, args.rendered)
    print(f"{len(cases)} stickers of {len({case.group for case in cases})} groups, split {args.split}")
    if args.sheet is not None:
        from glassine.bench.style_pictures import draw_styles

        draw_styles(cases, args.sheet, args.conditions)
        print(f"wrote {args.sheet}")
        return
    data = "-".join([*(folder.name for folder in args.shards), *(["rendered"] if args.rendered else [])])
    records = evaluate(rows, cases, args.split, args.to / RESULTS, args.conditions, args.again, data, progress_bar)
    print_table(condition_table(records, args.conditions or list(CONDITIONS)))
    if path := write_styles(args.to, args.split):
        print(f"wrote {path}")
    if args.split != "test":
        print(FOR_TABLES)


def speed(args: argparse.Namespace) -> None:
    """Measure full-size networks on a GPU."""
    from glassine.bench.gpu import measure_speed

    if not torch.cuda.is_available():
        raise UserError("a CUDA GPU is required to measure full-size networks, got none")
    measure_speed(args.to, torch.device("cuda"))
    print(f"wrote {args.to / 'gpu.md'}")


def memory(args: argparse.Namespace) -> None:
    """Estimate what full-size training steps need, and write the table of the experiments' README."""
    from glassine.bench.memory import Estimate, write_memory

    def tell(one: Estimate) -> None:
        print(f"{one.experiment}: {one.gib:.1f} GiB at {one.batch} a GPU: {one.gpu}", flush=True)

    files = args.experiments or sorted(args.readme.parent.rglob("paper*.yaml"))
    write_memory(files, args.readme, tell)
    print(f"wrote {args.readme}")


def data(args: argparse.Namespace) -> None:
    """Measure the speed of data readers."""
    from glassine.bench.data_speed import measure_and_write
    from glassine.bench.report import DATA_RECORD

    measure_and_write(args.originals, args.stickers, args.rounds, args.to / DATA_RECORD)


def everything(args: argparse.Namespace) -> None:
    """All benchmarks with their defaults, then all tables."""
    shared = ["--to", str(args.to)]
    on_data = [*shared, "--data", args.data, "--device", args.device]
    for kind in ("alpha", "depth", "variants", "generation", "animation"):
        with_readme = (
            ["--readme", str(args.readme)] if kind not in ("depth", "variants") else ["--seeds", "0", "1", "2"]
        )
        run(parse([kind, *on_data, "--split", "test", *with_readme]))
    run(parse(["data", *shared]))
    if torch.cuda.is_available():
        run(parse(["speed", *shared]))
    tables(args)


def tables(args: argparse.Namespace) -> None:
    """Write all pages that have records, and print the commands for the others."""
    from glassine.bench.report import write_all

    written, empty = write_all(args.to, args.readme)
    for path in written:
        print(f"wrote {path}")
    for path, command in empty.items():
        print(f"{path} has no records: run `{command}`")


def evaluate_run(args: argparse.Namespace) -> None:
    """Evaluate a run of ILDiff."""
    from glassine.bench import study

    study.evaluate_run(args.run, args.data, args.split, args.stickers, args.size, args.transparency, args.device)


def probe(args: argparse.Namespace) -> None:
    """Probe a distillation."""
    from glassine.bench.probe import probe_run

    probe_run(args.run, args.data, args.stickers, args.split, args.to, args.device)


def prompts(args: argparse.Namespace) -> None:
    """Score a text-to-sticker network by emoji names."""
    from glassine.bench.prompts import lines, score_bundle

    record = score_bundle(
        args.weights, args.evaluator, args.data, args.thumbnails, args.to / "results" / "names", args.transparency,
        args.size, args.frames, args.names, args.seeds, args.draw, args.prompt,
    )  # fmt: skip
    print("\n".join(lines(record)))


def stills(args: argparse.Namespace) -> None:
    """Score what animates stills, print the table and write the page."""
    from glassine.bench.stills import RESULTS, run_stills, stills_table, write_stills
    from glassine.bench.tables import print_table

    records = run_stills(args.row, args.stills, args.true, args.to / RESULTS, args.count, args.device)
    print_table(stills_table(records))
    write_stills(args.to)
    print(f"wrote {args.to / 'stills.md'}")


def grid(args: argparse.Namespace) -> None:
    """Draw a grid of seeds."""
    from glassine.bench.gallery import WAYS, grid_maker, make_grid

    paths = make_grid(grid_maker(args.way, args.weights, args.device), args.to / WAYS[args.way])
    print("wrote", " and ".join(str(path) for path in paths))


def caches(args: argparse.Namespace) -> None:
    """Cache latents by name."""
    for name in args.names:
        cache_latents(name, args.data, args.latents, args.device)


def check_numbers(args: argparse.Namespace, *names: str) -> None:
    """Raise UserError if one of these arguments is below 1."""
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if min(given.values()) < 1:
        raise UserError(
            f"{', '.join(given)} must be at least 1, got {', '.join(str(value) for value in given.values())}"
        )


KINDS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "alpha": alpha,
    "generation": generation,
    "animation": animation,
    "animated-stickers": animated_stickers,
    "depth": ablation,
    "variants": ablation,
    "styles": styles,
    "speed": speed,
    "memory": memory,
    "data": data,
    "all": everything,
    "tables": tables,
    "run": evaluate_run,
    "probe": probe,
    "prompts": prompts,
    "stills": stills,
    "grid": grid,
    "caches": caches,
}
