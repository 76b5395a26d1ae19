"""`glassine data cache-frames`, `cache-features` and `cache-latents`: precompute what `glassine fit` reads.

Frames are small color-padded images of stickers, features come from a teacher, latents come with text embeddings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor

from glassine.pretrained.weights import SHIPPED
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError
from glassine.utils.progress import progress_bar

if TYPE_CHECKING:
    from glassine.data.dataset import StickerDataset, Stickers
    from glassine.data.views import FrameViews, StickerViews

TINY_SAM = "glassine:tiny-sam"
TINY_VAE, TINY_TEXT = "glassine:tiny-vae", "glassine:tiny-text"
TINY_CODEC = "glassine:tiny-transparency"
Encode = Callable[[Tensor], Tensor]
RANDOM_VIEWS = 4
FRAMES_A_PASS = 32  # through the VAE; bounds the memory


def add_common_arguments(parser: argparse.ArgumentParser, views: int) -> None:
    """Add the arguments of both verbs."""
    parser.add_argument("shards", type=Path, metavar="SHARDS", nargs="?", help="if omitted, only rendered stickers")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="cache folder; an interrupted run resumes"
    )
    parser.add_argument("--views", type=int, default=views, help=f"random views of each sticker (default: {views})")
    parser.add_argument("--limit", type=int, help="maximum number of stickers, evenly spaced (default: all)")
    parser.add_argument("--split", default="train", help="default: %(default)s")
    parser.add_argument("--procedural", type=int, default=0, help="rendered stickers to add (default: %(default)s)")
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--animated-only", action="store_true", help="skip single-frame stickers")
    frames.add_argument("--stills-only", action="store_true", help="only single-frame stickers")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or cuda:1")


def chosen_stickers(args: argparse.Namespace, num_frames: int, size: tuple[int, int]) -> Stickers:
    """The stickers selected by the arguments, as in training.

    Raises:
        UserError: none are given, or they cannot be read.
    """
    from glassine.data.dataset import Stickers

    if args.shards is None and not args.procedural:
        raise UserError(
            "SHARDS or --procedural must be given, got neither: give a shard folder, or a number of stickers to render"
        )
    return Stickers(
        None if args.shards is None else str(args.shards),
        args.split,
        size,
        num_frames,
        stills="only" if args.stills_only else not args.animated_only,
        limit=args.limit,
        procedural=args.procedural,
        training=True,
    ).setup()


def name_damage(stickers: StickerDataset, console: Console) -> None:
    """Print the corrupt stickers."""
    if stickers.num_damaged:
        console.print(stickers.damage_line(), style="yellow", highlight=False, markup=False)


def add_frame_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shards", type=Path, metavar="SHARDS", nargs="+", help="shard folders")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="cache folder; an interrupted run resumes"
    )
    parser.add_argument(
        "--frames", type=int, default=1, help="frames per sticker, evenly spaced (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="maximum number of stickers, evenly spaced (default: all)")
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--animated-only", action="store_true", help="skip single-frame stickers")
    frames.add_argument("--stills-only", action="store_true", help="only single-frame stickers")


def cache_frames(args: argparse.Namespace, console: Console) -> None:
    """Write or complete the cache; corrupt stickers are skipped and named.

    Raises:
        UserError: a number out of range, no stickers, or a different cache in the folder.
    """
    from glassine.data.clips import spread_rows
    from glassine.data.frame_cache import write_frames
    from glassine.data.shards import StickerShards

    if min(args.frames, args.size, args.limit or 1) < 1:
        raise UserError(
            f"--frames, --size and --limit must be at least 1, got {args.frames}, {args.size}, {args.limit}"
        )
    shards = StickerShards(args.shards)
    rows = spread_rows(shards.select(stills="only" if args.stills_only else not args.animated_only), args.limit)
    if not len(rows):
        raise UserError(f"{', '.join(map(str, args.shards))} has no matching sticker; see `glassine data info`")
    with progress_bar(console, f"writing {args.to}", len(rows)) as progress:
        size = (args.size, args.size)
        made, damaged = write_frames(shards, rows, args.frames, size, args.to, progress=progress)
    for name, reason in damaged.items():
        console.print(f"skipped {name}: {reason}", style="yellow", highlight=False, markup=False)
    megabytes = sum(path.stat().st_size for path in args.to.glob("frames-*")) / 1e6
    shown = f"{args.to}: {len(rows)} stickers, {args.frames} frames each, {megabytes:.0f} MB, {made} new files"
    console.print(shown, highlight=False, markup=False)


def add_feature_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_common_arguments(parser, views=2)
    parser.add_argument("--teacher", default=TINY_SAM, help="weights of one of our SAMs (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="Meta's sam_vit_*.pth instead, named by --model")
    parser.add_argument("--model", choices=("vit_b", "vit_l", "vit_h"), help="which SAM --checkpoint holds")
    parser.add_argument("--size", type=int, default=256, help="height and width of the student's input in pixels")
    parser.add_argument(
        "--grid", type=int, help="reduce features to this many rows and columns (default: the teacher's)"
    )


def cache_features(args: argparse.Namespace, console: Console) -> None:
    """Write or complete the cache."""
    from glassine.data.feature_cache import write_features

    if min(args.views, args.size, args.grid or 1, args.procedural + 1) < 1:
        raise UserError(
            "--views, --size and --grid must be at least 1 and --procedural at least 0, got "
            f"{args.views}, {args.size}, {args.grid} and {args.procedural}"
        )
    pictures = chosen_stickers(args, num_frames=1, size=(args.size, args.size))
    teacher, identity = load_teacher(args)
    samples = [(view, row) for view in range(args.views) for row in range(len(pictures))]
    settings = {
        "stickers": pictures.fingerprint(),
        "split": args.split,
        "size": str(args.size),
        "views": str(args.views),
        "procedural": str(args.procedural),
    }
    with progress_bar(console, f"writing {args.to}", len(samples)) as progress:
        made = write_features(pictures, samples, teacher, identity, settings, args.to, args.grid, progress=progress)
    name_damage(pictures, console)
    console.print(f"{args.to}: {len(samples)} pictures, {made} new files", highlight=False)


def load_teacher(args: argparse.Namespace) -> tuple[Callable[[Tensor], Tensor], dict[str, str]]:
    """The function that computes the features, and its identity."""
    from glassine.bench.loading import load_network
    from glassine.models.sam import SamTeacher
    from glassine.pretrained.sam import segment_anything_model

    if (args.checkpoint is None) != (args.model is None):
        raise UserError("--checkpoint and --model go together: give both, or --teacher")
    if args.checkpoint is not None:
        sam: torch.nn.Module = segment_anything_model(args.model, str(args.checkpoint))
    else:
        sam = load_network(args.teacher, "sam").network
    try:
        teacher = SamTeacher(sam)
    except TypeError as error:
        raise UserError(f"{args.teacher}: {error}") from error
    device = pick_device(args.device)
    teacher = teacher.to(device)
    return (lambda pictures: teacher(pictures.to(device))), teacher.identity


def add_latent_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_common_arguments(parser, views=RANDOM_VIEWS)
    parser.set_defaults(views=None)  # 1 for whole stickers
    parser.add_argument("--frames", type=int, default=8, help="frames per view (default: %(default)s)")
    parser.add_argument(
        "--from-frames",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="caches of `glassine data cache-frames` instead of SHARDS; with --frames 1, --views is the number "
        "of frames per sticker, otherwise whole clips are used; --split may be all",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="sample frames over the whole sticker (short ones back and forth), not a random part of it",
    )
    parser.add_argument(
        "--size", type=int, nargs="+", default=[128], metavar="PIXELS", help="height and width (default: 128)"
    )
    parser.add_argument("--background", default="white", help="color name or '#rrggbb' (default: %(default)s)")
    parser.add_argument(
        "--transparent", action="store_true", help="latents with alpha, from --codec; no --background, no --vae"
    )
    parser.add_argument(
        "--codec", default=TINY_CODEC, metavar="SOURCE", help="one of our runs or bundles (default: %(default)s)"
    )
    parser.add_argument("--flip", action="store_true", help="also add each view mirrored, including text and arrows")
    parser.add_argument(
        "--vae", default=TINY_VAE, metavar="SOURCE", help="hub id, path or bundle (default: %(default)s)"
    )
    parser.add_argument("--vae-subfolder", metavar="NAME", help="'vae' for a Stable Diffusion checkpoint")
    parser.add_argument(
        "--text-encoder", default=TINY_TEXT, metavar="SOURCE", help="hub id, path or bundle (default: %(default)s)"
    )
    parser.add_argument("--text-subfolder", metavar="NAME", help="'text_encoder' for a Stable Diffusion checkpoint")
    parser.add_argument("--tokenizer-subfolder", metavar="NAME", help="tokenizer there")
    parser.add_argument("--layer", type=int, help="number of text encoder layers to use (default: all)")
    parser.add_argument("--length", type=int, help="tokens per text (default: the text encoder's, at most 77)")


def cache_latents(args: argparse.Namespace, console: Console) -> None:
    """Write or complete the cache; captions that are too long are truncated, counted and named."""
    from glassine.data.frame_cache import CachedFrames
    from glassine.data.latent_cache import WHOLE, write_latents
    from glassine.data.views import FrameViews, StickerViews
    from glassine.nn.conditioning import motion_amount
    from glassine.pipelines.backgrounds import parse_background
    from glassine.pretrained.priors import latent_identity
    from glassine.pretrained.text_encoder import TextEncoder

    size = (args.size[0], args.size[-1])
    args.views = (1 if args.whole else RANDOM_VIEWS) if args.views is None else args.views
    if len(args.size) > 2 or min(args.views, args.frames, args.procedural + 1, *size) < 1 or any(s % 8 for s in size):
        raise UserError(
            "--views and --frames must be at least 1, --procedural at least 0 and --size one or two multiples of 8, "
            f"got {args.views}, {args.frames}, {args.procedural} and {' '.join(map(str, args.size))}"
        )
    if args.whole and args.views > 1:
        raise UserError(f"--views must be 1 for whole stickers, which are the same in every view, got {args.views}")
    background = parse_background(args.background)
    if background is None:
        raise UserError("--background must be one color, such as white or '#rrggbb', got auto")
    if args.transparent and (args.vae, args.vae_subfolder, args.background) != (TINY_VAE, None, "white"):
        raise UserError("--transparent cannot be combined with --vae or --background, which come from --codec")
    device = pick_device(args.device)
    transparency: torch.nn.Module | None = None
    if args.transparent:
        codec, encode = load_codec(args.codec, device)
        vae, transparency = codec.vae, codec.encoder
    else:
        vae, encode = load_vae(args.vae, args.vae_subfolder, device)
    places = (args.text_subfolder, args.tokenizer_subfolder, args.layer, args.length)
    encoder = TextEncoder(args.text_encoder, *places, too_long="cut").to(device)
    cut = set[str]()

    @torch.no_grad()
    def embed(texts: list[str]) -> Tensor:
        cut.update(text for text in texts if encoder.count(text) > encoder.room)
        return encoder(texts)

    behind = None if args.transparent else background
    views: FrameViews | StickerViews
    if args.from_frames:
        frames = CachedFrames(args.from_frames, args.split, args.frames, by_subject=False, limit=args.limit)
        if frames.size != size:
            raise UserError(f"--size must match the cached frames, {frames.size[0]} {frames.size[1]}, got {size}")
        args.whole = args.frames > 1
        args.views = 1 if args.whole else args.views
        views = FrameViews(frames, args.views, behind, motion_amount)
        fingerprint = views.fingerprint()
    else:
        stickers = chosen_stickers(args, args.frames, size)
        views, fingerprint = StickerViews(stickers, behind, motion_amount, args.whole), stickers.fingerprint()
    settings = {
        "stickers": fingerprint,
        "split": args.split,
        "size": f"{size[0]} x {size[1]}",
        "num_frames": str(args.frames),
        "background": "none" if args.transparent else "#{:02x}{:02x}{:02x}".format(*background),
    }
    if args.whole:
        settings |= WHOLE
    identity = latent_identity(vae, encoder, transparency)
    with progress_bar(console, f"writing {args.to}", len(views)) as progress:
        networks = (encode, embed, identity)
        made = write_latents(views, len(views), args.views, *networks, settings, args.to, args.flip, progress=progress)
    if isinstance(views, StickerViews):
        name_damage(views.stickers, console)
    if cut:
        some = ", ".join(sorted(cut)[:3]).replace("\t", " ")
        told = f"{len(cut)} captions of more than {encoder.room} tokens were truncated, for instance: {some}"
        console.print(told, style="yellow", highlight=False, markup=False)
    size_mb = sum(path.stat().st_size for path in args.to.glob("latents-*")) / 1e6
    shown = f"{args.to}: {len(views)} stickers in {args.views * (1 + args.flip)} views, {size_mb:.1f} MB"
    console.print(f"{shown}, {made} new files", highlight=False)


def load_vae(source: str, subfolder: str | None, device: torch.device) -> tuple[torch.nn.Module, Encode]:
    """A VAE, and a function that encodes a clip `f 3 h w` in [0, 1] to latents `f c h/8 w/8` with it.

    Raises:
        UserError: there is no VAE at `source`.
    """
    from glassine.bench.loading import load_network
    from glassine.pretrained.image_unet import stable_diffusion_vae

    ours = source.startswith(SHIPPED) or (Path(source) / "config.yaml").is_file()
    vae: Any = load_network(source, "vae").network if ours else stable_diffusion_vae(source, subfolder)
    if not hasattr(vae, "encode"):
        raise UserError(f"{source} is a {type(vae).__name__}; latents need a VAE, such as {TINY_VAE}")
    vae = vae.requires_grad_(False).eval().to(device)

    @torch.no_grad()
    def encode(clip: Tensor) -> Tensor:
        parts = (2 * clip.to(device) - 1).split(FRAMES_A_PASS)
        return torch.cat([vae.encode(part).latent_dist.mean for part in parts])

    return vae, encode


def load_codec(source: str, device: torch.device) -> tuple[Any, Encode]:
    """A `TransparencyVAE`, and a function that encodes an RGBA clip `f 4 h w` to latents `f c h/8 w/8` with it.

    Raises:
        UserError: there is no TransparencyVAE at `source`.
    """
    from glassine.bench.loading import load_network
    from glassine.models.transparency import TransparencyVAE

    codec = load_network(source, "codec").network
    if not isinstance(codec, TransparencyVAE):
        raise UserError(
            f"{source} is a {type(codec).__name__}; transparent latents need a TransparencyVAE, such as {TINY_CODEC}"
        )
    codec = codec.requires_grad_(False).eval().to(device)

    @torch.no_grad()
    def encode(clip: Tensor) -> Tensor:
        parts = clip.to(device).split(FRAMES_A_PASS)
        return torch.cat([codec.encode(part[:, :3], part[:, 3:]) for part in parts])

    return codec, encode
