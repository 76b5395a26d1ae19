"""Sets of SVG drawings that Iconify packs for npm, one JSON file a set: emoji of other hands, and icons.

Icons are flat drawings with thin outlines, holes, text and white marks on colored tiles. They are there for what must
know many styles, such as the cut-out; only sets under Apache-2.0, MIT or CC0 are listed.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache as cached
from functools import partial
from pathlib import Path
from typing import Any

from glassine.data.codecs import decode_bytes
from glassine.data.sources import SourceItem
from glassine.data.sources.emoji import letters_of
from glassine.data.sources.emoji_art import EmojiArt, EmojiCatalog, fetch_art
from glassine.data.sources.npm import package_folder
from glassine.data.sticker import Sticker, split_of
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain

_FILE = "icons.json"
_BOX = ("left", "top", "width", "height")
_XLINK = "http://www.w3.org/1999/xlink"
_COMMON = {"file", "folder", "type", "default", "light", "dark"}  # words of a name that say nothing of the drawing


@dataclass(frozen=True)
class IconSet:
    """One package.

    Attributes:
        art: its style; `art.source` is the set's name.
        version: of the package `@iconify-json/NAME`.
        emoji: whether names are those of emoji, which decide the group; those that no emoji has are left out.
    """

    art: EmojiArt
    version: str
    emoji: bool = False

    @property
    def package(self) -> str:
        """The npm package."""
        return f"@iconify-json/{self.art.source}"


ICON_SETS = (
    IconSet(EmojiArt("noto-v1", "Noto blob", "Apache-2.0", "Noto Emoji of 2017 by Google"), "1.2.5", emoji=True),
    IconSet(EmojiArt("fxemoji", "FxEmoji", "Apache-2.0", "FxEmojis by Mozilla"), "1.2.2", emoji=True),
    IconSet(EmojiArt("flat-color-icons", "icon", "MIT", "Flat Color Icons by Icons8"), "1.2.3"),
    IconSet(EmojiArt("fluent-color", "icon", "MIT", "Fluent UI System Color Icons by Microsoft"), "1.2.21"),
    IconSet(EmojiArt("meteocons", "icon", "MIT", "Meteocons by Bas Milius"), "1.2.4"),
    IconSet(EmojiArt("skill-icons", "icon", "MIT", "Skill Icons by tandpfun"), "1.2.4"),
    IconSet(EmojiArt("vscode-icons", "icon", "MIT", "VSCode Icons by Roberto Huertas"), "1.2.97"),
    IconSet(EmojiArt("material-icon-theme", "icon", "MIT", "Material Icon Theme by Material Extensions"), "1.2.70"),
    IconSet(EmojiArt("logos", "icon", "CC0-1.0", "SVG Logos by Gil Barbosa; marks are their owners'"), "1.2.19"),
)


def fetch(
    icons: IconSet,
    cache: Path | str,
    npm: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Fetch a set (up to 5 MB) and the table of emoji names, like the other sources.

    Returns:
        The package's folder.

    Raises:
        UserError: see :func:`~glassine.data.sources.emoji_art.fetch_art`.
    """
    return fetch_art([(icons.package, icons.version)], cache, lambda inside: inside == _FILE, npm, say)[0]


class IconStickers:
    """The fetched drawings of a set as a source.

    Args:
        icons: the set.
        cache: the folder filled by :func:`fetch`.
        size: longer side in pixels for rendering.

    Raises:
        UserError: the package or the table of names has not been fetched, or is damaged.
    """

    def __init__(self, icons: IconSet, cache: Path | str, size: int = 256) -> None:
        self._icons, self._size = icons, size
        self._catalog = EmojiCatalog(Path(cache))
        folder = package_folder(Path(cache), icons.package, icons.version)
        try:
            content = json.loads(read_plain(folder / _FILE))
            sides = content.get("width", 16), content.get("height", 16)
            drawings = {
                name: svg_of(icon, *sides) for name, icon in sorted(content["icons"].items()) if not icon.get("hidden")
            }
        except FileNotFoundError as error:
            raise UserError(
                f"{icons.art.source} is not in {cache}; run `glassine data fetch {icons.art.source}`"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder} is not the package {icons.package} ({error!r}); delete it and fetch again"
            ) from error
        if icons.emoji:
            stems = {name: self._catalog.stem_of(name) or _code_point(name) for name in drawings}
            # several names of one emoji would be stickers of one key
            firsts = {stem: name for name, stem in sorted(stems.items(), reverse=True) if stem}
            drawings = {name: drawings[name] for name in sorted(firsts.values())}
            self._stems = {name: stem for stem, name in firsts.items()}
        self._drawings = drawings

    def __len__(self) -> int:
        return len(self._drawings)

    def items(self) -> Iterator[SourceItem]:
        """The drawings in the order of their names."""
        for name, drawing in self._drawings.items():
            load = partial(draw, drawing, f"{self._icons.art.source} {name}", self._size)
            if self._icons.emoji:
                stem = self._stems[name]
                info = self._catalog.info(stem, self._icons.art, name.replace("-", " "))
                yield SourceItem(f"{self._icons.art.source}-{stem}", None, info, load)
            else:
                yield SourceItem(f"{self._icons.art.source}-{name}", None, self._info(name), load)

    def _info(self, name: str) -> dict[str, Any]:
        art = self._icons.art
        words = name.split("-")
        # variants of an icon, and icons of one brand, are on one side of the split
        first = next((word for word in words if word not in _COMMON), words[0])
        group = f"{art.source}-{first}"
        return {
            "description": " ".join(words),
            "trigger_words": [],
            "domain": "cartoon",
            "ocr": "",
            "group": group,
            "split": split_of(group),
            "source": art.source,
            "style": art.style,
            "license": art.license,
            "attribution": art.attribution,
        }


def svg_of(icon: dict[str, object], width: float, height: float) -> str:
    """An SVG file of an entry of `icons.json`, whose set has these default sides."""
    box = " ".join(str(icon.get(key, default)) for key, default in zip(_BOX, (0, 0, width, height), strict=True))
    return f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="{_XLINK}" viewBox="{box}">{icon["body"]}</svg>'


def draw(drawing: str, name: str, size: int) -> Sticker:
    """The drawing as a sticker of one frame; `name` is for errors."""
    return decode_bytes(drawing.encode(), name, size=size)


@cached
def _unicode_names() -> dict[str, str]:
    """Names of characters from arrows on, letters and digits only, to their hex code points."""
    points = (point for block in (range(0x2000, 0x3300), range(0x1F000, 0x1FB00)) for point in block)
    return {letters_of(name): f"{point:x}" for point in points if (name := unicodedata.name(chr(point), ""))}


def _code_point(name: str) -> str:
    return _unicode_names().get(letters_of(name), "")
