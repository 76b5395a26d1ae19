"""Google's Noto emoji: still SVG drawings (Apache-2.0), and Lottie animations of 1024 px and 60 fps (CC BY 4.0).

The stills come from one JSON file of an npm package, the animations from Google's font server.
"""

import http.client
import json
import lzma
import re
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path

from glassine.data.codecs import read_sticker
from glassine.data.sources import SourceItem
from glassine.data.sources.emoji_art import EmojiArt, EmojiCatalog, fetch_art, make_cache
from glassine.data.sources.iconify import draw, svg_of
from glassine.data.sources.npm import package_folder
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, open_plain, read_plain

ART = EmojiArt("noto", "Noto", "Apache-2.0", "Noto Emoji by Google")
_PACKAGE, _VERSION = "@iconify-json/noto", "1.2.9"
_FILES = ("icons.json", "chars.json")
ANIMATED_ART = EmojiArt(
    "noto-animated",
    "Noto",
    "CC BY 4.0",
    "Noto Animated Emoji by Google, https://googlefonts.github.io/noto-emoji-animation, CC BY 4.0",
)
ADDRESS = "https://fonts.gstatic.com/s/e/notoemoji/latest/{}/lottie.json"
THREADS = 4
"""Concurrent downloads; few enough not to burden a free server."""

_FOLDER = "noto-animated"
_STEM = re.compile(r"[0-9a-f]{2,6}(?:_[0-9a-f]{2,6})*")
_MAX_BYTES = 8 * 2**20  # the largest file has 0.7 MB
_TRIES = 4
_GIVE_UP = 8  # consecutive failures without any success after which the server counts as unreachable


def fetch(cache: Path | str, npm: Sequence[str] | None = None, say: Callable[[str], None] | None = None) -> Path:
    """Fetch the package (3 MB) and the table of names, like the other sources.

    Returns:
        The package's folder.

    Raises:
        UserError: see :func:`~glassine.data.sources.emoji_art.fetch_art`.
    """
    return fetch_art([(_PACKAGE, _VERSION)], cache, lambda inside: inside in _FILES, npm, say)[0]


class NotoStickers:
    """The fetched drawings as a source.

    Args:
        cache: the folder filled by :func:`fetch`.
        size: longer side in pixels for rendering.

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
            self._drawings = {stem: svg_of(icon, *sides) for stem, icon in bodies.items()}
            self._names = {stem: name.replace("-", " ") for stem, name in found.items()}
        except FileNotFoundError as error:
            raise UserError(f"noto is not in {cache}; run `glassine data fetch noto`") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{folder} is not the package {_PACKAGE} ({error!r}); delete it and fetch again") from error

    def __len__(self) -> int:
        return len(self._drawings)

    def items(self) -> Iterator[SourceItem]:
        """The emoji in code point order."""
        for stem, drawing in self._drawings.items():
            load = partial(draw, drawing, stem, self._size)
            info = self._catalog.info(stem, ART, self._names[stem])
            yield SourceItem(f"{ART.source}-{stem}", None, info, load)


def codes() -> list[str]:
    """The code points available on the server, joined by ``_``: 449 of them."""
    return (files("glassine.data.sources") / "noto_animated.txt").read_text(encoding="utf-8").split()


def fetch_animated(
    cache: Path | str,
    given: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    address: str = ADDRESS,
    wait: float = 0.5,
) -> Path:
    """Fetch the animations to ``cache / "noto-animated"``, one JSON file each; existing ones are not fetched again.

    Args:
        cache: folder for downloads, created if missing.
        given: a folder, tar or zip file with ``<code>/lottie.json`` or ``<code>.json``; None for the server.
        say: called with a line before the start, and with one for files that the server does not have.
        address: URL of a file, with ``{}`` for its code.
        wait: seconds before the second try of a file; doubled for each further one.

    Returns:
        The folder.

    Raises:
        UserError: the server cannot be reached, some files could not be fetched (those that were are kept: run it again
            to resume), or `given` has no animations.
    """
    folder = make_cache(make_cache(cache) / _FOLDER)
    if given is not None:
        say(f"stickers: {given}")
        _take(given, folder)
        return folder
    missing = [code for code in codes() if not (folder / f"{code}.json").is_file()]
    say(f"stickers: {len(missing)} animations from {address.split('/')[2]}")
    _Download(folder, address, wait).run(missing, say)
    return folder


def fetched(cache: Path | str) -> list[Path]:
    """The animations in the cache, in code point order."""
    return sorted((Path(cache) / _FOLDER).glob("[!.]*.json"))


class _Download:
    """Downloads files in a few threads; each is renamed when complete."""

    def __init__(self, folder: Path, address: str, wait: float) -> None:
        self.folder, self.address, self.wait = folder, address, wait
        self.fetched, self.absent = 0, list[str]()
        self.failed = dict[str, str]()

    def run(self, missing: list[str], say: Callable[[str], None]) -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(self._one, missing))
        if self.absent:
            say(f"{len(self.absent)} are no longer on the server: {', '.join(self.absent[:5])}")
        if self.failed:
            code, reason = next(iter(self.failed.items()))
            raise UserError(
                f"noto-animated: {len(self.failed)} of {len(missing)} files could not be fetched ({code}: {reason}); "
                "what was fetched is kept: check the network and run it again, or give them with --from"
            )

    def _one(self, code: str) -> None:
        if len(self.failed) >= _GIVE_UP and not self.fetched:
            self.failed[code] = "the server cannot be reached"
            return
        for attempt in range(_TRIES):
            try:
                data = self._get(code)
                _check(data, code)
                with atomic_path(self.folder / f"{code}.json") as temporary:
                    temporary.write_bytes(data)
                self.fetched += 1
                return
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    self.absent.append(code)
                    return
                reason, pause = f"HTTP {error.code}", _retry_after(error)
            except (OSError, http.client.HTTPException, UserError) as error:  # URLError and timeouts are OSErrors
                reason, pause = str(getattr(error, "reason", error)), 0.0
                if isinstance(error, urllib.error.URLError) and not self.fetched:
                    break  # no network: retrying would only take time
            time.sleep(max(pause, self.wait * 2**attempt) if attempt + 1 < _TRIES else 0)
        self.failed[code] = reason

    def _get(self, code: str) -> bytes:
        request = urllib.request.Request(self.address.format(code), headers={"User-Agent": "glassine (sticker data)"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read(_MAX_BYTES + 1)


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Retry delay in seconds requested by the server, at most a minute."""
    stated = error.headers.get("Retry-After", "") if error.headers else ""
    return min(60.0, float(stated)) if stated.isdigit() else 0.0


def _check(data: bytes, code: str) -> None:
    try:
        whole = len(data) <= _MAX_BYTES and "layers" in json.loads(data)
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise UserError(f"{code}: must be a complete Lottie file, got something else")


def _take(given: Path, folder: Path) -> None:
    """Copy the animations from a folder or archive; other files are ignored."""
    found = 0
    try:
        for inside, read in _members(given):
            parts = inside.replace("\\", "/").split("/")
            code = parts[-2] if parts[-1] == "lottie.json" and len(parts) > 1 else parts[-1].removesuffix(".json")
            if not parts[-1].endswith(".json") or not _STEM.fullmatch(code):
                continue
            data = read()
            _check(data, f"{given}: {inside}")
            with atomic_path(folder / f"{code}.json") as temporary:
                temporary.write_bytes(data)
            found += 1
    except FileNotFoundError as error:
        raise UserError(f"there is no file or folder {given}; give the one with the animations") from error
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise UserError(
            f"{given} is damaged, or not a folder, tar or zip of animations ({error}); download it again"
        ) from error
    if not found:
        raise UserError(
            f"{given} has no animations; it must contain <code point>/lottie.json or <code point>.json files"
        )


def _members(given: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The inner path of each file, and a function to read it."""
    if given.is_dir():
        for path in sorted(given.rglob("*.json")):
            yield str(path.relative_to(given)), partial(read_plain, path)
        return
    open_plain(given).close()  # a pipe would hang
    if zipfile.is_zipfile(given):
        with zipfile.ZipFile(given) as archive:
            for entry in archive.infolist():
                if entry.file_size <= _MAX_BYTES:
                    yield entry.filename, partial(archive.read, entry)
    else:
        with tarfile.open(given) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isfile() and member.size <= _MAX_BYTES else None
                if stream is not None:
                    yield member.name, stream.read


class NotoAnimated:
    """The fetched animations as a source, as full loops.

    Args:
        cache: the folder filled by :func:`fetch_animated`.
        size: longer side in pixels for rendering.
        fps: maximum frames per second to render; the files have 60.

    Raises:
        UserError: they or the table of names have not been fetched.
    """

    def __init__(self, cache: Path | str, size: int = 256, fps: float | None = 30) -> None:
        self._size, self._fps = size, fps
        self._catalog = EmojiCatalog(Path(cache))
        self._paths = fetched(cache)
        if not self._paths:
            raise UserError(f"noto-animated is not in {cache}; run `glassine data fetch noto-animated`")

    def __len__(self) -> int:
        return len(self._paths)

    def items(self) -> Iterator[SourceItem]:
        """The emoji in code point order."""
        for path in self._paths:
            stem = path.stem.replace("_", "-")
            load = partial(read_sticker, path, size=self._size, fps=self._fps)
            yield SourceItem(f"{ANIMATED_ART.source}-{stem}", path, self._catalog.info(stem, ANIMATED_ART), load)
