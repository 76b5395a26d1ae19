"""Folders of clips, as test sets and as what methods have made: sticker files, and `prompts.json` beside them."""

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
    """The clips of a folder by name; UserError where there are none, or two of one name."""
    if not folder.is_dir():
        raise UserError(f"{folder} must be a folder of clips, got none there")
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in READABLE]
    files = [path for path in files if not path.name.startswith(".")]
    names = [path.stem for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{folder} must hold one clip of each name, got several of {', '.join(twice[:3])}")
    if not files:
        raise UserError(f"{folder} must hold clips ({', '.join(READABLE)}), got none")
    return files


def read_prompts(folder: Path) -> dict[str, str]:
    """Prompts by the files' stems; none without `prompts.json`. UserError where it is not a mapping of texts."""
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
    """A clip, read once for a few uses."""
    return read_sticker(path)


class FolderClips:
    """See `glassine.data.clips.Clips`: the clips of a folder.

    Args:
        files: of the clips.
        captions: by the files' stems.
        groups: likewise; a clip without one is of its own.
        fps: see `glassine.data.clips.ShardClips`.
    """

    def __init__(
        self, files: Sequence[Path], captions: Mapping[str, str], groups: Mapping[str, str], fps: float | None = None
    ) -> None:
        self.files, self.captions, self.groups, self.fps = list(files), captions, groups, fps

    def __len__(self) -> int:
        return len(self.files)

    def name(self, row: int) -> str:
        """The file's name."""
        return self.files[row].name

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See `Clips`; the same in every epoch."""
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
    """A folder of clips as a test set; each clip is a group of its own.

    Args:
        folder: with clips, and where captions are wanted `prompts.json`, which maps file names to prompts.
        count: most clips, evenly spread; None for all.
        size: height and width in pixels.
        num_frames: of each clip, evenly spaced over it.
        paced: see `CaptionedSet`.
        captions: by the files' stems, laid over the folder's own prompts.
        groups: by the files' stems.

    Raises:
        UserError: no clips there.
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
        # the names of test clips stand for their captions, style and all, which prompts of a study leave out
        self.captions, self.groups_of_files = {**read_prompts(folder), **(captions or {})}, dict(groups or {})
        self.name, self.title, self.split, self.root = folder.name, folder.name, "test", str(folder)
        self.size, self.num_frames, self.paced = size, num_frames, paced
        self.dataset = self.samples()

    def _part(self, fps: float | None) -> Clips:
        return FolderClips(self.files, self.captions, self.groups_of_files, fps)

    def training_clips(self, count: int) -> list[CaptionedClip]:
        """A folder has no training split: UserError."""
        raise UserError(f"{self.root} must be a folder of shards to have a training split, got clips")

    @property
    def digest(self) -> str:
        """Changes with any file."""
        state = hashlib.blake2b(digest_size=6)
        for path in self.files:
            state.update(path.name.encode() + path.read_bytes())
        return state.hexdigest()


def matching(stems: Sequence[str], keys: Mapping[str, str]) -> dict[str, str]:
    """The test clip that each made one belongs to: that of its name, or of its name without a number at the end.

    Args:
        stems: of the made clips' files.
        keys: names of files to the keys of the test clips.
    """
    found = {}
    for stem in stems:
        name = stem if stem in keys else re.sub(r"-\d+$", "", stem)
        if name in keys:
            found[stem] = keys[name]
    return found
