"""The arguments of `glassine benchmark`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from glassine.bench.methods import SD15, SHIPPED_ILDIFF, SHIPPED_MATTING, SHIPPED_SAM, SHIPPED_TRANSPARENCY, TITLES
from glassine.bench.protocols import CONDITION_TITLES, SECOND
from glassine.bench.run import DATA, LATENTS, Budget
from glassine.bench.specs import ANIMATION, DEPTHS, FLOORS, METHODS, POSITIONS, TRAINING_SETS, VARIANTS
from glassine.bench.style_cases import CONDITIONS
from glassine.bench.style_rows import ROW_NAMES

SHIPPED_VAE = "glassine:tiny-vae"
RECORDS = Path("benchmarks")
README = Path("README.md")
REFERENCES = (*FLOORS, "codec", "ildiff", "latents", "motion_0", "motion_4", "motion_9")
CHAIN = ("base", "in_domain", "student", "one_teacher", "guidance", "steps_8", "steps_4")  # of `glassine.bench.chain`
# arguments of `glassine data cache-latents`; SHARDS stands for the shard folder
SHARDS = "SHARDS"
CACHES = {
    "stickers": (SHARDS, "--animated-only", "--views", "4"),
    "stills": (SHARDS, "--stills-only", "--views", "1", "--flip"),
    "procedural": ("--procedural", "1600", "--views", "4"),
    # whole stickers end where they begin, so that networks trained on them generate loops
    "loops": (SHARDS, "--animated-only", "--whole"),
    "loops_16": (SHARDS, "--animated-only", "--whole", "--frames", "16"),
    "transparent_loops": (SHARDS, "--transparent", "--animated-only", "--whole", "--frames", "16"),
    "transparent_stills": (SHARDS, "--transparent", "--stills-only", "--views", "1", "--flip"),
}


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "benchmark",
        help="evaluate methods on held-out stickers and write the tables",
        description="Train what is missing, evaluate it, record it and write the tables. Existing networks and "
        "measurements are reused, so an interrupted call resumes.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="WHAT")

    def add(name: str, about: str, *groups: Callable[[argparse.ArgumentParser], None]) -> argparse.ArgumentParser:
        kind = kinds.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        for group in groups:
            group(kind)
        return kind

    alpha = add("alpha", "matting methods on held-out stickers: tables.md", add_common, add_readme)
    add_alpha(alpha)
    one = add("generation", "text-to-sticker methods, VSD2M's tables: generation.md", add_common, add_readme, add_video)
    named = f"{', '.join(METHODS | POSITIONS)} (default: the first {len(METHODS)})"
    one.add_argument(
        "--methods", nargs="+", choices=METHODS | POSITIONS, default=list(METHODS), metavar="NAME", help=named
    )
    one.add_argument("--beside", nargs="*", choices=FLOORS, default=list(FLOORS), help="floors of the distances")
    one.add_argument("--training-sets", nargs="+", choices=TRAINING_SETS, default=list(TRAINING_SETS), metavar="NAME")
    one.add_argument("--marks", type=int, default=Budget.marks, help="intermediate evaluations (default: %(default)s)")
    one = add("animation", "transparent clips, Layer-Animate's tables: animation.md", add_common, add_readme, add_video)
    one.add_argument("--methods", nargs="*", choices=ANIMATION, default=list(ANIMATION), metavar="NAME")
    one.add_argument(
        "--beside", nargs="*", choices=REFERENCES, default=list(REFERENCES), help="reference rows that are not trained"
    )
    one.add_argument(
        "--raft", help="path of torchvision's raft_large or raft_small weights: adds dynamic degree with RAFT"
    )
    add_chain(add("animated-stickers", "networks of Animated Stickers: animated_stickers.md", add_common))
    one = add("depth", "ILDiff by temporal depth: ablate_depth.md", add_common, add_ablation)
    one.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS), help="numbers of 3D convolutions")
    one = add("variants", "variants of ILDiff, trained identically: ablate_variants.md", add_common, add_ablation)
    one.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", help=f"of {', '.join(VARIANTS)}")
    add_styles(add("styles", "cut-out over styles and backgrounds, against closed forms: styles.md", add_to))
    add("speed", "full-size networks on a CUDA GPU: gpu.md", add_to)
    one = add("memory", "memory of full-size training steps, estimated without a GPU: experiments/README.md")
    one.add_argument("experiments", type=Path, nargs="*", help="YAMLs (default: all paper*.yaml beside the README)")
    one.add_argument(
        "--readme", type=Path, default=Path("experiments/README.md"), help="file with markers (default: %(default)s)"
    )
    one = add("data", "clips per second of our reader and of others: results/data_speed.md", add_to)
    one.add_argument("--originals", type=Path, help="folder of animated WebP (default: fetched Fluent)")
    one.add_argument("--stickers", type=int, default=40, help="default: %(default)s")
    one.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    add("all", "all of the above with their defaults; speed only if there is a CUDA GPU", add_common, add_readme)
    add("tables", "all pages and the README's tables from the records; no measurements", add_to, add_readme)
    one = add("run", "evaluate an ILDiff run against simple methods, with images")
    one.add_argument("run", type=Path, help="for instance lightning_logs/ildiff/tiny")
    one.add_argument("--data", help="shard folder; default: the one the run was trained on")
    add_split(one)
    one.add_argument("--stickers", type=int, default=16, help="how many held-out stickers")
    one.add_argument("--size", type=int, default=256, help="pixels")
    one.add_argument("--transparency", default=SHIPPED_TRANSPARENCY, help="LayerDiffuse's VAE: a bundle or a run")
    one.add_argument("--device", default="auto", help="auto, cpu or cuda")
    one = add("probe", "linear probing of a distillation: distill.md", add_to)
    one.add_argument("run", type=Path, help="for instance lightning_logs/distill/tiny")
    one.add_argument("--data", help="shard folder; default: the one of the run")
    one.add_argument("--stickers", type=int, default=200, help="training stickers to fit on (default: %(default)s)")
    add_split(one)
    one.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_prompts(add("prompts", "score a text-to-sticker network on randomly chosen emoji names", add_to))
    add_stills(add("stills", "score what animates stills on drawings that no network has seen", add_to))
    one = add("grid", "sample grid of a shipped network, not cherry-picked", add_to)
    one.add_argument(
        "--way",
        choices=("opaque", "ildiff", "latents", "still"),
        default="opaque",
        help="how transparency is obtained; still: of single pictures, cut out",
    )
    one.add_argument("--weights", help="default: the shipped ones")
    one.add_argument("--device", default="auto", help="auto, cpu or gpu")
    one = add("caches", "cache the latents that generators are trained on, by name", add_common)
    one.add_argument("names", nargs="+", choices=CACHES, metavar="NAME", help=", ".join(CACHES))
    one.add_argument("--latents", type=Path, default=LATENTS, help="folder of the caches (default: %(default)s)")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Output folder."""
    parser.add_argument("--to", type=Path, default=RECORDS, help="folder of records and tables (default: %(default)s)")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Data and device."""
    add_to(parser)
    parser.add_argument("--data", default=DATA, help="shard folder (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")


def add_readme(parser: argparse.ArgumentParser) -> None:
    """README with the tables to write."""
    parser.add_argument("--readme", type=Path, default=README, help="file with <!-- table:NAME --> markers")


def add_split(parser: argparse.ArgumentParser) -> None:
    """The held-out stickers."""
    parser.add_argument(
        "--split",
        choices=("val", "test"),
        default="val",
        help="held-out stickers: val to look at and to choose by, test for published tables alone (default: val)",
    )


def add_alpha(parser: argparse.ArgumentParser) -> None:
    """Of `alpha`."""
    add_split(parser)
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
        help="weights of ILDiff: bundle, run folder or .ckpt; several are seeds of one row, shown as mean and spread",
    )
    parser.add_argument(
        "--transparency",
        default=SHIPPED_TRANSPARENCY,
        help="LayerDiffuse's VAE: bundle, run, .ckpt, or layer_sd15_vae_transparent_decoder.safetensors",
    )
    parser.add_argument(
        "--transparency-encoder", metavar="FILE", help="LayerDiffuse's encoder (default: beside that decoder)"
    )
    parser.add_argument("--sd-vae", default=SD15, metavar="ID", help="Stable Diffusion of these (default: %(default)s)")
    parser.add_argument("--sam", default=SHIPPED_SAM, help="SAM: bundle, run folder, .ckpt, or Meta's sam_vit_*.pth")
    parser.add_argument(
        "--matting-anything",
        default=SHIPPED_MATTING,
        help="Matting Anything: the same, or the authors' mam_*.pth, with Meta's file as --sam",
    )
    parser.add_argument(
        "--sam2", metavar="ID", help="SAM-2: hub id, folder or Meta's sam2*.pt; without it the row stays empty"
    )
    parser.add_argument("--vae", default=SHIPPED_VAE, help="VAE of the condition vae_decoded")
    parser.add_argument("--again", action="store_true", help="repeat existing measurements")


def add_styles(parser: argparse.ArgumentParser) -> None:
    """Of `styles`."""
    parser.add_argument(
        "--shards", type=Path, nargs="*", default=[], metavar="FOLDER", help="shard folders; each one is a style"
    )
    add_split(parser)
    parser.add_argument("--limit", type=int, default=6, help="most groups of each folder (default: %(default)s)")
    parser.add_argument(
        "--rendered", type=int, default=2, help="rendered stickers of each procedural family (default: %(default)s)"
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"rows: {', '.join(ROW_NAMES)} (default: all)")
    parser.add_argument("--conditions", nargs="+", metavar="NAME", help=f"{', '.join(CONDITIONS)} (default: all)")
    parser.add_argument("--again", action="store_true", help="repeat existing measurements")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.png",
        help="only draw the stickers, one condition each, with their cut-outs on the backgrounds of chats",
    )
    parser.add_argument("--device", default="cpu", help="of the network: auto, cpu or gpu (default: %(default)s)")


def add_video(parser: argparse.ArgumentParser) -> None:
    """Of `generation` and `animation`."""
    parser.add_argument("--seeds", type=int, help="of each method (default: 3 in the main table, 1 elsewhere)")
    parser.add_argument("--steps", type=int, default=Budget.steps, help="of each stage (default: %(default)s)")
    add_split(parser)
    parser.add_argument("--limit", type=int, help="most groups of a test set, evenly spread (default: all)")
    parser.add_argument(
        "--clips",
        type=int,
        default=200,
        help="made for each test set at least: several seeds a caption if it has fewer groups (default: %(default)s)",
    )
    parser.add_argument(
        "--second",
        default=f"data/world/{SECOND}",
        help="shard folder of a second domain, a test set of its own; skipped if missing (default: %(default)s)",
    )
    parser.add_argument("--latents", type=Path, default=LATENTS, help="folder of caches (default: %(default)s)")
    add_start(parser, "vsd2m", "; needs --latents of their VAE")
    add_evaluators(parser)
    parser.add_argument("--i3d", help="path of i3d_pretrained_400.pt: adds FVD")
    parser.add_argument("--clip", help="hub id or path of a CLIP: adds its score and similarity")
    parser.add_argument("--fast-vqa", help="path of FAST-VQA-B's weights: adds VQA")
    parser.add_argument("--clips-to", type=Path, metavar="FOLDER", help="also write the clips, for `study build`")


def add_start(parser: argparse.ArgumentParser, folder: str, more: str = "") -> None:
    """Other weights to start from."""
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE.yaml",
        help=f"shared weights from which methods start, such as experiments/{folder}/benchmark.yaml (default: the "
        f"shipped tiny ones){more}",
    )


def add_evaluators(parser: argparse.ArgumentParser) -> None:
    """The networks of our own metrics."""
    parser.add_argument("--video", default="glassine:tiny-video", help="network of fvd_glassine (default: %(default)s)")
    parser.add_argument(
        "--image-text", default="glassine:tiny-clip", help="network of clip_glassine (default: %(default)s)"
    )


def add_chain(parser: argparse.ArgumentParser) -> None:
    """Of `animated-stickers`."""
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="NAME=WEIGHTS",
        help=f"a network: NAME is one of {', '.join(CHAIN)} or teacher_SOMETHING, WEIGHTS a folder of weights, a run "
        "or its checkpoint; can be given several times",
    )
    parser.add_argument("--procedural", type=int, metavar="N", help="on N rendered stickers instead of --data")
    add_split(parser)
    parser.add_argument("--limit", type=int, help="most stickers, evenly spread (default: one of every group)")
    parser.add_argument("--seeds", type=int, default=4, help="clips of each still (default: %(default)s)")
    parser.add_argument("--frames", type=int, choices=(8, 16), default=8, help="of a clip (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="pixels (default: %(default)s)")
    guided = "where steps are not distilled (default: %(default)s)"
    parser.add_argument("--steps", type=int, default=25, help=f"of DDIM, {guided}")
    parser.add_argument("--guidance", type=float, default=3.0, help=f"by the text, {guided}")
    parser.add_argument("--image-guidance", type=float, default=1.5, help=f"by the still, {guided}")
    add_evaluators(parser)
    parser.add_argument("--clips-to", type=Path, metavar="FOLDER", help="also write the clips, for `study build`")


def add_ablation(parser: argparse.ArgumentParser) -> None:
    """Of `depth` and `variants`."""
    add_start(parser, "ildiff")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and data (default: 0)")
    parser.add_argument("--steps", type=int, default=150, help="of each run (default: %(default)s)")
    add_split(parser)
    parser.add_argument("--stickers", type=int, default=12, help="how many of them (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="their pixels (default: %(default)s)")


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Arguments of `prompts`."""
    parser.add_argument("--weights", default="glassine:sti", help="network to score (default: %(default)s)")
    parser.add_argument("--transparency", choices=("opaque", "ildiff", "latents"), default="opaque")
    parser.add_argument("--evaluator", default="glassine:tiny-names", help="bundle or run (default: %(default)s)")
    parser.add_argument("--data", default="data/world", help="shards of all stickers (default: %(default)s)")
    parser.add_argument("--thumbnails", default="data/thumbnails", help="thumbnail cache (default: %(default)s)")
    parser.add_argument("--names", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=2, help="stickers per name (default: %(default)s)")
    parser.add_argument("--draw", type=int, default=0, help="seed of the names (default: %(default)s)")
    parser.add_argument("--prompt", default="{}", help="{} is the name (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="pixels (default: %(default)s)")
    parser.add_argument("--frames", type=int, help="frames per sticker (default: the network's)")


def add_stills(parser: argparse.ArgumentParser) -> None:
    """Arguments of `stills`."""
    usual = ["motion-fields=glassine:motion-fields", "layer-animate=glassine:layer-animate"]
    parser.add_argument(
        "--row", nargs="+", default=usual, metavar="NAME=WEIGHTS", help=f"networks (default: {' '.join(usual)})"
    )
    icons = [Path("data/icons") / name for name in ("noto-v1", "fxemoji")]
    parser.add_argument(
        "--stills", type=Path, nargs="+", default=icons, metavar="SHARDS", help="drawings (default: two icon sets)"
    )
    true = [Path("data/world") / name for name in ("fluent", "noto-animated")]
    parser.add_argument(
        "--true", type=Path, nargs="*", default=true, metavar="SHARDS", help="true stickers to compare with"
    )
    parser.add_argument("--count", type=int, default=64, help="stills (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `glassine benchmark`."""
    parser = argparse.ArgumentParser("glassine")
    add_parser(parser.add_subparsers())
    return parser.parse_args(["benchmark", *arguments])


def cache_latents(name: str, shards: str, folder: Path, device: str, makers: Sequence[str] = ()) -> None:
    """Write or complete the cache `name` of `CACHES` in `folder/name`; `makers` are its networks if not the usual."""
    from rich.console import Console

    from glassine.cli import caches as verb

    parser = argparse.ArgumentParser()
    verb.add_latent_arguments(parser)
    words = [shards if word == SHARDS else word for word in CACHES[name]]
    words += ["--to", str(folder / name), "--device", device, *makers]
    verb.cache_latents(parser.parse_args(words), Console(stderr=True))
