"""Folders of clips, used as test sets or as results of methods: sticker files and an optional `prompts.json`."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from glassine.bench.protocols import CaptionedClip, CaptionedSet
from glassine.data.clips import Clips, spread_rows
from glassine.data.codecs import read_sticker
from glassine.data.codecs.io import SUFFIXES
from glassine.data.frame_sampling import Span, sample_frames
from glassine.data.shards import StickerInfo
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain

READABLE = (*SUFFIXES[:-1], ".mp4", ".mkv", ".tgs")
PROMPTS = "prompts.json"


def clip_files(folder: Path) -> list[Path]:
    """The clip files of a folder, sorted by name.

    Raises:
        UserError: the folder is missing, has no clips, or has two files that differ only in their suffix.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} must be a folder of clips, got no such folder")
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in READABLE]
    files = [path for path in files if not path.name.startswith(".")]
    names = [path.stem for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{folder} must hold one clip of each name, got several of {', '.join(twice[:3])}")
    if not files:
        raise UserError(f"{folder} must hold clips ({', '.join(READABLE)}), got none")
    return files


def read_prompts(folder: Path) -> dict[str, str]:
    """Prompts by file stem; empty without `prompts.json`.

    Raises:
        UserError: `prompts.json` cannot be read or is not a mapping.
    """
    file = folder / PROMPTS
    if not file.is_file():
        return {}
    try:
        found = json.loads(read_plain(file))
        return {Path(name).stem if Path(name).suffix.lower() in READABLE else name: str(found[name]) for name in found}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file} must map file names to prompts, got {error}") from error


@lru_cache(maxsize=4)
def opened(path: Path) -> Sticker:
    """A clip; the last few are cached, since each is read several times in a row."""
    return read_sticker(path)


class FolderClips:
    """The clips of a folder, as `glassine.data.clips.Clips`.

    Args:
        files: one per clip.
        captions: by file stem.
        groups: by file stem; a clip without one is its own group.
        fps: see `glassine.data.clips.ShardClips`.
    """

    def __init__(
        self, files: Sequence[Path], captions: Mapping[str, str], groups: Mapping[str, str], fps: float | None = None
    ) -> None:
        self.files, self.captions, self.groups, self.fps = list(files), captions, groups, fps

    def __len__(self) -> int:
        return len(self.files)

    def name(self, row: int) -> str:
        """File name of a clip."""
        return self.files[row].name

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See `Clips`; `epoch` has no effect."""
        stem, sticker = self.files[row].stem, opened(self.files[row])
        span: Span = "start" if self.fps else "part"
        frames, fps = sample_frames(sticker.durations, num_frames, generator, self.fps, span)
        height, width = sticker.frames.shape[1:3]
        domain, tab, text = self.captions.get(stem, "").partition("\t")
        about = {"group": self.groups.get(stem, stem), "description": text if tab else domain, "split": "test"}
        if tab:
            about["domain"] = domain.lower()
        info = StickerInfo.from_json(stem, about, tuple(sticker.durations), width, height)
        return sticker.frames[frames], fps, info


class FolderSet(CaptionedSet):
    """A folder of clips as a test set; by default each clip is its own group.

    Args:
        folder: with clips and, for captions, `prompts.json`, which maps file names to prompts.
        count: maximum number of clips, evenly spread over the folder; None for all.
        size: height and width in pixels.
        num_frames: of each clip, evenly spaced over it.
        paced: see `CaptionedSet`.
        captions: by file stem; they override the folder's prompts.
        groups: by file stem.

    Raises:
        UserError: see `clip_files` and `read_prompts`.
    """

    def __init__(
        self,
        folder: Path,
        count: int | None = None,
        size: int = 128,
        num_frames: int = 8,
        paced: bool = False,
        captions: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        files = clip_files(folder)
        self.files = [files[row] for row in spread_rows(np.arange(len(files)), count)]
        # captions of test clips include the style, which `prompts.json` leaves out, so they take precedence
        self.captions, self.groups_of_files = {**read_prompts(folder), **(captions or {})}, dict(groups or {})
        self.name, self.title, self.split, self.root = folder.name, folder.name, "test", str(folder)
        self.size, self.num_frames, self.paced = size, num_frames, paced
        self.dataset = self.samples()

    def _part(self, fps: float | None) -> Clips:
        return FolderClips(self.files, self.captions, self.groups_of_files, fps)

    def training_clips(self, count: int) -> list[CaptionedClip]:
        """Not supported.

        Raises:
            UserError: always, since a folder has no training split.
        """
        raise UserError(f"{self.root} must be a folder of shards to have a training split, got clips")

    @property
    def digest(self) -> str:
        """Hash of the names and contents of all files."""
        state = hashlib.blake2b(digest_size=6)
        for path in self.files:
            state.update(path.name.encode() + path.read_bytes())
        return state.hexdigest()


def matching(stems: Sequence[str], keys: Mapping[str, str]) -> dict[str, str]:
    """Match generated clips to test clips by name, ignoring a number at the end (`NAME-1`).

    Args:
        stems: file stems of the generated clips.
        keys: file name of each test clip to its key.

    Returns:
        File stem to the key of the test clip; unmatched stems are left out.
    """
    found = {}
    for stem in stems:
        name = stem if stem in keys else re.sub(r"-\d+$", "", stem)
        if name in keys:
            found[stem] = keys[name]
    return found
