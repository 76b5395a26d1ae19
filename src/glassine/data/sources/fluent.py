"""Microsoft's Fluent emoji (MIT license): animated WebP (256 px, mostly 72 frames of 42 ms), 3D stills, flat SVG."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glassine.data.codecs import read_sticker
from glassine.data.sources import SourceItem
from glassine.data.sources.emoji_art import EmojiArt, EmojiCatalog, fetch_art
from glassine.data.sources.npm import package_folder
from glassine.utils.errors import UserError

PACKS = (1, 2, 3, 4)
_PACKAGE, _PACKAGE_VERSION = "@lobehub/fluent-emoji-anim-{}", "1.0.0"
ART = EmojiArt("fluent", "", "MIT", "Fluent Emoji by Microsoft")


def is_animated_webp(head: bytes) -> bool:
    """Whether a file starting with ``head`` (21 bytes are enough) is an animated WebP: VP8X chunk, flag 0x02."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def fetch(
    cache: Path | str,
    packs: Sequence[int] = PACKS,
    npm: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Fetch emoji packs and the table of names; existing files are not fetched again.

    Args:
        cache: folder for the unpacked packages (about 180 MB per pack), see :func:`fetch_art`.
        packs: which of the four packs, 1 to 4. Pack 1 alone has 841 files.
        npm: see :func:`fetch_art`.
        say: see :func:`fetch_art`.

    Returns:
        The folders of the packs, in the order given.

    Raises:
        UserError: a pack that does not exist, or errors of :func:`fetch_art`.
    """
    wrong = sorted(set(packs) - set(PACKS))
    if wrong or not packs:
        raise UserError(f"packs must be some of 1, 2, 3 and 4, got {wrong or 'none'}")
    packages = [(_PACKAGE.format(pack), _PACKAGE_VERSION) for pack in packs]
    return fetch_art(packages, cache, partial(_is_asset, suffix=".webp"), npm, say)


def _is_asset(inside: str, suffix: str) -> bool:
    return inside.startswith("assets/") and inside.endswith(suffix) and inside.count("/") == 1


class FluentStickers:
    """The fetched Fluent emoji as a source, named and tagged in English and Chinese.

    Groups are those of :func:`glassine.data.sources.emoji.emoji_group`.

    Args:
        cache: the folder filled by :func:`fetch`.
        packs: which packs to read.
        animated_only: skip the still emoji (1,282 of 3,391).

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
        """The emoji in code point order; ``source`` is ``"fluent"``, the domain ``"cartoon"``."""
        for path in self._paths:
            yield SourceItem(key=path.stem, path=path, info=self._catalog.info(path.stem, ART))


def _head_is_animated(path: Path) -> bool:
    with path.open("rb") as file:
        return is_animated_webp(file.read(32))


@dataclass(frozen=True)
class StillsPackage:
    """An npm package of still emoji.

    Attributes:
        name: the package.
        version: exact.
        suffix: file suffix. Ten of the flat ones also exist without the dot, in an older drawing.
        art: its style and license.
    """

    name: str
    version: str
    suffix: str
    art: EmojiArt


FLUENT_3D = StillsPackage(
    "@lobehub/fluent-emoji-3d", "1.1.0", ".webp", EmojiArt("fluent-3d", "3D", "MIT", "Fluent Emoji by Microsoft")
)
FLUENT_FLAT = StillsPackage(
    "@lobehub/fluent-emoji-modern", "1.0.0", ".svg", EmojiArt("fluent-flat", "flat", "MIT", "Fluent Emoji by Microsoft")
)


def fetch_stills(
    package: StillsPackage,
    cache: Path | str,
    npm: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Fetch a package of stills and the table of names.

    Args:
        package: :data:`FLUENT_3D` or :data:`FLUENT_FLAT`, about 20 MB each.
        cache: see :func:`fetch_art`.
        npm: see :func:`fetch_art`.
        say: see :func:`fetch_art`.

    Returns:
        The package's folder.

    Raises:
        UserError: see :func:`fetch_art`.
    """
    wanted = partial(_is_asset, suffix=package.suffix)
    return fetch_art([(package.name, package.version)], cache, wanted, npm, say)[0]


class FluentStills:
    """A fetched package as a source.

    Args:
        package: package to read.
        cache: the folder filled by :func:`fetch_stills`.
        size: longer side in pixels for rendering SVG; raster images keep their size.

    Raises:
        UserError: the package or the table of names has not been fetched.
    """

    def __init__(self, package: StillsPackage, cache: Path | str, size: int = 256) -> None:
        self._package, self._size = package, size
        self._catalog = EmojiCatalog(Path(cache))
        folder = package_folder(Path(cache), package.name, package.version)
        if not folder.is_dir():
            source = package.art.source
            raise UserError(f"{source} is not in {cache}; run `glassine data fetch {source}`")
        self._paths = sorted(path for path in folder.iterdir() if path.suffix == package.suffix)

    def __len__(self) -> int:
        return len(self._paths)

    def items(self) -> Iterator[SourceItem]:
        """The emoji in code point order."""
        for path in self._paths:
            stem = path.stem
            info = self._catalog.info(stem, self._package.art)
            load = partial(read_sticker, path, size=self._size)
            yield SourceItem(f"{self._package.art.source}-{stem}", path, info, load)
