"""Open any supported file for writing, chosen by its suffix."""

from __future__ import annotations

from pathlib import Path

from PIL import features

from glassine.data.codecs.apng_writer import ApngWriter
from glassine.data.codecs.avif_writer import AvifWriter
from glassine.data.codecs.gif_writer import GifWriter
from glassine.data.codecs.png_sequence_writer import PngFolderWriter, PngZipWriter
from glassine.data.codecs.video_writer import MovWriter, WebmWriter
from glassine.data.codecs.webp_writer import WebpWriter
from glassine.data.codecs.writer import StickerWriter
from glassine.errors import UserError

SUFFIXES = (".webp", ".gif", ".png", ".apng", ".avif", ".webm", ".mov", ".zip", "")
WRITABLE = ".webp, .gif, .png or .apng, .avif, .webm, .mov, .zip (of PNGs), or no suffix for a folder of PNGs"


def create_sticker(
    path: Path | str,
    width: int,
    height: int,
    loop: int = 0,
    *,
    quality: int | None = None,
    alpha_threshold: int = 128,
    dither: bool = False,
    whole_canvas: bool = False,
) -> StickerWriter:
    """Make a sticker frame by frame; the suffix tells the format.

    Args:
        path: where to; its folder must exist. `.webp` `.gif` `.png` `.apng` `.avif` `.webm` `.mov` `.zip`, or no
            suffix for a folder of PNGs.
        width: of every frame, in pixels.
        height: of every frame, in pixels.
        loop: how often it plays; 0 is for ever.
        quality: 0 to 100 for WebP, AVIF and WebM; None is lossless WebP, 90 for AVIF and 75 for WebM. The others do not
            use it.
        alpha_threshold: GIF only: pixels with alpha of at least this, 1 to 255, are opaque, all others invisible.
        dither: GIF only: spread the palette's error.
        whole_canvas: WebP and APNG only: store every frame whole, for programs that lay frames over each other wrongly.

    Returns:
        A context manager with `append(frame h w 4 uint8, duration_ms)`.

    Raises:
        UserError: a suffix that cannot hold alpha, a setting out of range, or a folder that cannot be written to.
    """
    path = Path(path)
    check_suffix(path)
    if quality is not None and not 0 <= quality <= 100:
        raise UserError(f"a quality of {quality} came; give 0 (small) to 100 (best)")
    if not 1 <= alpha_threshold <= 255:
        raise UserError(f"an alpha threshold of {alpha_threshold} came; give 1 to 255")
    match path.suffix.lower():
        case ".webp":
            return WebpWriter(path, width, height, loop, quality, whole_canvas)
        case ".gif":
            return GifWriter(path, width, height, loop, alpha_threshold, dither)
        case ".png" | ".apng":
            return ApngWriter(path, width, height, loop, whole_canvas)
        case ".avif":
            return AvifWriter(path, width, height, loop, quality)
        case ".webm":
            return WebmWriter(path, width, height, loop, quality)
        case ".mov":
            return MovWriter(path, width, height, loop)
        case ".zip":
            return PngZipWriter(path, width, height, loop)
        case _:
            return PngFolderWriter(path, width, height, loop)


def check_suffix(path: Path) -> None:
    """Raise UserError where no sticker can be written to `path`, before anything is computed for it."""
    suffix = path.suffix.lower()
    if path.name == "-":
        raise UserError("cannot write -: standard output is not written to here; name a file")
    if path.name.lower() in SUFFIXES[:-1]:
        raise UserError(
            f"cannot write {path}: it is a suffix without a name; choose a name, for instance out{path.name}"
        )
    if suffix in (".mp4", ".mkv", ".jpg", ".jpeg", ".bmp", ".heic", ".heif"):
        why = "is not written" if suffix.startswith(".he") else "is written without transparency"
        raise UserError(f"cannot write {path}: {suffix} {why}; choose {WRITABLE}")
    if suffix not in SUFFIXES:
        raise UserError(f"cannot write {path}: {suffix} is no format that can be written; choose {WRITABLE}")
    if suffix == ".avif" and not features.check("avif"):
        raise UserError(f"cannot write {path}: this Pillow was built without AVIF; pip install --upgrade pillow")
