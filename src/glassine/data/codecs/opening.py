"""Open any supported file or bytes for reading."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Literal

from glassine.data.codecs.avif import AvifReader
from glassine.data.codecs.gif import GifReader
from glassine.data.codecs.guard import MAX_PIXELS, printable
from glassine.data.codecs.lottie import LottieReader, is_dotlottie, is_gzipped_svg
from glassine.data.codecs.pipes import is_pipe, spooled
from glassine.data.codecs.png import PngReader
from glassine.data.codecs.png_sequence import PngFolderReader, PngZipReader
from glassine.data.codecs.reader import StickerReader
from glassine.data.codecs.sniff import Kind, sniff_file
from glassine.data.codecs.still import StillReader
from glassine.data.codecs.svg import SvgReader
from glassine.data.codecs.unpremultiplied import UnpremultipliedReader
from glassine.data.codecs.video import VideoReader
from glassine.data.codecs.video_layout import check_matroska_whole, check_mp4_whole
from glassine.data.codecs.webp import WebpReader
from glassine.errors import UserError

AlphaMode = Literal["straight", "premultiplied"]
"""How a file stores colours. All formats here store them straight; some editors export MOV premultiplied."""


def open_sticker(
    path: Path | str,
    *,
    max_pixels: int = MAX_PIXELS,
    alpha_mode: AlphaMode = "straight",
    size: int | None = None,
    fps: float | None = None,
) -> StickerReader:
    """Open a sticker, video or picture for reading frame by frame; what it is is told by content, not by name.

    Args:
        path: GIF, WebP, PNG, APNG, AVIF, HEIC, JPEG, BMP, WebM, MKV, MOV, MP4, Lottie (.json,
            .lottie, .tgs), SVG, or a folder or .zip of PNGs; or a pipe with one of these files (`-` for standard
            input, `/dev/stdin`, a FIFO).
        max_pixels: largest frame that is read, width times height.
        alpha_mode: "premultiplied" for a file whose colours were saved multiplied by alpha (dark rims give it away);
            what is read is straight in any case.
        size: longer side in pixels of what is drawn rather than stored (Lottie, SVG); None for the file's own, an SVG
            at least 512. Others keep their size.
        fps: at most so many frames a second of a Lottie are drawn; None for all. Others keep their frames.

    Returns:
        A context manager; iterate it for `(frame h w 4 uint8 straight RGBA, duration_ms)`.

    Raises:
        UserError: missing, unreadable, of no supported kind, damaged, or too large.
    """
    reader = _open_path(Path(path), max_pixels, size, fps)
    return UnpremultipliedReader(reader) if alpha_mode == "premultiplied" else reader


def open_bytes(
    data: bytes, name: str = "data", *, max_pixels: int = MAX_PIXELS, size: int | None = None
) -> StickerReader:
    """Like `open_sticker`, for bytes in memory; `name` is how messages call them."""
    return _open_file(io.BytesIO(data), name, max_pixels, size)


def _open_path(path: Path, max_pixels: int, size: int | None, fps: float | None) -> StickerReader:
    if path.is_dir():
        return PngFolderReader(path, max_pixels)
    try:
        if is_pipe(path):
            return _open_file(*spooled(path), max_pixels, size, fps)
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{printable(str(path))}: there is no such file; check the name") from error
    except OSError as error:
        raise UserError(
            f"{printable(str(path))}: cannot be read ({(error.strerror or 'error').lower()}); check it"
        ) from error
    return _open_file(file, printable(str(path)), max_pixels, size, fps)


def _open_file(
    file: BinaryIO, name: str, max_pixels: int, size: int | None = None, fps: float | None = None
) -> StickerReader:
    try:
        match sniff_file(file, name):
            case Kind.GIF:
                return GifReader(file, name, max_pixels)
            case Kind.WEBP:
                return WebpReader(file, name, max_pixels)
            case Kind.PNG:
                return PngReader(file, name, max_pixels)
            case Kind.JPEG | Kind.BMP:
                return StillReader(file, name, max_pixels)
            case Kind.ZIP if is_dotlottie(file):
                return LottieReader(file, name, max_pixels, size, fps)
            case Kind.AVIF:
                return AvifReader(file, name, max_pixels, "AVIF")
            case Kind.HEIC:
                return AvifReader(file, name, max_pixels, "HEIF")
            case Kind.ZIP:
                return PngZipReader(file, name, max_pixels)
            case Kind.MATROSKA:
                check_matroska_whole(file, name)
                return VideoReader(file, name, max_pixels, "matroska")
            case Kind.MP4:
                check_mp4_whole(file, name)
                return VideoReader(file, name, max_pixels, "mov")
            case Kind.SVG:
                return SvgReader(file, name, max_pixels, size)
            case Kind.GZIP if is_gzipped_svg(file, name):
                return SvgReader(file, name, max_pixels, size)
            case Kind.LOTTIE | Kind.GZIP:
                return LottieReader(file, name, max_pixels, size, fps)
    except BaseException:
        file.close()
        raise
