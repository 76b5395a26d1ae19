"""Google's Noto emoji (Apache-2.0) as still SVG drawings, out of one JSON file of an npm package."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from glassine.data.codecs import decode_bytes
from glassine.data.sources import SourceItem
from glassine.data.sources.emoji_art import EmojiArt, EmojiCatalog, fetch_names, make_cache
from glassine.data.sources.npm import fetch_package, package_folder
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain

ART = EmojiArt("noto", "Noto", "Apache-2.0", "Noto Emoji by Google")
_PACKAGE, _VERSION = "@iconify-json/noto", "1.2.9"
_FILES = ("icons.json", "chars.json")


def fetch(cache: Path | str, npm: Sequence[str] | None = None, say: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch the package (3 MB) and the table of names, as the other sources do.

    Returns:
        The package's folder.

    Raises:
        UserError: see :func:`glassine.data.sources.npm.fetch_package`.
    """
    folder = make_cache(cache)
    fetch_names(folder, npm, say)
    say(f"stickers: {_PACKAGE} {_VERSION}")
    return fetch_package(_PACKAGE, _VERSION, folder, lambda inside: inside in _FILES, npm)


class NotoStickers:
    """The fetched drawings as a source.

    Args:
        cache: the folder that :func:`fetch` filled.
        size: longer side in pixels at which they are drawn.

    Raises:
        UserError: the package or the table of names has not been fetched, or is damaged.
    """

    def __init__(self, cache: Path | str, size: int = 256) -> None:
        self._size = size
        self._catalog = EmojiCatalog(Path(cache))
        folder = package_folder(Path(cache), _PACKAGE, _VERSION)
        try:
            icons, names = (json.loads(read_plain(folder / file)) for file in _FILES)
            aliases = icons.get("aliases", {})
            found = {stem: aliases.get(name, {}).get("parent", name) for stem, name in sorted(names.items())}
            bodies = {stem: icons["icons"][name] for stem, name in found.items() if name in icons["icons"]}
            sides = icons.get("width", 16), icons.get("height", 16)
            self._drawings = {stem: _svg(icon, *sides) for stem, icon in bodies.items()}
            self._names = {stem: name.replace("-", " ") for stem, name in found.items()}
        except FileNotFoundError as error:
            raise UserError(f"noto is not in {cache}; run `glassine data fetch noto`") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{folder} is not the package {_PACKAGE} ({error!r}); delete it and fetch again") from error

    def __len__(self) -> int:
        return len(self._drawings)

    def items(self) -> Iterator[SourceItem]:
        """The emoji in the order of their code points."""
        for stem, drawing in self._drawings.items():
            load = partial(_draw, drawing, stem, self._size)
            info = self._catalog.info(stem, ART, self._names[stem])
            yield SourceItem(f"{ART.source}-{stem}", None, info, load)


def _svg(icon: dict[str, object], width: float, height: float) -> str:
    box = " ".join(str(icon.get(key, default)) for key, default in zip(_BOX, (0, 0, width, height), strict=True))
    return f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="{_XLINK}" viewBox="{box}">{icon["body"]}</svg>'


_BOX = ("left", "top", "width", "height")
_XLINK = "http://www.w3.org/1999/xlink"


def _draw(drawing: str, stem: str, size: int) -> Sticker:
    return decode_bytes(drawing.encode(), f"noto {stem}", size=size)
