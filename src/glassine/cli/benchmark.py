"""`glassine benchmark`: score methods on held-out stickers, write records and tables."""

import argparse
from pathlib import Path

from glassine.bench.console import print_scores, progress_bar
from glassine.bench.decoder_methods import CODEC, SHIPPED_ILDIFF
from glassine.bench.held_out import CONDITION_TITLES, HeldOut
from glassine.bench.loading import load_network
from glassine.bench.method import TITLES
from glassine.bench.methods import Sources, make_methods
from glassine.bench.prompted_methods import SHIPPED_MATTING, SHIPPED_SAM
from glassine.bench.score_page import RESULTS, write_tables
from glassine.bench.scoring import score
from glassine.bench.side_by_side import draw_procedural
from glassine.models.vae import RoundTrip
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError

SHIPPED_VAE = "glassine:tiny-vae"


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "benchmark",
        help="score methods on held-out stickers and write the tables",
        description="Score methods on held-out stickers. What is measured already is kept, so a stopped run goes on. "
        "Only records of the test split, of the largest set of stickers, enter the written tables.",
    )
    parser.add_argument("--data", type=Path, default=Path("data/fluent"), help="shard folder (default: %(default)s)")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="val is for choosing settings")
    parser.add_argument("--limit", type=int, help="most stickers, evenly spread (default: one of every group)")
    parser.add_argument("--size", type=int, default=256, help="pixels (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"rows: {', '.join(TITLES)} (default: all)")
    parser.add_argument("--conditions", nargs="+", metavar="NAME", help=f"{', '.join(CONDITION_TITLES)} (default: all)")
    parser.add_argument(
        "--ildiff",
        "--seeds",
        nargs="+",
        default=[SHIPPED_ILDIFF],
        metavar="SOURCE",
        help="weights of ILDiff: bundle, run folder or .ckpt; several are seeds of one row, shown with their spread",
    )
    parser.add_argument("--codec", default=CODEC, help="LayerDiffuse's codec: bundle, run folder or .ckpt")
    parser.add_argument("--sam", default=SHIPPED_SAM, help="SAM: bundle, run folder or .ckpt")
    parser.add_argument("--matting-anything", default=SHIPPED_MATTING, help="the same for Matting Anything")
    parser.add_argument("--sam2", metavar="ID", help="SAM-2: hub id or folder; without it the row stays empty")
    parser.add_argument("--vae", default=SHIPPED_VAE, help="VAE of the condition vae_decoded")
    parser.add_argument("--device", default="auto", help="of the networks: auto, cpu or cuda")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--to", type=Path, default=Path("benchmarks"), help="folder of results and tables")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="file with <!-- table:alpha --> markers")
    parser.add_argument("--tables", action="store_true", help="measure nothing, only write the tables again")


def run(args: argparse.Namespace) -> None:
    """Score and write."""
    if not args.tables:
        measure(args)
    written = write_tables(args.to, args.readme)
    if not written and args.tables:
        raise UserError(f"{args.to / RESULTS} has no records of the test split; run `glassine benchmark` first")
    for path in written:
        print(f"wrote {path}")


def measure(args: argparse.Namespace) -> None:
    """Score, save the records, and show this run's table."""
    device = pick_device(args.device)
    methods = make_methods(
        args.methods, Sources(args.ildiff, args.codec, args.sam, args.matting_anything, args.sam2), device
    )
    round_trip: RoundTrip | None = None
    try:
        round_trip = RoundTrip(load_network(args.vae, "vae").network)
    except UserError as error:
        print(f"the condition vae_decoded is left out: {error}")
    held_out = HeldOut(str(args.data), args.split, args.size, limit=args.limit, round_trip=round_trip)
    with progress_bar() as progress:
        records = score(
            methods,
            held_out,
            args.to / RESULTS,
            args.conditions,
            args.again,
            data=args.data.name,
            progress=progress,
        )
    print_scores(records)
    networks = [method for method in methods if method.name in ("layer_diffuse", "ildiff")][:2]
    if networks and args.split == "test" and args.limit is None:
        for path in draw_procedural(held_out, networks, args.to / "procedural"):
            print(f"wrote {path}")
