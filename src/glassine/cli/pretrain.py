"""`glassine pretrain`: retrain the shipped weights, and the helper steps for that."""

import argparse
from pathlib import Path

from glassine.bench import pretrain


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("pretrain", help="retrain the shipped weights", description=pretrain.__doc__)
    pretrain.add_arguments(parser)
    kinds = parser.add_subparsers(dest="kind", metavar="[WHAT]")
    pack = kinds.add_parser("pack", help="pack frames and finished weights for a short run on another machine")
    pack.add_argument("--quality", type=int, default=75, help="quality of colors (default: %(default)s)")
    pack.add_argument("--variants", type=int, default=2, help="stickers per group and source (default: %(default)s)")
    run_pack = kinds.add_parser("run-pack", help="run the queue from a pack, on that machine")
    # separate dest names: the defaults of the queue's arguments would win otherwise
    run_pack.add_argument("--minutes", dest="pack_minutes", type=float, required=True, help="when to stop")
    run_pack.add_argument("--out", type=Path, required=True, help="output folder for the parts of the weights")
    run_pack.add_argument("--accelerator", dest="pack_accelerator", default="auto", help="auto, cpu or gpu")
    run_pack.add_argument(
        "--only", dest="pack_only", nargs="+", metavar="STEP", help="run only these steps of the queue"
    )
    unpack = kinds.add_parser("unpack", help="join the parts back into weights of the queue")
    unpack.add_argument("parts", type=Path, help="folder with weights.tar.000 and so on")
    statistics = kinds.add_parser(
        "statistics", help="write the mean and standard deviation of a VAE's latents into its bundle"
    )
    statistics.add_argument("vae", help="bundle: a folder or glassine:NAME")
    statistics.add_argument("frames", nargs="+", help="caches of `glassine data cache-frames`")
    statistics.add_argument("--split", default="train", help="train, val, test or all (default: %(default)s)")
    captions = kinds.add_parser("captions", help="let an exported LatentPrior remember the captions of its training")
    captions.add_argument("prior", help="bundle, modified in place: a folder or glassine:NAME")
    captions.add_argument("latents", nargs="+", help="caches of `glassine data cache-latents`")
    tokenizer = kinds.add_parser("tokenizer", help="make the tokenizer of a small bilingual text encoder")
    tokenizer.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    tokenizer.add_argument(
        "--vocab-size", type=int, default=9000, help="maximum number of tokens (default: %(default)s)"
    )
    tokenizer.add_argument(
        "--words", type=int, default=12000, help="words taken from MiniLM's vocabulary (default: %(default)s)"
    )
    areas = kinds.add_parser("closed-areas", help="train the networks that tell holes of a sticker")
    areas.add_argument(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        default=[Path("data/world"), Path("data/icons")],
        metavar="FOLDER",
        help="of shard folders (default: data/world data/icons)",
    )
    areas.add_argument(
        "--files",
        choices=["damaged", "white", "color"],
        default="damaged",
        help="after JPEG and palettes; clean on white; clean on other colors and patterns (default: %(default)s)",
    )
    areas.add_argument("--limit", type=int, default=60, help="stickers of each folder (default: %(default)s)")
    areas.add_argument("--rendered", type=int, default=30, help="of each procedural family (default: %(default)s)")
    areas.add_argument("--to", type=Path, default=None, metavar="FOLDER", help="default: the shipped weights")
    calibrate = kinds.add_parser(
        "calibrate", help="fit the mixing weights of an exported ILDiff on the validation groups"
    )
    calibrate.add_argument("folder", type=Path, help="exported weights, modified in place")
    calibrate.add_argument("--data", default="data/fluent", help="shard folder (default: %(default)s)")
    calibrate.add_argument("--size", type=int, default=256, help="size in pixels (default: %(default)s)")
    calibrate.add_argument("--device", default="auto", help="auto, cpu or gpu")


def run(args: argparse.Namespace) -> None:
    """Run the requested step.

    Raises:
        UserError: an unknown step, a failed one, or files that are missing or damaged.
    """
    if args.kind is None:
        pretrain.work(args)
    elif args.kind in ("pack", "run-pack", "unpack"):
        carry(args)
    elif args.kind == "statistics":
        from glassine.bench.latent_statistics import write_statistics

        write_statistics(args.vae, args.frames, args.split)
    elif args.kind == "captions":
        from glassine.bench.latent_statistics import write_captions

        write_captions(args.prior, args.latents)
    elif args.kind == "tokenizer":
        from glassine.bench.text_tokenizer import make

        make(args.to, args.vocab_size, args.words)
    elif args.kind == "closed-areas":
        closed_areas(args)
    else:
        from glassine.bench.calibrate_mixing import calibrate_mixing
        from glassine.bench.tables import print_table
        from glassine.utils.devices import pick_device

        print_table(calibrate_mixing(args.folder, args.data, pick_device(args.device), args.size))


def closed_areas(args: argparse.Namespace) -> None:
    """Gather examples, measure on styles that training left out, and write one of the networks."""
    import json

    from rich.progress import Progress

    from glassine.bench.closed_areas import SEEN_ON, fit, gather, left_out, write_network
    from glassine.bench.style_cases import find_cases
    from glassine.bench.tables import print_table
    from glassine.data.shards import shard_folders
    from glassine.pipelines.area_networks import NETWORKS
    from glassine.utils.files import atomic_path

    folders = [folder for source in args.sources for folder in shard_folders(source)]
    cases = find_cases(folders, "train", args.limit, args.rendered)
    network, conditions = NETWORKS[args.files], SEEN_ON[args.files]
    with Progress() as bar:
        task = bar.add_task("closed areas", total=len(cases) * len(conditions))
        examples = gather(cases, conditions, advance=lambda: bar.advance(task))
    net, told = fit(examples), left_out(examples, network)
    to = network.path.parent if args.to is None else args.to
    write_network(net, to / network.path.name)
    with atomic_path(to / f"left_out_{network.name}.json") as path:
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    head = ["style left out", "areas", "holes, of the area", "right by the rule", "by the network", "by both"]
    print_table((head, [[style, *(f"{value:g}" for value in row.values())] for style, row in told.items()]))


def carry(args: argparse.Namespace) -> None:
    """Pack, run or unpack the queue's files."""
    from glassine.bench import pretrain_pack as packs

    if args.kind == "pack":
        packs.pack(packs.FRAMES_FOLDER, packs.PACK, pretrain.STATE, args.quality, args.variants)
    elif args.kind == "run-pack":
        packs.run_pack(
            packs.PACK, packs.FRAMES_FOLDER, args.out, args.pack_minutes, args.pack_accelerator, args.pack_only
        )
    else:
        print("\n".join(packs.join(args.parts, pretrain.STATE)))
