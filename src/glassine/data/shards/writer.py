"""Write shards in the fast form: streamed, renamed when complete, and resumable."""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from glassine.data.shards.frames import FRAME_CODECS, cap_fps, encode_frame, fit_size
from glassine.data.shards.index import IndexedSample, ShardIndex, build_index, index_path, load_index
from glassine.data.shards.info import StickerInfo
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError, output_error
from glassine.utils.files import remove_leftovers, sole_writer, temporary_path

_BLOCK = 512
_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True)
class ShardFormat:
    """Storage settings for stickers.

    Attributes:
        codec: one of :data:`FRAME_CODECS`.
        quality: 0 to 100, for the lossy codecs.
        fps: maximum frames per second, sampled by time; None keeps all.
        size: maximum longer side in pixels; None keeps the size.
    """

    codec: str = "jpeg+alpha"
    quality: int = 92
    fps: float | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        """Raise UserError for invalid settings."""
        if self.codec not in FRAME_CODECS:
            raise UserError(f"frame codec must be one of {', '.join(FRAME_CODECS)}, got {self.codec!r}")
        if not 0 <= self.quality <= 100:
            raise UserError(f"quality must be in [0, 100], got {self.quality}")
        if self.fps is not None and self.fps <= 0:
            raise UserError(f"fps must be above 0, or None to keep all frames, got {self.fps:g}")
        if self.size is not None and self.size < 1:
            raise UserError(f"size must be at least 1, or None to keep it, got {self.size}")


@dataclass(frozen=True)
class EncodedSticker:
    """A sticker as bytes, ready for a tar file and small enough to send between processes.

    Attributes:
        info: its metadata, with durations and size after resampling.
        files: member suffix (after the key and a dot) -> bytes, in the order of writing.
    """

    info: StickerInfo
    files: dict[str, bytes]


def encode_sticker(
    key: str, sticker: Sticker, info: Mapping[str, Any], how: ShardFormat | None = None
) -> EncodedSticker:
    """Resample and encode one sticker.

    Args:
        key: letters, digits, ``-`` and ``_``.
        sticker: frames and timing.
        info: metadata, any fields of :class:`StickerInfo`; timing and size come from the sticker.
        how: see :class:`ShardFormat`.

    Raises:
        UserError: an invalid key or setting.
    """
    how = how or ShardFormat()
    if not _KEY.fullmatch(key):
        raise UserError(f"key must be 1 to 80 letters, digits, '-' and '_', got {key!r}")
    sticker = fit_size(cap_fps(sticker, how.fps), how.size)
    about = StickerInfo.from_json(key, {**info, "loop": sticker.loop}, sticker.durations, sticker.width, sticker.height)
    files = {"json": json.dumps(about.as_json(), ensure_ascii=False).encode()}
    for number, frame in enumerate(sticker.frames):
        for suffix, data in encode_frame(frame, how.codec, how.quality).items():
            files[f"{number:03d}.{suffix}"] = data
    return EncodedSticker(about, files)


class ShardWriter:
    """Writes `shard-000000.tar`, `shard-000001.tar`, ... with an index next to each; a context manager.

    A shard gets its name when it is complete, and its index just before that: whatever happens, every `.tar` in the
    folder is complete. A writer on a folder with existing shards continues after them and knows their keys.

    Args:
        folder: created if missing.
        how: see :class:`ShardFormat`; must equal the settings of the folder's existing shards.
        max_bytes: a shard is closed when it exceeds this; an interrupted run loses at most one shard.

    Attributes:
        keys: keys of complete samples, including earlier runs.
        damaged: ``"shard:key"`` -> reason, for damage in the shards of earlier runs.

    Raises:
        UserError: an unusable folder, one whose shards were made with other settings, or one that another process is
            writing to.
    """

    def __init__(self, folder: Path | str, how: ShardFormat | None = None, max_bytes: int = 128 * 2**20) -> None:
        self.folder = Path(folder)
        self.how = how or ShardFormat()
        self.max_bytes = max_bytes
        self.keys: set[str] = set()
        self.damaged: dict[str, str] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be created: {error.strerror}; choose another folder") from error
        self._settings = json.loads(json.dumps(asdict(self.how)))
        self._lock = ExitStack()
        self._lock.enter_context(sole_writer(self.folder, "shards"))
        try:
            finished = sorted(self.folder.glob("shard-*.tar"))
            for tar in finished:
                self._adopt(tar)
        except BaseException:
            self._lock.close()
            raise
        self._number = 1 + max((int(tar.stem[6:]) for tar in finished if tar.stem[6:].isdigit()), default=-1)
        self._tar: tarfile.TarFile | None = None
        self._temporary = self.folder
        self._index = ShardIndex()

    def _adopt(self, tar: Path) -> None:
        try:
            index = load_index(tar)
        except (FileNotFoundError, ValueError):
            index = build_index(tar)
            index.settings = self._settings
            index.save(index_path(tar))
        self.damaged.update({f"{tar.name}:{key}": reason for key, reason in index.damaged.items()})
        if index.settings != self._settings:
            raise UserError(f"{tar} was made with {index.settings}, not {self._settings}; choose another folder")
        self.keys.update(sample.key for sample in index.samples)

    def write(self, key: str, sticker: Sticker, info: Mapping[str, Any]) -> None:
        """Encode and append one sticker, see :func:`encode_sticker`. Duplicate keys are an error."""
        self.append(encode_sticker(key, sticker, info, self.how))

    def append(self, encoded: EncodedSticker) -> None:
        """Append one sticker encoded by another process.

        Raises:
            UserError: its key already exists, or the disk is full.
        """
        info = encoded.info
        if info.key in self.keys:
            raise UserError(f"keys must differ within a dataset, got {info.key!r} twice")
        try:
            extents = {suffix: self._add(f"{info.key}.{suffix}", data) for suffix, data in encoded.files.items()}
        except OSError as error:
            raise output_error(self.folder, error) from error
        where = extents.pop("json")
        self._index.samples.append(
            IndexedSample(
                info.key,
                info.group,
                info.split,
                info.durations,
                info.width,
                info.height,
                where,
                tuple(extents.values()),
            )
        )
        self.keys.add(info.key)
        if self._tar is not None and self._tar.offset >= self.max_bytes:
            self._finish_shard()

    def _add(self, name: str, data: bytes) -> tuple[int, int]:
        if self._tar is None:
            remove_leftovers(self.folder, f"shard-{self._number:06d}", ".part")
            self._temporary = temporary_path(self.folder, f"shard-{self._number:06d}", ".part")
            self._tar = tarfile.open(self._temporary, "w")  # noqa: SIM115 (closed by _finish_shard)
            self._index = ShardIndex(settings=self._settings)
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        return self._tar.offset - -(-len(data) // _BLOCK) * _BLOCK, len(data)

    def _finish_shard(self) -> None:
        if self._tar is None:
            return
        target = self.folder / f"shard-{self._number:06d}.tar"
        try:
            self._tar.close()
            self._index.tar_bytes = self._temporary.stat().st_size
            self._index.save(index_path(target))
            self._temporary.rename(target)
        except OSError as error:
            self._discard_shard()
            raise output_error(target, error) from error
        except UserError:
            self._discard_shard()
            raise
        self._tar = None
        self._number += 1

    def _discard_shard(self) -> None:
        if self._tar is None:
            return
        with suppress(OSError):  # a full disk cannot store the end mark either
            self._tar.close()
        self._tar = None
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the last shard, even when interrupted; after an error it is dropped and earlier ones are kept."""
        with self._lock:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self._finish_shard()
            else:
                self._discard_shard()
