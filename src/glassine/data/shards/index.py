"""The offset index beside each tar file: where every sample's bytes lie, and what a loader must know to choose it."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from glassine.atomic import atomic_path
from glassine.data.codecs.guard import ZERO_DELAY_MS
from glassine.data.codecs.opening import open_bytes
from glassine.errors import UserError

from .frame_codecs import decode_frame
from .info import StickerInfo

INDEX_SUFFIX = ".index.json"
CONTAINER_SUFFIXES = ("gif", "webp", "apng", "png")
_VERSION = 1
_FRAME_FIELD = re.compile(r"(\d+)\.(jpg|alpha\.png|webp|png)")

Extent = tuple[int, int]
"""Offset and size in bytes inside the tar file."""


@dataclass(frozen=True)
class IndexedSample:
    """One sample of a shard.

    Attributes:
        key: the part of the member names before the first dot.
        group: near copies share it.
        split: ``"train"``, ``"val"`` or ``"test"``.
        durations: milliseconds per frame.
        width: pixels.
        height: pixels.
        info: where `{key}.json` lies; size 0 when there is none.
        members: where the media lie: for the fast form all files of frame 0, then all of frame 1, ...; for a GIF-like
            shard the one file.
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
        damaged: sample (or ``"*"`` for the rest of the file) -> what is wrong with it.
        settings: how the shard was made, empty for foreign ones.
    """

    tar_bytes: int = 0
    samples: list[IndexedSample] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write to `path`, beside and renamed."""
        content = {"glassine_index": _VERSION, **asdict(self)}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def index_path(tar: Path) -> Path:
    """The index of `a.tar` is `a.tar.index.json`: tools that look for `*.tar` never see it."""
    return tar.with_name(tar.name + INDEX_SUFFIX)


def load_index(tar: Path) -> ShardIndex:
    """Read the index of a tar file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not an index of this version.
    """
    try:
        content = json.loads(index_path(tar).read_text(encoding="utf-8"))
        if content["glassine_index"] != _VERSION:
            raise ValueError(f"index version {content['glassine_index']}, this program reads {_VERSION}")
        samples = [
            IndexedSample(
                **{**row, "durations": tuple(row["durations"]), "info": tuple(row["info"])}
                | {"members": tuple(map(tuple, row["members"]))}
            )
            for row in content["samples"]
        ]
        return ShardIndex(content["tar_bytes"], samples, content["damaged"], content["settings"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a shard index ({error!r})") from error


def build_index(tar: Path) -> ShardIndex:
    """Go through a tar file once and index it: our fast form as well as GIF-like shards from elsewhere.

    Damaged samples are left out and named in `damaged`; a file cut short is indexed up to the cut.

    Args:
        tar: the tar file; nothing is written.

    Raises:
        UserError: the file cannot be opened.
    """
    try:
        with tar.open("rb") as file:
            index = ShardIndex(tar_bytes=tar.stat().st_size)
            for key, members in _samples(file, index):
                try:
                    index.samples.append(_indexed(file, key, members, index.tar_bytes))
                except (UserError, ValueError, OSError) as error:
                    index.damaged[key] = str(error)
            return index
    except OSError as error:
        raise UserError(f"{tar} cannot be read: {error.strerror}; check the path and its permissions") from error


def _samples(file: IO[bytes], index: ShardIndex) -> Iterator[tuple[str, dict[str, Extent]]]:
    """Neighbouring members with the same key, as webdataset groups them: field (after the first dot) -> extent."""
    key, members = "", dict[str, Extent]()
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                folder, slash, base = member.name.rpartition("/")
                stem, dot, name = base.partition(".")
                if not member.isfile() or not dot or not stem:
                    continue
                if folder + slash + stem != key:
                    if members:
                        yield key, members
                    key, members = folder + slash + stem, {}
                members[name.lower()] = (member.offset_data, member.size)
    except tarfile.TarError as error:
        index.damaged["*"] = f"the tar file is damaged or cut short ({error})"
    if members:
        yield key, members


def _indexed(file: IO[bytes], key: str, members: dict[str, Extent], tar_bytes: int) -> IndexedSample:
    if any(offset + size > tar_bytes for offset, size in members.values()):
        raise ValueError("cut off by the end of the file")
    where = members.get("json", (0, 0))
    content = json.loads(_read(file, where)) if where[1] else {}
    if not isinstance(content, dict):
        raise ValueError("its JSON is not an object")
    frames: dict[int, list[Extent]] = {}
    for name in sorted(members):  # of one frame: 000.alpha.png before 000.jpg
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
            durations, width, height = reader.durations, reader.width, reader.height
    else:
        raise ValueError(f"no media; it has {', '.join(sorted(members))}")
    info = StickerInfo.from_json(key, content, durations, width, height)
    return IndexedSample(key, info.group, info.split, durations, width, height, where, extents, suffix)


def _durations(stated: Any, count: int) -> tuple[int, ...]:
    if isinstance(stated, list) and all(isinstance(d, int) for d in stated):
        if len(stated) != count:
            raise ValueError(f"its JSON states {len(stated)} frames, {count} are there")
        return tuple(max(1, d) for d in stated)
    return (ZERO_DELAY_MS,) * count


def _read(file: IO[bytes], extent: Extent) -> bytes:
    file.seek(extent[0])
    return file.read(extent[1])
