"""Random access to shards: any frame of any sticker with one `pread`, from any process or thread."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glassine.data.codecs import read_frames
from glassine.data.shards.frames import decode_frame
from glassine.data.shards.index import MAX_MEMBER_BYTES, IndexedSample, ShardIndex, index_path, load_index, parse_info
from glassine.data.shards.info import StickerInfo
from glassine.data.shards.tar_members import BLOCK
from glassine.data.sticker import SPLITS, Split, Stills
from glassine.utils.errors import UserError, printable


class StickerShards:
    """A map-style view of one or more shard folders.

    Only numbers and names are held in memory; pixels and metadata are read on demand. There is no shared file position
    and no open file, so forked or spawned workers and threads can share one object.

    Args:
        root: a folder with `*.tar` files (or one tar file), or a list of them; in sorted order.

    Attributes:
        damaged: ``"shard:key"`` -> reason, of the samples (``"shard:*"``: whole files) skipped when opening.

    Raises:
        UserError: no such folder, no tar file in it, none with an index (the message names the command that builds
            one), or no readable sample.
    """

    def __init__(self, root: Path | str | Sequence[Path | str]) -> None:
        roots = [root] if isinstance(root, Path | str) else list(root)
        tars = [tar for folder in roots for tar in find_tars(Path(folder))]
        self.damaged: dict[str, str] = {}
        self._tars: list[Path] = []
        samples: list[IndexedSample] = []
        shard_of: list[int] = []
        for tar in tars:
            index = self._open(tar)
            shard_of += [len(self._tars)] * len(index.samples)
            samples += index.samples
            self._tars.append(tar)
        if self.damaged:
            warnings.warn(f"{len(self.damaged)} damaged: {_listed(self.damaged)}; the rest is used", stacklevel=2)
        if not samples:
            raise UserError(f"no readable sticker in {', '.join(map(str, roots))}: {_listed(self.damaged) or 'empty'}")
        self._pack(samples, shard_of)

    def _open(self, tar: Path) -> ShardIndex:
        try:
            index = load_index(tar)
        except FileNotFoundError as error:
            raise UserError(
                f"{tar} has no index ({index_path(tar).name}); build it with `glassine data index {tar.parent}`"
            ) from error
        except (ValueError, OSError) as error:
            self.damaged[f"{tar}:*"] = f"its index cannot be read ({error}); run `glassine data index {tar.parent}`"
            return ShardIndex()
        self.damaged.update({f"{tar}:{key}": reason for key, reason in index.damaged.items()})
        try:
            size = tar.stat().st_size
        except OSError as error:
            self.damaged[f"{tar}:*"] = f"it cannot be read ({error.strerror})"
            return ShardIndex()
        if size != index.tar_bytes:
            self.damaged[f"{tar}:*"] = f"the file has {size} bytes, its index is for {index.tar_bytes}"
            beyond = {s.key for s in index.samples if max(map(sum, (s.info, *s.members))) > size}
            self.damaged.update({f"{tar}:{key}": "beyond the end of the file" for key in beyond})
            index.samples = [sample for sample in index.samples if sample.key not in beyond]
        return index

    def _pack(self, samples: list[IndexedSample], shard_of: list[int]) -> None:
        # arrays rather than objects: forked workers then share the memory, since there is no reference counting in them
        self._shard = np.array(shard_of, np.int32)
        self._keys = np.array([sample.key for sample in samples])
        self._groups = np.array([sample.group for sample in samples])
        self._suffixes = np.array([sample.suffix for sample in samples])
        self._splits = np.array([SPLITS.index(sample.split) for sample in samples], np.int8)
        self._sizes = np.array([(sample.height, sample.width) for sample in samples], np.int32)
        self._infos = np.array([sample.info for sample in samples], np.int64)
        self._durations = np.array([d for sample in samples for d in sample.durations], np.int32)
        self._frame_start = np.cumsum([0, *(len(sample.durations) for sample in samples)])
        self._members = np.array([extent for sample in samples for extent in sample.members], np.int64)
        self._member_start = np.cumsum([0, *(len(sample.members) for sample in samples)])

    def __len__(self) -> int:
        return len(self._shard)

    @property
    def num_shards(self) -> int:
        """Number of tar files."""
        return len(self._tars)

    @property
    def num_bytes(self) -> int:
        """Total size of all tar files."""
        return sum(tar.stat().st_size for tar in self._tars)

    def select(
        self, split: Split | None = None, stills: Stills = True, domains: Sequence[str] | None = None
    ) -> np.ndarray:
        """Row numbers of one split (None: of all), with stickers of one frame, without, or `only` those. `n` int64.

        Args:
            split: None for all.
            stills: whether stickers of one frame are among them.
            domains: only stickers of these, such as `cartoon` and `real`; case does not count. None for all. The index
                does not hold them, so the metadata of each sticker are read: about a minute for a million.
        """
        chosen = np.ones(len(self), bool) if split is None else self._splits == SPLITS.index(split)
        if stills is not True:
            chosen &= (np.diff(self._frame_start) > 1) == (stills is False)
        rows = np.flatnonzero(chosen)
        if domains is None:
            return rows
        wanted = {domain.casefold() for domain in domains}
        return np.array([row for row in rows.tolist() if self._domain(row) in wanted], np.int64)

    def _domain(self, row: int) -> str | None:
        """In small letters; None where the metadata cannot be read, which reading the sticker reports."""
        try:
            return self.metadata(row).domain.casefold()
        except ValueError:
            return None

    def key(self, row: int) -> str:
        """The key of a sample, unique in its shard folder."""
        return str(self._keys[row])

    def group(self, row: int) -> str:
        """The group of a sample."""
        return str(self._groups[row])

    def split(self, row: int) -> Split:
        """The split of a sample."""
        return SPLITS[int(self._splits[row])]

    def name(self, row: int) -> str:
        """Shard and key, for messages."""
        return f"{self._tars[self._shard[row]]}:{self._keys[row]}"

    def durations(self, row: int) -> tuple[int, ...]:
        """Milliseconds of each frame, without touching the disk."""
        return tuple(self._durations[self._frame_start[row] : self._frame_start[row + 1]].tolist())

    def metadata(self, row: int) -> StickerInfo:
        """Read and parse `{key}.json`.

        Raises:
            ValueError: the bytes at this offset are not that JSON (a damaged or replaced shard).
        """
        offset, size = self._infos[row].tolist()
        content = dict[str, Any]()
        if size:
            block = self._pread(row, [(offset - BLOCK, size + BLOCK)])[0]
            if not names_member(block, f"{self.key(row)}.json"):
                raise ValueError(f"{self.key(row)}.json is not where its index says; index the shard again")
            content = parse_info(block[BLOCK:])
        height, width = self._sizes[row].tolist()
        return StickerInfo.from_json(self.key(row), content, self.durations(row), width, height)

    def read(self, row: int, frame_indices: Sequence[int]) -> np.ndarray:
        """Decode some frames of one sticker; in the fast form, only these are decoded.

        Args:
            row: the sample.
            frame_indices: any order, repeats allowed; a repeated frame is decoded once.

        Returns:
            `f h w 4` uint8, straight alpha.

        Raises:
            ValueError: damaged media.
            IndexError: a frame that is not there.
        """
        count = int(self._frame_start[row + 1] - self._frame_start[row])
        wanted = sorted(set(frame_indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= count:
            raise IndexError(f"frames of {self.name(row)} must be below {count}, got {list(frame_indices)}")
        members = self._members[self._member_start[row] : self._member_start[row + 1]]
        place = {frame: number for number, frame in enumerate(wanted)}
        order = [place[frame] for frame in frame_indices]
        if suffix := str(self._suffixes[row]):
            data = self._media(row, members.tolist())[0]
            try:
                frames = read_frames(data, suffix, wanted)
            except Exception as error:  # decoders can raise anything for damaged bytes, including out of memory
                raise ValueError(str(error) or type(error).__name__) from error
            if frames.shape != (len(wanted), *self._sizes[row].tolist(), 4):
                raise ValueError(f"frames of another number or size than its index says: {frames.shape}")
            return frames[order]
        files = len(members) // count
        parts = members.reshape(count, files, 2)[wanted]  # f files 2
        starts = parts[..., 0].min(axis=1)  # the files of a frame are adjacent: one read for all of them
        ends = parts.sum(axis=2).max(axis=1)
        if (ends - starts).max() > MAX_MEMBER_BYTES:
            raise ValueError("the files of a frame are not side by side")
        blocks = self._media(row, np.stack([starts, ends - starts], axis=1).tolist())
        frames = np.empty((len(wanted), *self._sizes[row].tolist(), 4), np.uint8)
        for block, start, extents, frame in zip(blocks, starts, parts, frames, strict=True):
            places = [(int(offset - start), int(size)) for offset, size in extents]
            decode_frame([block[offset : offset + size] for offset, size in places], out=frame)
        return frames if order == list(range(len(order))) else frames[order]

    def _media(self, row: int, extents: Sequence[Sequence[int]]) -> list[bytes]:
        """The bytes at the extents; raises ValueError unless the header before each names this sample."""
        blocks = self._pread(row, [(offset - BLOCK, size + BLOCK) for offset, size in extents])
        if not all(is_of_sample(block, self.key(row)) for block in blocks):
            raise ValueError("its media are not where its index says; index the shard again")
        return [block[BLOCK:] for block in blocks]

    def _pread(self, row: int, extents: Sequence[Sequence[int]]) -> list[bytes]:
        try:
            file = os.open(self._tars[self._shard[row]], os.O_RDONLY)
        except OSError as error:
            raise ValueError(f"its shard cannot be opened: {error.strerror}") from error
        try:
            parts = [os.pread(file, size, offset) for offset, size in extents]
        except OSError as error:
            raise ValueError(f"its shard cannot be read: {error.strerror}") from error
        finally:
            os.close(file)
        if any(len(part) != size for part, (_, size) in zip(parts, extents, strict=True)):
            raise ValueError("cut off by the end of the file")
        return parts


def names_member(header: bytes, path: str) -> bool:
    """Whether a tar header may belong to the member `path`.

    Its 100-byte field holds the full name, the last part of it (ustar), or as much of it as fits (GNU, pax), in UTF-8
    or with question marks for non-ASCII characters (pax).
    """
    name = header[:100].split(b"\0")[0].lower()
    for whole in (path.lower().encode(errors="surrogateescape"), path.lower().encode("ascii", "replace")):
        start = whole.removesuffix(name)
        if name and (name == whole[:100] or (start != whole and start[-1:] == b"/")):
            return True
    return False


def is_of_sample(header: bytes, key: str) -> bool:
    """Whether a tar header may belong to a file of the sample `key`; see `names_member`."""
    name, prefix = header[:100].split(b"\0")[0].lower(), header[345:500].split(b"\0")[0].lower()
    for start in (f"{key}.".lower().encode(errors="surrogateescape"), f"{key}.".lower().encode("ascii", "replace")):
        for path in (name, prefix + b"/" + name):
            if path.startswith(start) or (len(name) >= 99 and start.startswith(path)):
                return True
    return False


def find_tars(root: Path) -> list[Path]:
    """The tar files of a folder and its subfolders, sorted; a tar file gives a list of one.

    Raises:
        UserError: no such folder, or none in it.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; fetch or build shards first, e.g. `glassine data fetch fluent`")
    tars = sorted(path for path in root.rglob("*.tar") if path.is_file() and not path.name.startswith("."))
    if not tars:
        raise UserError(f"{root} has no .tar file; fetch or build shards first, e.g. `glassine data fetch fluent`")
    return tars


def shard_folders(root: Path) -> list[Path]:
    """The folders in which a folder's shards lie, itself among them, sorted; a tar file gives a list of one.

    Raises:
        UserError: see `find_tars`.
    """
    return [root] if root.is_file() else sorted({tar.parent for tar in find_tars(root)})


def _listed(damaged: dict[str, str], most: int = 5) -> str:
    shown = [f"{name} ({reason})" for name, reason in list(damaged.items())[:most]]
    return printable(", ".join(shown)) + (f" and {len(damaged) - most} more" if len(damaged) > most else "")
