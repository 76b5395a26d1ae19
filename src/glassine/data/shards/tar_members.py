"""The members of a tar file, even a damaged one: unreadable parts are reported, and reading resumes after them.

Python's `tarfile` silently treats a header with a wrong checksum as the end of the file.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

BLOCK = 512
_MOST_NAME_BYTES = 1 << 20  # of a long name or a pax record
_STEP = 1 << 20
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"


@dataclass(frozen=True)
class Member:
    """A file in the tar file.

    Attributes:
        name: its path.
        offset: offset of its content.
        size: size of its content in bytes.
        is_file: whether it is a regular file.
    """

    name: str
    offset: int
    size: int
    is_file: bool = True


@dataclass(frozen=True)
class Gap:
    """A stretch without a readable member.

    Attributes:
        offset: start of the stretch.
        size: size in bytes.
        reason: the problem.
        name: name of the member there, as far as its damaged header is readable.
    """

    offset: int
    size: int
    reason: str
    name: str = ""


def walk(file: IO[bytes]) -> Iterator[Member | Gap]:
    """Iterate over a tar file: ustar, GNU and pax, including concatenated ones.

    Args:
        file: seekable file, open for reading.

    Yields:
        Members in order, and a gap for every unreadable stretch. Content that would extend past the end of the file is
        a gap, as is a file without the two empty blocks at its end: it may have been truncated.
    """
    end = file.seek(0, os.SEEK_END)
    position, empty, long_name = 0, 0, ""
    while position + BLOCK <= end:
        file.seek(position)
        block = file.read(BLOCK)
        if not any(block):
            position, empty = position + BLOCK, empty + 1
            continue
        header = _header(block)
        if empty == 1 and header is not None and position > BLOCK:
            yield Gap(position - BLOCK, BLOCK, "an empty block where a header or the end should be")
        if header is None:
            found = _next_header(file, position + BLOCK, end)
            what = "bytes after the end" if empty > 1 else "a damaged header"
            yield Gap(position, found - position, f"{what}; {found - position:,} bytes are skipped", _guess(block))
            position, empty, long_name = found, 0, ""
            continue
        empty = 0
        name, size, kind = header
        content = position + BLOCK
        after = content + -(-size // BLOCK) * BLOCK
        if content + size > end:
            found = _next_header(file, content, end)
            yield Gap(position, found - position, f"{size:,} bytes are stated, which pass the end of the file", name)
            position, long_name = found, ""
            continue
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            told = _told(file, kind, content, size)
            if told is None:
                yield Gap(position, after - position, "a damaged record of a long name", name)
            elif kind != _LONG_LINK:
                long_name = told or long_name
        else:
            yield Member(long_name or name, content, size, kind in (b"0", b"\0", b"7"))
            long_name = ""
        position = after
    if empty < 2:
        yield Gap(min(position, end), max(end - position, 0), "it has no end mark: damaged or cut short")


def _header(block: bytes) -> tuple[str, int, bytes] | None:
    """Name, size and kind; None if the block is not a valid header."""
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError):
        return None
    if info.size < 0 or not info.name:
        return None
    size = (
        info.size if info.type not in (b"1", b"2", b"3", b"4", b"5", b"6") else 0
    )  # links and the like have no content
    return info.name, size, info.type


def _next_header(file: IO[bytes], start: int, end: int) -> int:
    """Offset of the next readable header or the end mark; `end` if there is none."""
    position = start
    while position + BLOCK <= end:
        file.seek(position)
        chunk = file.read(_STEP)
        place = chunk.find(b"ustar")
        while place >= 0:
            begin = place - 257
            if begin >= 0 and begin % BLOCK == 0 and _header(chunk[begin : begin + BLOCK]) is not None:
                return position + begin
            place = chunk.find(b"ustar", place + 1)
        position += len(chunk) - len(chunk) % BLOCK if len(chunk) >= BLOCK else BLOCK
    # nothing follows: stop before the empty blocks at the end, if any
    mark = end - end % BLOCK
    while mark - BLOCK >= start:
        file.seek(mark - BLOCK)
        if any(file.read(BLOCK)):
            break
        mark -= BLOCK
    return mark if mark < end - end % BLOCK else end


def _guess(block: bytes) -> str:
    """The name in a damaged header, if readable."""
    name = block[:100].split(b"\0")[0].decode("utf-8", "replace")
    return name if name.isprintable() and "�" not in name and "." in name else ""


def _told(file: IO[bytes], kind: bytes, offset: int, size: int) -> str | None:
    """The name that a GNU or pax record gives the next member, "" for none; None if damaged."""
    if size > _MOST_NAME_BYTES:
        return None
    file.seek(offset)
    data = file.read(size)
    if kind in (_LONG_NAME, _LONG_LINK):
        return data.split(b"\0")[0].decode("utf-8", "surrogateescape")
    name = ""
    while data.rstrip(b"\0"):
        length, space, _ = data[:20].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 2 < int(length) <= len(data):
            return None
        record, data = data[: int(length)], data[int(length) :]
        keyword, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            return None
        if keyword == b"size":  # only for members of 8 GiB and more, which are not stickers
            return None
        if keyword == b"path" and kind == _PAX:
            name = value.decode("utf-8", "surrogateescape")
    return name
