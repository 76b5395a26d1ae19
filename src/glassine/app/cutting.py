"""Cutting out as a job: file in, file out, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glassine.app.film import Film
from glassine.app.jobs import Context
from glassine.app.networks import Networks
from glassine.data.codecs import create_sticker, open_sticker
from glassine.pipelines.corrections import Correction, Stroke, carry
from glassine.pipelines.cutout import Method
from glassine.pipelines.finishing import Opacity
from glassine.pipelines.outline import Surround, surrounded
from glassine.pipelines.unknown_background import Subject
from glassine.utils.colors import named_color
from glassine.utils.errors import UserError

Frame = NDArray[np.uint8]
Format = Literal["webp", "gif", "png", "apng", "avif", "webm", "mov", "zip"]
FILM = "film.webp"
MOST_STROKES = 2000
# what the report says in words of the command line
IN_WORDS = {
    "it is kept as it is (--force cuts it out all the same)": "it is kept as it is unless force is chosen",
    "give --background, --subject X,Y or --prior FILE": "choose the background's color, or mark the sticker (subject)",
    "give --background": "choose the background's color",
}


@dataclass(frozen=True)
class CutoutSettings:
    """How one file is cut out.

    Args:
        background: `auto`, a CSS name or `#rrggbb`.
        strength: how much of half-transparent parts is removed, 0 to 1; 0.5 leaves them as they are found.
        outline: width of a die-cut border in pixels.
        outline_color: of the border, a CSS name or `#rrggbb`.
        shadow: opacity of a drop shadow, 0 to 1.
        format: of the result.
        quality: 0 to 100 for WebP, AVIF and WebM; None is lossless WebP.
        resolution: longer side of what the network sees.
        strokes: corrections by hand.
        over_time: whether the corrections follow the motion.
        method: closed form, network, or whichever is better.
        opacity: whether areas may be half-transparent.
        force: cut out a sticker that is transparent already.
        subject: where the sticker is, for backgrounds that fit no model: `x,y` or `left,top,right,bottom` as shares of
            width and height; empty where that is not known.
    """

    background: str = "auto"
    strength: float = 0.5
    outline: float = 0.0
    outline_color: str = "white"
    shadow: float = 0.0
    format: Format = "webp"
    quality: int | None = None
    resolution: int = 256
    strokes: tuple[Stroke, ...] = ()
    over_time: bool = True
    method: Method = "auto"
    opacity: Opacity = "auto"
    force: bool = False
    subject: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the job's record."""
        return asdict(self)


def read_subject(text: str) -> Subject | None:
    """A point or a box, as shares of width and height.

    Raises:
        UserError: it is something else.
    """
    if not text.strip():
        return None
    try:
        places = [float(part) for part in text.split(",")]
    except ValueError:
        places = []
    inside = all(0 <= place <= 1 for place in places)
    if (
        not inside
        or len(places) not in (2, 4)
        or (len(places) == 4 and (places[0] >= places[2] or places[1] >= places[3]))
    ):
        raise UserError(
            "subject must be 'x,y' or 'left,top,right,bottom' as shares of width and height from 0 to 1, got "
            f"{text[:80]!r}"
        )
    return Subject(*places)


def in_words(warning: str) -> str:
    """A warning of the report without options of the command line."""
    for option, words in IN_WORDS.items():
        warning = warning.replace(option, words)
    return warning


def read_strokes(text: str) -> tuple[Stroke, ...]:
    """Strokes out of JSON: a list of `{"frame", "mode", "radius", "points": [[x, y], ...]}`.

    Raises:
        UserError: it is something else.
    """
    try:
        content = json.loads(text) if text.strip() else []
        if not isinstance(content, list) or len(content) > MOST_STROKES:
            raise UserError(f"strokes must be a list of at most {MOST_STROKES:,}, got something else")
        return tuple(
            Stroke(
                int(one["frame"]),
                one["mode"],
                float(one["radius"]),
                tuple((float(point[0]), float(point[1])) for point in one["points"]),
            )
            for one in content
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise UserError("a stroke must have frame, mode, radius and points, got another form") from error


def check_settings(settings: CutoutSettings) -> Surround:
    """The border and shadow; raises UserError for a color or number that cannot be used."""
    _background(settings.background)
    read_subject(settings.subject)
    if settings.method == "network" and (settings.subject or settings.opacity != "auto" or settings.force):
        raise UserError(
            "subject, opacity and force must be left out for method network, which knows flat backgrounds only: use "
            "method auto"
        )
    border = _background(settings.outline_color)
    if border is None:
        raise UserError("outline color must be a CSS color name or '#rrggbb', got 'auto'")
    return Surround(settings.outline, border, settings.shadow)


def _background(text: str) -> tuple[int, int, int] | None:
    """A color; None for `auto`."""
    name = text.strip().lower()
    if name == "auto":
        return None
    if (color := named_color(name)) is not None:
        return color
    raise UserError(f"a color must be a CSS color name or '#rrggbb', got {text[:80]!r}")


def with_strength(frame: Frame, strength: float) -> Frame:
    """More or less of half-transparent pixels: alpha ** (4 ** (2 * strength - 1)); 0 and 255 stay.

    Args:
        frame: `h w 4` uint8, straight.
        strength: in [0, 1]; 0.5 changes nothing, 1 leaves little but what is opaque, 0 makes faint parts solid.
    """
    if strength == 0.5:
        return frame
    levels = np.arange(256, dtype=np.float64) / 255
    curve = (255 * levels ** (4 ** (2 * strength - 1))).round().astype(np.uint8)
    result = frame.copy()
    result[..., 3] = curve[frame[..., 3]]
    result[result[..., 3] == 0] = 0
    return result


def cut_out(
    context: Context, networks: Networks, source: Path, stem: str, frames: int, settings: CutoutSettings
) -> None:
    """Cut out `source` into the job's folder.

    Args:
        context: of the job.
        networks: where the network comes from.
        source: the file.
        stem: name of the result, without suffix.
        frames: how many frames it has.
        settings: how.

    Raises:
        UserError: a setting or file that cannot be used.
    """
    surround = check_settings(settings)
    corrections = _corrections(context, source, frames, settings)
    context.progress(0, frames, "loading the network")
    pipeline = networks.cutter()
    target, film, number = context.path(f"{stem}.{settings.format}"), Film(), 0
    with open_sticker(source) as reader, open_sticker(source) as again:
        originals = iter(again) if settings.strokes else iter(())
        size = reader.width + 2 * surround.room, reader.height + 2 * surround.room
        with create_sticker(target, *size, reader.loop, quality=settings.quality) as writer:
            stream = pipeline.stream(
                _watched(reader, context, frames),
                _background(settings.background),
                settings.resolution,
                chunk=8,
                method=settings.method,
                opacity=settings.opacity,
                force=settings.force,
                subject=read_subject(settings.subject),
            )
            for frame, duration in stream:
                frame = with_strength(frame, settings.strength)
                if settings.strokes:
                    original = next(originals)[0]
                    correction = corrections[number]
                    frame = frame if correction is None else correction.apply(frame, original)
                result = surrounded(frame, surround)
                writer.append(result, duration)
                film.add(result, duration)
                number += 1
                context.progress(number, frames, "cutting out")
    film.save(context.path(FILM))
    context.job.notes += [*reader.notes, *writer.notes, *map(in_words, pipeline.report.warnings)]
    about: dict[str, Any] = {
        "width": size[0],
        "height": size[1],
        "frames": number,
        "room": surround.room,
        "film": film.about(),
    }
    context.add(target, **about)


def _corrections(context: Context, source: Path, frames: int, settings: CutoutSettings) -> list[Correction | None]:
    if not settings.strokes:
        return []
    context.progress(0, frames, "following the corrections")
    with open_sticker(source) as reader:
        return carry((frame for frame, _ in _watched(reader, context, frames)), settings.strokes, settings.over_time)


def _watched(reader: Any, context: Context, total: int) -> Iterator[tuple[Frame, int]]:
    """The reader's frames; a job that is canceled ends here, too, where no result has come out yet."""

    def watch(pair: tuple[Frame, int]) -> tuple[Frame, int]:
        context.progress(context.job.done, total, context.job.what)
        return pair

    return map(watch, reader)  # a loop would keep a frame alive until the next one arrives
