"""The built-in data: which sources there are, and how each is fetched and read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from glassine.data.sources import StickerSource, fluent, iconify, noto
from glassine.data.sources.emoji_art import fetch_names, make_cache
from glassine.utils.errors import UserError

SIZE = 256
"""Longer side in pixels at which vector drawings are rendered, as in Fluent's own files."""
FPS = 30.0
"""Maximum frames per second: Fluent's 24 are kept, and every second one of Noto's 60."""


@dataclass(frozen=True)
class Fetching:
    """Options for fetching.

    Attributes:
        cache: where downloads are kept.
        say: called with a line of progress.
        given: a file or folder with a source's files, in place of the server.
        packs: which packs of `fluent`.
        animated_only: skip the still emoji of `fluent`.
        partial: if a server fails, continue with the files received so far, and report it.
    """

    cache: Path
    say: Callable[[str], None] = lambda line: None
    given: Path | None = None
    packs: tuple[int, ...] = fluent.PACKS
    animated_only: bool = False
    partial: bool = False


class Opener(Protocol):
    """Fetch what is missing and open it: stickers drawn with `size` pixels and at most `fps` frames a second."""

    def __call__(self, how: Fetching, size: int, fps: float | None) -> StickerSource:
        """Raises UserError if it cannot be reached."""
        ...


@dataclass(frozen=True)
class WorldSource:
    """A source of the world.

    Attributes:
        open: fetches what is missing and opens it.
        about: its line in the help of `glassine data fetch`.
        given: whether `--from` may name its files.
        emoji: whether keys are code points, which decide the group and the split.
        codec: of its shards. Icons are exact: JPEG would blur what is flat and sharp, and takes twice the space.
    """

    open: Opener
    about: str
    given: bool = False
    emoji: bool = True
    codec: str = "jpeg+alpha"


def _fluent(how: Fetching, size: int, fps: float | None) -> StickerSource:
    fluent.fetch(how.cache, how.packs, say=how.say)
    return fluent.FluentStickers(how.cache, how.packs, how.animated_only)


def _stills(package: fluent.StillsPackage, how: Fetching, size: int, fps: float | None) -> StickerSource:
    fluent.fetch_stills(package, how.cache, say=how.say)
    return fluent.FluentStills(package, how.cache, size)


def _noto(how: Fetching, size: int, fps: float | None) -> StickerSource:
    noto.fetch(how.cache, say=how.say)
    return noto.NotoStickers(how.cache, size)


def _noto_animated(how: Fetching, size: int, fps: float | None) -> StickerSource:
    try:
        noto.fetch_animated(how.cache, how.given, say=how.say)
    except UserError as error:
        if not how.partial or not noto.fetched(how.cache):
            raise
        how.say(str(error))
    fetch_names(make_cache(how.cache), None, how.say)
    return noto.NotoAnimated(how.cache, size, fps)


SOURCES: dict[str, WorldSource] = {
    "fluent": WorldSource(_fluent, "Microsoft's Fluent emoji, animated ones and stills, 256 px (npm, MIT)"),
    "fluent-3d": WorldSource(partial(_stills, fluent.FLUENT_3D), "the same as 3D stills, all of them (npm, MIT)"),
    "fluent-flat": WorldSource(partial(_stills, fluent.FLUENT_FLAT), "the same, drawn flat: SVG (npm, MIT)"),
    "noto": WorldSource(_noto, "Google's Noto emoji: SVG (npm, Apache-2.0)"),
    "noto-animated": WorldSource(
        _noto_animated, "449 animated Noto emoji: Lottie (Google's font server or --from, CC BY 4.0)", given=True
    ),
}
"""The world's, by name, as `glassine data fetch` takes them."""


def _icons(icons: iconify.IconSet, how: Fetching, size: int, fps: float | None) -> StickerSource:
    iconify.fetch(icons, how.cache, say=how.say)
    return iconify.IconStickers(icons, how.cache, size)


ICONS: dict[str, WorldSource] = {
    icons.art.source: WorldSource(
        partial(_icons, icons),
        f"{icons.art.attribution}: SVG (npm, {icons.art.license})",
        emoji=icons.emoji,
        codec="webp-lossless",
    )
    for icons in iconify.ICON_SETS
}
"""Other styles, for what must know many: the cut-out. No generator is trained on them."""
COLLECTIONS = {"world": SOURCES, "icons": ICONS}
"""What `glassine data fetch` fetches under one name, one folder a source."""
EMOJI_SOURCES = tuple(name for name, source in (SOURCES | ICONS).items() if source.emoji)
