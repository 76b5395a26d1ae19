"""The offset index next to each tar file: the byte offsets of every sample, and the metadata for selecting it."""

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from glassine.data.codecs.guard import MAX_PIXELS, ZERO_DELAY_MS
from glassine.data.codecs.io import open_bytes
from glassine.data.shards.frames import decode_frame
from glassine.data.shards.info import StickerInfo
from glassine.data.shards.tar_members import BLOCK, Gap, walk
from glassine.data.sticker import SPLITS
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, read_plain

INDEX_SUFFIX = ".index.json"
CONTAINER_SUFFIXES = ("gif", "webp", "apng", "png")
_VERSION = 1
MAX_DURATION_MS = 2**31 - 1
MAX_MEMBER_BYTES, MAX_JSON_BYTES = 2**28, 2**24
"""Maximum size read at once for a sample's media and metadata; far above any sticker, but not above a damaged size."""
_FRAME_FIELD = re.compile(r"(\d+)\.(jpg|alpha\.png|webp|png)")

_HEAD = re.compile(rb'\{"glassine_index":\d+,"crc32":"([0-9a-f]{8})",')
_HEAD_WITHOUT = re.compile(rb'\{\s*"glassine_index":\s*\d+,\s*"tar_bytes":')  # of indexes of the first edition

Extent = tuple[int, int]
"""Offset and size in bytes in the tar file."""


@dataclass(frozen=True)
class IndexedSample:
    """One sample of a shard.

    Attributes:
        key: the part of the member names before the first dot.
        group: near-duplicates share it.
        split: ``"train"``, ``"val"`` or ``"test"``.
        durations: milliseconds per frame.
        width: pixels.
        height: pixels.
        info: location of `{key}.json`; size 0 if there is none.
        members: locations of the media: for the fast form all files of frame 0, then all of frame 1, ...; for a
            GIF-like shard the single file.
        suffix: ``"gif"``, ``"webp"``, ``"apng"`` or ``"png"`` for one file with all frames, ``""`` for the fast form.
    """

    key: str
    group: str
    split: str
    durations: tuple[int, ...]
    width: int
    height: int
    info: Extent
    members: tuple[Extent, ...]
    suffix: str = ""


@dataclass
class ShardIndex:
    """The index of one tar file.

    Attributes:
        tar_bytes: size of the tar file it belongs to.
        samples: in the order of the file.
        damaged: sample (or ``"*"`` for the file, ``"byte N"`` if the name is unreadable) -> the problem.
        settings: how the shard was made, empty for third-party shards.
    """

    tar_bytes: int = 0
    samples: list[IndexedSample] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write to `path` atomically."""
        rest = json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))[1:]
        data = rest.encode("utf-8", "surrogateescape")
        head = f'{{"glassine_index":{_VERSION},"crc32":"{zlib.crc32(data):08x}",'
        with atomic_path(path) as temporary:
            temporary.write_bytes(head.encode() + data)


def index_path(tar: Path) -> Path:
    """The index of `a.tar` is `a.tar.index.json`: tools that look for `*.tar` never see it."""
    return tar.with_name(tar.name + INDEX_SUFFIX)


def load_index(tar: Path) -> ShardIndex:
    """Read the index of a tar file. Samples with impossible entries are skipped and named in `damaged`.

    An index that was modified since it was written is used as far as it is plausible, and reported.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: it is not an index of this version.
    """
    try:
        data = read_plain(index_path(tar))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError((error.strerror or "error").lower()) from error
    try:
        content = json.loads(data.decode("utf-8", "surrogateescape"))
        version, tar_bytes, rows = content["glassine_index"], content["tar_bytes"], content["samples"]
        named, settings = content["damaged"], content["settings"]
    except (KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a shard index ({type(error).__name__})") from error
    if version != _VERSION:
        raise ValueError(f"index version {str(version)[:40]}, this program reads {_VERSION}")
    if not (is_count(tar_bytes) and isinstance(rows, list) and isinstance(named, dict) and isinstance(settings, dict)):
        raise ValueError("not a shard index (its parts have other types)")
    index = ShardIndex(tar_bytes, [], {str(key): str(reason) for key, reason in named.items()}, settings)
    if not _as_written(data):
        index.damaged["*"] = "its index is not as it was written; run `glassine data index`"
    keys = set[str]()
    for number, row in enumerate(rows):
        try:
            sample = _entry(row, index)
            if sample.key in keys:
                raise ValueError("the key of an earlier one")
            keys.add(sample.key)
            index.samples.append(sample)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            key = row.get("key") if isinstance(row, dict) else None
            name = key if isinstance(key, str) and key not in keys else f"entry {number}"
            index.damaged[name] = f"its entry in the index cannot be right ({error})"
    return index


def _as_written(data: bytes) -> bool:
    """Whether an index fits its checksum; those of the first edition have none."""
    if found := _HEAD.match(data):
        return zlib.crc32(data[found.end() :]) == int(found[1], 16)
    return _HEAD_WITHOUT.match(data) is not None


def is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number of bytes, pixels or the like."""
    return type(value) is int and 0 <= value < 2**62


def _entry(row: dict[str, Any], index: ShardIndex) -> IndexedSample:
    """One row of an index; raises ValueError if it is implausible, another error if it is something else."""
    sample = IndexedSample(
        **{**row, "durations": tuple(row["durations"]), "info": tuple(row["info"])}
        | {"members": tuple(map(tuple, row["members"]))}
    )
    for name in ("key", "group", "suffix"):
        if not isinstance(getattr(sample, name), str):
            raise ValueError(f"its {name} is no text")
    if not sample.key or sample.split not in SPLITS or sample.suffix not in ("", *CONTAINER_SUFFIXES):
        raise ValueError("no key, or a split or suffix that there is not")
    if not sample.durations or not all(is_count(d) and 1 <= d <= MAX_DURATION_MS for d in sample.durations):
        raise ValueError("its durations are not milliseconds")
    if not (is_count(sample.width) and is_count(sample.height) and 1 <= sample.width * sample.height <= MAX_PIXELS):
        raise ValueError(f"its size is not 1 to {MAX_PIXELS:,} pixels")
    frames, files = len(sample.durations), len(sample.members)
    if not files or (sample.suffix and files != 1) or (not sample.suffix and files % frames):
        raise ValueError(f"{files} files for {frames} frames")
    for extent, most in [(sample.info, MAX_JSON_BYTES), *((extent, MAX_MEMBER_BYTES) for extent in sample.members)]:
        if len(extent) != 2 or not all(map(is_count, extent)) or extent[1] > most or sum(extent) > index.tar_bytes:
            raise ValueError("a place that is not in the file")
        if extent[0] < BLOCK and extent[1]:
            raise ValueError("a place before the first member")
    if index.settings and not sample.info[1]:  # third-party shards may lack metadata
        raise ValueError("no metadata")
    return sample


def build_index(tar: Path) -> ShardIndex:
    """Scan a tar file once and index it: our fast form as well as third-party GIF-like shards.

    Damaged samples are skipped and named in `damaged`, as is every stretch of the file without a readable header;
    scanning resumes after it.

    Args:
        tar: the tar file; nothing is written.

    Raises:
        UserError: the file cannot be opened.
    """
    if tar.exists() and not tar.is_file():  # a pipe would hang
        raise UserError(f"{tar} must be a file to be indexed")
    try:
        with tar.open("rb") as file:
            index = ShardIndex(tar_bytes=tar.stat().st_size)
            for key, members, spoilt in _samples(file, index):
                try:
                    if spoilt:
                        raise ValueError("a damaged header in or beside it")
                    if any(sample.key == key for sample in index.samples[-1:]) or key in index.damaged:
                        raise ValueError("its files are not side by side")
                    index.samples.append(_indexed(file, key, members))
                except Exception as error:  # decoders can raise anything for damaged bytes
                    index.damaged[key] = _reason(error)
            _leave_out_twins(index)
            return index
    except OSError as error:
        raise UserError(f"{tar} cannot be read: {error.strerror}; check the path and its permissions") from error


def rebuild_index(tar: Path) -> ShardIndex:
    """Rebuild the index of a tar file. How it was made is copied from the old index, since the file does not record it.

    Stickers in the old index that are missing from an apparently undamaged file are reported, too.

    Raises:
        UserError: see `build_index`.
    """
    index = build_index(tar)
    try:
        old = load_index(tar)
    except (OSError, ValueError):
        return index
    index.settings = old.settings
    there = {sample.key for sample in index.samples} | index.damaged.keys()
    gone = [sample.key for sample in old.samples if sample.key not in there]
    index.damaged.update(dict.fromkeys(gone, "in the old index, and no longer in the file"))
    return index


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, UserError | ValueError) else f"cannot be read ({type(error).__name__}: {text})"


def _leave_out_twins(index: ShardIndex) -> None:
    """Keep the first sample of each key; duplicates are reported."""
    seen, kept = set[str](), list[IndexedSample]()
    for sample in index.samples:
        if sample.key in seen:
            index.damaged[f"{sample.key} (again)"] = "the key of an earlier sticker"
        else:
            seen.add(sample.key)
            kept.append(sample)
    index.samples = kept


def _samples(file: IO[bytes], index: ShardIndex) -> Iterator[tuple[str, dict[str, Extent], bool]]:
    """Neighboring members with the same key, as webdataset groups them.

    Yields:
        The key; field (after the first dot) -> extent; and whether a member of it may be missing.
    """
    key, members, spoilt = "", dict[str, Extent](), False
    gap_key: str | None = None  # key of unreadable data since the last member, "" if its name is unreadable
    for found in walk(file):
        if isinstance(found, Gap):
            gap_key = _key_and_field(found.name)[0]
            index.damaged[f"byte {found.offset}" if found.size else "*"] = found.reason
            continue
        next_key, name = _key_and_field(found.name)
        if not found.is_file or not name:
            continue
        before = after = False  # whether members may be missing at the end of this sample, or at the start of the next
        if gap_key is not None:
            before, after = gap_key != next_key or key == next_key, gap_key != key
        if next_key != key:
            if members:
                yield key, members, spoilt or before
            key, members, spoilt = next_key, {}, after
        else:
            spoilt |= before
        gap_key = None
        members[name.lower()] = (found.offset, found.size)
    if members:  # the metadata states the number of frames
        yield key, members, spoilt or (gap_key is not None and (gap_key == key or "json" not in members))


def _key_and_field(name: str) -> tuple[str, str]:
    """The sample's key and the field of a member, split as in webdataset; no field if it belongs to no sample."""
    folder, slash, base = name.rpartition("/")
    stem, dot, field_name = base.partition(".")
    return (folder + slash + stem, field_name) if stem and dot else ("", "")


def _indexed(file: IO[bytes], key: str, members: dict[str, Extent]) -> IndexedSample:
    where = members.get("json", (0, 0))
    if where[1] > MAX_JSON_BYTES or any(size > MAX_MEMBER_BYTES for _, size in members.values()):
        raise ValueError(f"a file of more than {MAX_MEMBER_BYTES >> 20} MiB, or metadata of {MAX_JSON_BYTES >> 20} MiB")
    content = parse_info(_read(file, where)) if "json" in members else {}
    frames: dict[int, list[Extent]] = {}
    for name in sorted(members):  # within a frame: 000.alpha.png before 000.jpg
        if match := _FRAME_FIELD.fullmatch(name):
            frames.setdefault(int(match[1]), []).insert(0, members[name])
    suffix = next((suffix for suffix in CONTAINER_SUFFIXES if suffix in members), "")
    if frames:
        media = [frames[number] for number in sorted(frames)]
        if len({len(files) for files in media}) != 1 or sorted(frames) != list(range(len(frames))):
            raise ValueError("frames are missing")
        height, width = decode_frame([_read(file, extent) for extent in media[0]]).shape[:2]
        durations = _durations(content.get("durations"), len(media))
        extents, suffix = tuple(extent for files in media for extent in files), ""
    elif suffix:
        extents = (members[suffix],)
        with open_bytes(_read(file, members[suffix]), f"{key}.{suffix}") as reader:
            if reader.durations is None:
                raise ValueError(f"{key}.{suffix} is a video; shards hold GIF, WebP and PNG files")
            durations, width, height = tuple(reader.durations), reader.width, reader.height
    else:
        raise ValueError(f"no media; it has {', '.join(sorted(members))}")
    if max(durations) > MAX_DURATION_MS:
        raise ValueError("a frame must stand for at most 24 days, got more")
    info = StickerInfo.from_json(key, content, durations, width, height)
    return IndexedSample(key, info.group, info.split, durations, width, height, where, extents, suffix)


def parse_info(data: bytes) -> dict[str, Any]:
    """The content of a sample's JSON; raises ValueError if it is not an object."""
    try:
        content = json.loads(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError("its JSON is too deep, or no UTF-8") from error
    if not isinstance(content, dict):
        raise ValueError("its JSON is not an object")
    return content


def _durations(stated: Any, count: int) -> tuple[int, ...]:
    if isinstance(stated, list) and all(isinstance(d, int) for d in stated):
        if len(stated) != count:
            raise ValueError(f"its JSON states {len(stated)} frames, {count} are there")
        return tuple(max(1, d) for d in stated)
    return (ZERO_DELAY_MS,) * count


def _read(file: IO[bytes], extent: Extent) -> bytes:
    file.seek(extent[0])
    return file.read(extent[1])
