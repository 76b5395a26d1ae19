"""What teachers made for people to review: a folder of clips and stills with a manifest, and its reader.

`glassine teach` writes such a folder through `glassine.review.clip_writer.ClipWriter`; `glassine review build` reads
it. `manifest.json` is::

    {"format": 1, "frames": F, "size": [H, W], "fps": float,
     "teachers": {name: {"weights": sha256, "recipe": {...}}},
     "clips": [{"prompt": id, "caption": str, "caption_zh": str or null, "still": "stills/<id>.png", "teacher": name,
                "seed": int, "file": "clips/<id>-<teacher>-<seed>.webp", "group": str,
                "split": "train" | "val" | "test", "source": str, "licence": str}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glassine.data.codecs import read_sticker
from glassine.data.sticker import Sticker
from glassine.review.clips import ReviewClip, Teacher, as_mapping, check_clips, is_whole, parse_clip, parse_teacher
from glassine.study.site import shortened
from glassine.utils.errors import UserError, printable
from glassine.utils.files import read_plain

MANIFEST_NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A checked manifest.

    Attributes:
        folder: that it lies in.
        frames: of every clip.
        size: height and width of every clip, pixels.
        fps: of every clip.
        teachers: by name.
        clips: in the manifest's order.
    """

    folder: Path
    frames: int
    size: tuple[int, int]
    fps: float
    teachers: Mapping[str, Teacher]
    clips: tuple[ReviewClip, ...]

    def prompts(self) -> dict[str, tuple[ReviewClip, ...]]:
        """The clips of each prompt, in the manifest's order."""
        found = dict[str, list[ReviewClip]]()
        for clip in self.clips:
            found.setdefault(clip.prompt, []).append(clip)
        return {prompt: tuple(clips) for prompt, clips in found.items()}

    def as_json(self) -> dict[str, Any]:
        """The content of `manifest.json`."""
        return {
            "format": FORMAT,
            "frames": self.frames,
            "size": list(self.size),
            "fps": self.fps,
            "teachers": {name: asdict(teacher) for name, teacher in self.teachers.items()},
            "clips": [asdict(clip) for clip in self.clips],
        }

    def read(self, clip: ReviewClip) -> Sticker:
        """A clip's frames.

        Raises:
            UserError: the file is damaged, or has another length or size than the manifest says.
        """
        sticker = read_sticker(self.folder / clip.file)
        check_shape(sticker, self.frames, self.size, self.fps, clip.file)
        return sticker


def check_shape(sticker: Sticker, frames: int, size: tuple[int, int], fps: float, name: str) -> None:
    """Raise UserError where a clip has another length or size: side by side, that would give its teacher away."""
    if sticker.num_frames != frames:
        raise UserError(
            f"clips of a review must all have {frames} frames, got {sticker.num_frames} in {name}: make it again"
        )
    if (sticker.height, sticker.width) != tuple(size):
        raise UserError(
            f"clips of a review must all be {size[0]} x {size[1]} pixels (height x width), got {sticker.height} x "
            f"{sticker.width} in {name}: make it again"
        )
    wanted = 1000 * frames / fps
    if abs(sticker.duration_ms - wanted) > frames:  # formats round each frame to whole milliseconds
        raise UserError(
            f"clips of a review must all last {wanted:.0f} ms ({fps:g} frames a second), got {sticker.duration_ms} ms "
            f"in {name}: make it again"
        )


def load_manifest(folder: Path) -> Manifest:
    """Read and check a folder of clips; the clips are decoded later, by `Manifest.read`.

    Raises:
        UserError: no manifest, not JSON, another format, values out of range, a teacher that is unknown or has no
            recipe, clips that are missing or come twice, or paths that leave the folder.
    """
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(read_plain(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} must be the manifest of a folder of clips, got {printable(str(error))}: finish `glassine teach`, "
            "or give the folder that it wrote"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: format must be {FORMAT}, got {got!r}: make the clips with this version of glassine")
    try:
        frames, fps = content["frames"], content["fps"]
        height, width = content["size"]
        teachers, rows = content["teachers"], content["clips"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} must have frames, size, fps, teachers and clips, got {error!r}") from error
    check_settings(frames, (height, width), fps, str(path))
    manifest = Manifest(
        folder,
        frames,
        (height, width),
        float(fps),
        {str(name): parse_teacher(name, value) for name, value in as_mapping(teachers, f"{path}: teachers").items()},
        tuple(parse_clip(row, number, path) for number, row in enumerate(_list(rows, f"{path}: clips"))),
    )
    check_clips(manifest.clips, manifest.teachers, str(path))
    _check_files(manifest)
    return manifest


def check_settings(frames: Any, size: Sequence[Any], fps: Any, where: str) -> None:
    """Raise UserError where the shape of the clips is not possible."""
    if not is_whole(frames) or frames < 2:
        raise UserError(f"{where}: frames must be at least 2, got {frames!r}")
    if len(size) != 2 or not all(is_whole(side) and side > 0 for side in size):
        raise UserError(f"{where}: size must be height and width in pixels, got {size!r}")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:
        raise UserError(f"{where}: fps must be in (0, 1000], got {fps!r}")


def _check_files(manifest: Manifest) -> None:
    root = manifest.folder.resolve()
    missing = list[str]()
    for name in dict.fromkeys(name for clip in manifest.clips for name in (clip.still, clip.file)):
        path = manifest.folder / name
        if not path.resolve().is_relative_to(root):
            raise UserError(f"paths of a manifest must stay in its folder, got {printable(name)}, which is a link out")
        if not path.is_file():
            missing.append(name)
    if missing:
        raise UserError(
            f"{manifest.folder} lacks {len(missing)} files of its manifest: {shortened(missing)}; copy them there, or "
            "run `glassine teach` again, which makes the clips that are missing"
        )


def _list(value: object, where: str) -> Iterable[Any]:
    if not isinstance(value, list):
        raise UserError(f"{where} must be a list, got {type(value).__name__}")
    return value
