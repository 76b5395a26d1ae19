"""Open any supported file for reading or, chosen by its suffix, for writing; read and write whole stickers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import features

from glassine.data.codecs.avif import AvifReader, AvifWriter
from glassine.data.codecs.base import StickerReader, StickerWriter, UnpremultipliedReader
from glassine.data.codecs.gif import GifReader
from glassine.data.codecs.gif_writer import GifWriter
from glassine.data.codecs.guard import MAX_PIXELS, MAX_STICKER_PIXELS, damaged, printable
from glassine.data.codecs.lottie import LottieReader, is_dotlottie, is_gzipped_svg
from glassine.data.codecs.pipes import is_pipe, spooled
from glassine.data.codecs.png import ApngWriter, PngReader
from glassine.data.codecs.sequence import PngFolderReader, PngFolderWriter, PngZipReader, PngZipWriter
from glassine.data.codecs.still import Kind, StillReader, sniff_file
from glassine.data.codecs.svg import SvgReader
from glassine.data.codecs.video import VideoReader, check_matroska_whole, check_mp4_whole
from glassine.data.codecs.video_writer import MovWriter, WebmWriter
from glassine.data.codecs.webp import WebpReader, WebpWriter
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

AlphaMode = Literal["straight", "premultiplied"]
"""How a file stores colors. All formats here use straight colors; some editors export premultiplied MOV."""


def open_sticker(
    path: Path | str,
    *,
    max_pixels: int = MAX_PIXELS,
    alpha_mode: AlphaMode = "straight",
    size: int | None = None,
    fps: float | None = None,
) -> StickerReader:
    """Open a sticker, video or image for reading frame by frame; the format is detected from content, not name.

    Args:
        path: GIF, WebP, PNG, APNG, AVIF, HEIC, JPEG, BMP, WebM, MKV, MOV, MP4, Lottie (.json,
            .lottie, .tgs), SVG, or a folder or .zip of PNGs; or a pipe with one of these files (`-` for standard
            input, `/dev/stdin`, a FIFO).
        max_pixels: largest frame to read, width times height.
        alpha_mode: "premultiplied" for files with colors multiplied by alpha (recognizable by dark rims);
            the result is always straight.
        size: longer side in pixels for vector formats (Lottie, SVG); None for the file's own, for SVG
            at least 512. Other formats keep their size.
        fps: maximum frames per second rendered from a Lottie; None for all. Other formats keep their frames.

    Returns:
        A context manager; iterate it for `(frame h w 4 uint8 straight RGBA, duration_ms)`.

    Raises:
        UserError: the file is missing, unreadable, unsupported, damaged, or too large.
    """
    reader = _open_path(Path(path), max_pixels, size, fps)
    return UnpremultipliedReader(reader) if alpha_mode == "premultiplied" else reader


def open_bytes(
    data: bytes, name: str = "data", *, max_pixels: int = MAX_PIXELS, size: int | None = None
) -> StickerReader:
    """Like `open_sticker`, for bytes in memory; `name` is used in messages."""
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


@dataclass(frozen=True)
class Settings:
    """What `create_sticker` is told beside size and loop."""

    quality: int | None = None
    alpha_threshold: int = 128
    dither: bool = False
    whole_canvas: bool = False


_Make = Callable[[Path, int, int, int, Settings], StickerWriter]
WRITERS: dict[str, _Make] = {
    ".webp": lambda path, w, h, loop, how: WebpWriter(path, w, h, loop, how.quality, how.whole_canvas),
    ".gif": lambda path, w, h, loop, how: GifWriter(path, w, h, loop, how.alpha_threshold, how.dither),
    ".png": lambda path, w, h, loop, how: ApngWriter(path, w, h, loop, how.whole_canvas),
    ".apng": lambda path, w, h, loop, how: ApngWriter(path, w, h, loop, how.whole_canvas),
    ".avif": lambda path, w, h, loop, how: AvifWriter(path, w, h, loop, how.quality),
    ".webm": lambda path, w, h, loop, how: WebmWriter(path, w, h, loop, how.quality),
    ".mov": lambda path, w, h, loop, how: MovWriter(path, w, h, loop),
    ".zip": lambda path, w, h, loop, how: PngZipWriter(path, w, h, loop),
    "": lambda path, w, h, loop, how: PngFolderWriter(path, w, h, loop),
}
"""By suffix, all that is written. New ones stand before `.zip`, since messages name that and the folder last."""
SUFFIXES = tuple(WRITERS)
WRITABLE = f"{', '.join(SUFFIXES[:-1])} (of PNGs), or no suffix for a folder of PNGs"


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
    """Write a sticker frame by frame; the suffix sets the format.

    Args:
        path: output path; its folder must exist. `.webp` `.gif` `.png` `.apng` `.avif` `.webm` `.mov` `.zip`, or no
            suffix for a folder of PNGs.
        width: width of every frame, in pixels.
        height: height of every frame, in pixels.
        loop: number of plays; 0 is forever.
        quality: 0 to 100 for WebP, AVIF and WebM; None is lossless WebP, 90 for AVIF and 75 for WebM. Other formats do
            not use it.
        alpha_threshold: GIF only: pixels with at least this alpha, 1 to 255, become opaque, all others transparent.
        dither: GIF only: diffuse the quantization error.
        whole_canvas: WebP and APNG only: store full frames, for programs that composite partial frames incorrectly.

    Returns:
        A context manager with `append(frame h w 4 uint8, duration_ms)`.

    Raises:
        UserError: a format without alpha, a setting out of range, or a folder that cannot be written to.
    """
    path = Path(path)
    check_suffix(path)
    if quality is not None and not 0 <= quality <= 100:
        raise UserError(f"quality must be in [0, 100], got {quality}")
    if not 1 <= alpha_threshold <= 255:
        raise UserError(f"alpha_threshold must be in [1, 255], got {alpha_threshold}")
    how = Settings(quality, alpha_threshold, dither, whole_canvas)
    return WRITERS[path.suffix.lower()](path, width, height, loop, how)


def check_suffix(path: Path) -> None:
    """Raise UserError if no sticker can be written to `path`, before anything is computed for it."""
    suffix = path.suffix.lower()
    if path.name == "-":
        raise UserError("cannot write -: standard output is not supported here; name a file")
    if path.name.lower() in SUFFIXES[:-1]:
        raise UserError(
            f"cannot write {path}: it is a suffix without a name; choose a name, for instance out{path.name}"
        )
    if suffix in (".mp4", ".mkv", ".jpg", ".jpeg", ".bmp", ".heic", ".heif"):
        why = "is not written" if suffix.startswith(".he") else "is written without transparency"
        raise UserError(f"cannot write {path}: {suffix} {why}; choose {WRITABLE}")
    if suffix not in SUFFIXES:
        raise UserError(f"cannot write {path}: {suffix} cannot be written; choose {WRITABLE}")
    if suffix == ".avif" and not features.check("avif"):
        raise UserError(f"cannot write {path}: this Pillow was built without AVIF; pip install --upgrade pillow")


class NoteWarning(UserWarning):
    """Something in a sticker differs from its file."""


def read_sticker(
    path: Path | str,
    *,
    max_pixels: int = MAX_PIXELS,
    alpha_mode: AlphaMode = "straight",
    size: int | None = None,
    fps: float | None = None,
) -> Sticker:
    """Read a full sticker in any supported format (see `open_sticker`).

    Args:
        path: the file, or a folder of PNGs.
        max_pixels: largest frame to read, width times height.
        alpha_mode: how the file stores colors; the result is always straight.
        size: longer side in pixels of a Lottie or SVG, see `open_sticker`.
        fps: maximum frames per second of a Lottie.

    Raises:
        UserError: as for `open_sticker`; also if all frames together exceed `MAX_STICKER_PIXELS`.

    Warns:
        NoteWarning: for each of the reader's `notes`, such as delays lengthened as in browsers.
    """
    with open_sticker(path, max_pixels=max_pixels, alpha_mode=alpha_mode, size=size, fps=fps) as reader:
        for note in reader.notes:
            warnings.warn(f"{printable(str(path))}: {note}", NoteWarning, stacklevel=2)
        return _collect(reader, str(path))


def decode_bytes(data: bytes, suffix: str = "", *, max_pixels: int = MAX_PIXELS, size: int | None = None) -> Sticker:
    """Read a full sticker from bytes, such as a shard member.

    Args:
        data: the file's content.
        suffix: only used in messages; the format is detected from the content.
        max_pixels: largest frame to read.
        size: longer side in pixels of a Lottie or SVG.

    Raises:
        UserError: as for `read_sticker`.
    """
    name = f"{suffix.lstrip('.') or 'media'} data"
    with open_bytes(data, name, max_pixels=max_pixels, size=size) as reader:
        return _collect(reader, name)


def read_frames(
    source: bytes | Path | str, suffix: str, indices: Sequence[int], *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read single frames, in the requested order, repeats allowed.

    GIF, WebP and APNG are decoded from the start to the last requested frame, keeping only the requested ones; PNG zips
    and folders, and opaque video if decord is installed, are read by random access.

    Args:
        source: a path, or the file's content as bytes.
        suffix: only used in messages; the format is detected from the content.
        indices: frame indices from 0.
        max_pixels: largest frame to read.

    Returns:
        `f h w 4` uint8, straight RGBA.

    Raises:
        UserError: as for `read_sticker`.
        IndexError: an index out of range.
    """
    if isinstance(source, bytes):
        reader = open_bytes(source, f"{suffix.lstrip('.') or 'media'} data", max_pixels=max_pixels)
    else:
        reader = open_sticker(source, max_pixels=max_pixels)
    with reader:
        return reader.frames_at(list(indices))


def write_sticker(
    sticker: Sticker,
    path: Path | str,
    *,
    quality: int | None = None,
    alpha_threshold: int = 128,
    dither: bool = False,
    whole_canvas: bool = False,
) -> None:
    """Write a full sticker; the suffix sets the format, and the arguments are those of `create_sticker`.

    Raises:
        UserError: as for `create_sticker`.
    """
    writer = create_sticker(
        path,
        sticker.width,
        sticker.height,
        sticker.loop,
        quality=quality,
        alpha_threshold=alpha_threshold,
        dither=dither,
        whole_canvas=whole_canvas,
    )
    with writer:
        for frame, duration in zip(sticker.frames, sticker.durations, strict=True):
            writer.append(frame, duration)


def _collect(reader: StickerReader, name: str) -> Sticker:
    frames: list[np.ndarray] = []
    durations: list[int] = []
    most = MAX_STICKER_PIXELS // (reader.width * reader.height)
    for frame, duration in reader:
        if len(frames) >= most:
            raise UserError(
                f"{name}: more than {most:,} frames of {reader.width}x{reader.height} do not fit in memory; "
                "shorten it, scale it down, or read it frame by frame with open_sticker"
            )
        frames.append(frame)
        durations.append(duration)
    if not frames:
        raise damaged(name, "it has no frames")
    return Sticker(np.stack(frames), tuple(durations), reader.loop)
