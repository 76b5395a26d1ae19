"""List what a crawl holds: files of folders, zips and tars (WebDataset, img2dataset), with what lies beside them.

Nothing is unpacked by name and no link is followed out of the folder: a member of an archive is a place in a file.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from glassine.curation.manifest import SUFFIXES, Manifest, known, merged
from glassine.data.codecs.guard import printable
from glassine.data.codecs.sequence import TIMING_NAME
from glassine.data.shards.tar_members import Gap, walk
from glassine.data.sources.folder import MEDIA_SUFFIXES
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

MAX_FILE_BYTES = 2**26
"""Largest media file that is read, 64 MiB; a sticker is a hundredth of that."""
MAX_UNPACKED_BYTES = 2**36
"""What a compressed tar may unpack to, 64 GiB, and at most `_MOST_RATIO` times its size."""
_MOST_RATIO = 200
_MOST_NOTE_BYTES = 2**20
_MOST_MEMBERS = 5_000_000
_TAR = (".tar",)
_PACKED: dict[str, Any] = {".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.bz2": bz2.open, ".tar.xz": lzma.open}
_NOTES = ("json", "txt", "caption")
_PASSED = (".csv", ".jsonl", ".parquet", ".md", ".html", ".log", ".db", ".sqlite", ".ini", ".index.json")
_HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass
class Listing:
    """What was passed over while listing.

    Attributes:
        files: media files listed.
        passed: reason -> number of files and members that are no media.
        damaged: name -> reason, of archives and parts of archives that cannot be read.
    """

    files: int = 0
    passed: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def pass_over(self, reason: str) -> None:
        """Count a file that is no media."""
        self.passed[reason] = self.passed.get(reason, 0) + 1


def find_manifests(crawl: Path) -> list[Path]:
    """Tables at the top of the crawl, and img2dataset's beside its shards (`00000.parquet` next to `00000.tar`)."""
    tables = [path for path in sorted(crawl.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    return [path for path in tables if not path.with_suffix(".tar").exists()]


def list_crawl(
    crawl: Path, manifest: Manifest, listing: Listing, unpack: Path, folder_words: bool = False
) -> Iterator[dict[str, Any]]:
    """The media files of a crawl, sorted: those of a folder by name, then its folders.

    Args:
        crawl: the folder.
        manifest: what tables say.
        listing: is filled in.
        unpack: where compressed tars are unpacked to, as plain tars.
        folder_words: the folder that a file lies in is a crawled word.

    Yields:
        Rows: `at` (what it is called), `file` (inside the crawl, or an absolute path for an unpacked tar) with `member`
        of a zip or `offset` of a tar, `bytes`, `stamp` (changes with the file), and what is known: `words`, `url`,
        `license`, `attribution`, `source`, `description`, `description_zh`, `domain`.

    Raises:
        UserError: no such folder.
    """
    if not crawl.is_dir():
        raise UserError(f"there is no folder {printable(str(crawl))}: give the folder that holds the crawled files")
    for path in _files(crawl, listing):
        inside = path.relative_to(crawl).as_posix()
        try:
            stat = path.stat()
            stamp = f"{stat.st_mtime_ns}:{stat.st_size}"
            found = _of_file(path, inside, stat.st_size, stamp, listing, unpack)
            for row in found:
                about = merged([manifest.of(row["at"]), row.pop("about", {})])
                parent = row["at"].rpartition("/")[0].rpartition("/")[2]
                if folder_words and parent and not about.get("words"):
                    about["words"] = [" ".join(parent.replace("_", " ").split())]
                listing.files += 1
                yield {**row, **about}
        except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError) as error:
            listing.damaged[printable(inside)] = " ".join(str(error).split())[:200] or type(error).__name__


def _files(crawl: Path, listing: Listing) -> Iterator[Path]:
    """Regular files, sorted; links that lead out of the crawl, pipes and hidden files are passed over."""
    root = os.path.realpath(crawl)
    for folder, folders, names in os.walk(crawl, followlinks=False):
        folders.sort()
        for name in list(folders):
            if name.startswith(".") or name in _HIDDEN:
                folders.remove(name)
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or name in _HIDDEN:
                listing.pass_over("hidden")
            elif path.is_symlink() and os.path.commonpath([root, os.path.realpath(path)]) != root:
                listing.pass_over("a link out of the crawl")
            elif not path.is_file():
                listing.pass_over("no regular file")
            else:
                yield path


def _of_file(
    path: Path, inside: str, size: int, stamp: str, listing: Listing, unpack: Path
) -> Iterator[dict[str, Any]]:
    name = path.name.lower()
    packed = next((suffix for suffix in _PACKED if name.endswith(suffix)), None)
    if name.endswith(_TAR):
        yield from _of_tar(path, inside, inside, stamp, listing)
    elif packed is not None:
        plain = _unpacked(path, packed, size, stamp, unpack)
        yield from _of_tar(plain, str(plain), inside, stamp, listing)
    elif name.endswith(".zip") and _is_archive(path):
        yield from _of_zip(path, inside, stamp, listing)
    elif _is_note(path):
        listing.pass_over("text beside a file")
    elif name.endswith(_PASSED):
        listing.pass_over("tables and texts")
    else:
        about = merged([_note(path.with_suffix(f".{kind}")) for kind in _NOTES])
        yield {"at": inside, "file": inside, "bytes": size, "stamp": stamp, "about": about}


def _is_note(path: Path) -> bool:
    """Whether a text or JSON lies beside a medium of the same stem, or is itself no drawing."""
    if path.suffix.lower().lstrip(".") not in _NOTES:
        return False
    if path.suffix.lower() != ".json":
        return True
    if any(path.with_suffix(suffix).is_file() for suffix in MEDIA_SUFFIXES):
        return True
    with path.open("rb") as file:
        return not looks_like_lottie(file.read(2**16))


def looks_like_lottie(head: bytes) -> bool:
    """Whether a JSON begins like an animation."""
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and all(key in head for key in (b'"op"', b'"fr"'))


def _note(path: Path) -> dict[str, Any]:
    """What a text or JSON beside a file says; nothing where there is none."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > _MOST_NOTE_BYTES:
        return {}
    return parse_note(path.suffix.lower().lstrip("."), path.read_bytes())


def parse_note(kind: str, data: bytes) -> dict[str, Any]:
    """The columns in the bytes of a `.txt`, `.caption` or `.json`; nothing where it is none."""
    text = data.decode("utf-8", "replace")
    if kind != "json":
        return known({"description": " ".join(text.split())})
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    found = known(content) if isinstance(content, dict) else {}
    found.pop("file", None)
    return found


def _is_archive(path: Path) -> bool:
    """Whether a zip holds files of a crawl, and is not itself one sticker (a .lottie, PNGs with their timing)."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "manifest.json" in names and any(name.startswith(("a/", "animations/")) for name in names):
        return False
    return not any(name.rpartition("/")[2] == TIMING_NAME for name in names)


def _of_zip(path: Path, inside: str, stamp: str, listing: Listing) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        members = sorted(archive.infolist(), key=lambda member: (member.filename, member.header_offset))
        if len(members) > _MOST_MEMBERS:
            raise ValueError(f"it has {len(members):,} members, at most {_MOST_MEMBERS:,} are listed")
        notes = {m.filename: m for m in members if m.filename.rpartition(".")[2].lower() in _NOTES}
        media = {m.filename.rpartition(".")[0] for m in members if m.filename not in notes}
        for member in members:
            name = member.filename
            base = name.rpartition("/")[2]
            if member.is_dir() or base.startswith(".") or name.startswith(_HIDDEN):
                continue
            if name in notes and (name.rpartition(".")[0] in media or not name.lower().endswith(".json")):
                listing.pass_over("text beside a file")
                continue
            if name.lower().endswith(_PASSED):
                listing.pass_over("tables and texts")
                continue
            about = []
            for kind in _NOTES:
                note = notes.get(f"{name.rpartition('.')[0]}.{kind}")
                if note is not None and note is not member and note.file_size <= _MOST_NOTE_BYTES:
                    about.append(parse_note(kind, archive.read(note)))
            at = f"{inside}/{name.replace(os.sep, '/')}"
            row = {"at": at, "file": inside, "member": name, "offset": member.header_offset}
            yield {**row, "bytes": member.file_size, "stamp": f"{stamp}:{member.CRC}", "about": merged(about)}


def _of_tar(path: Path, file_name: str, inside: str, stamp: str, listing: Listing) -> Iterator[dict[str, Any]]:
    """Members of a tar, with the texts that share their key (WebDataset): they are neighbors."""
    with path.open("rb") as file:
        key, group = "", list[tuple[str, int, int]]()
        for found in walk(file):
            if isinstance(found, Gap):
                listing.damaged[f"{printable(inside)} byte {found.offset}"] = found.reason
                continue
            if not found.is_file:
                continue
            folder, slash, base = found.name.rpartition("/")
            if base.startswith(".") or base in _HIDDEN:
                continue
            this = folder + slash + base.partition(".")[0]
            if this != key:
                yield from _of_group(file, group, file_name, inside, stamp, listing)
                key, group = this, []
            group.append((found.name, found.offset, found.size))
        yield from _of_group(file, group, file_name, inside, stamp, listing)


def _of_group(
    file: IO[bytes], group: list[tuple[str, int, int]], file_name: str, inside: str, stamp: str, listing: Listing
) -> Iterator[dict[str, Any]]:
    about, media = list[dict[str, Any]](), list[tuple[str, int, int]]()
    for name, offset, size in group:
        kind = name.rpartition(".")[2].lower()
        data = b""
        if kind in _NOTES and size <= _MOST_NOTE_BYTES:
            file.seek(offset)
            data = file.read(size)
        if kind in _NOTES and not (kind == "json" and len(group) == 1 and looks_like_lottie(data)):
            about.append(parse_note(kind, data))
            listing.pass_over("text beside a file")
        elif name.lower().endswith(_PASSED) or kind in ("cls", "npy", "pth", "pickle"):
            listing.pass_over("tables and texts")
        else:
            media.append((name, offset, size))
    for name, offset, size in media:
        row = {"at": f"{inside}/{name}", "file": file_name, "offset": offset, "bytes": size}
        yield {**row, "stamp": stamp, "about": merged(about)}


def _unpacked(path: Path, suffix: str, size: int, stamp: str, folder: Path) -> Path:
    """A compressed tar as a plain one, in which members can be jumped to."""
    name = hashlib.blake2b(f"{path}:{stamp}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    target = folder / f"{name}.tar"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    most, written = min(MAX_UNPACKED_BYTES, max(size * _MOST_RATIO, 2**24)), 0
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        try:
            with _PACKED[suffix](path, "rb") as stream:
                while part := stream.read(2**20):
                    written += len(part)
                    if written > most:
                        raise ValueError(f"it unpacks to more than {most:,} bytes, {size:,} packed: no crawl does")
                    out.write(part)
        except (EOFError, lzma.LZMAError) as error:
            raise ValueError(f"it cannot be unpacked ({error})") from error
    return target


class Opened:
    """Reads what rows of `list_crawl` point at; keeps the last archive open, since rows of one follow each other.

    Args:
        crawl: the folder.
        unpack: where compressed tars were unpacked to.
    """

    def __init__(self, crawl: Path, unpack: Path) -> None:
        self._root, self._unpack = crawl, os.path.realpath(unpack)
        self._real = os.path.realpath(crawl)
        self._zip: tuple[str, zipfile.ZipFile] | None = None
        self._members: dict[int, zipfile.ZipInfo] = {}

    def read(self, row: dict[str, Any]) -> bytes:
        """The bytes of one medium.

        Raises:
            UserError: too large, gone, or outside of the crawl.
            OSError: it cannot be read.
        """
        name = printable(str(row["at"]))
        if row["bytes"] > MAX_FILE_BYTES:
            raise UserError(f"{name}: a file must be at most {MAX_FILE_BYTES:,} bytes, got {row['bytes']:,}")
        path = self._root / row["file"]
        real = os.path.realpath(path)
        if not any(os.path.commonpath([root, real]) == root for root in (self._real, self._unpack)):
            raise UserError(f"{name}: leads out of the crawl, which is not followed")
        if "member" in row:
            return self._member(path, row, name)
        with path.open("rb") as file:
            file.seek(row.get("offset", 0))
            data = file.read(row["bytes"])
        if len(data) != row["bytes"]:
            raise UserError(f"{name}: is cut off, or was changed while it was read")
        return data

    def _member(self, path: Path, row: dict[str, Any], name: str) -> bytes:
        try:
            if self._zip is None or self._zip[0] != str(path):
                if self._zip is not None:
                    self._zip[1].close()
                self._zip = (str(path), zipfile.ZipFile(path))
                self._members = {one.header_offset: one for one in self._zip[1].infolist()}
            # by place: two members of a zip may have one name
            with self._zip[1].open(self._members[row["offset"]]) as file:
                data = file.read(MAX_FILE_BYTES + 1)  # stops by itself: a zip may lie about sizes
        except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
            raise UserError(f"{name}: cannot be unpacked ({' '.join(str(error).split())[:120]})") from error
        except Exception as error:  # zlib.error and what else a decoder throws
            if isinstance(error, OSError):
                raise
            raise UserError(f"{name}: cannot be unpacked ({type(error).__name__})") from error
        if len(data) > MAX_FILE_BYTES:
            raise UserError(f"{name}: a file must be at most {MAX_FILE_BYTES:,} bytes unpacked")
        return data
