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
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from glassine.data.codecs import read_sticker
from glassine.data.sticker import SPLITS, Sticker
from glassine.study.site import shortened
from glassine.utils.errors import UserError, printable
from glassine.utils.files import read_plain

MANIFEST_NAME = "manifest.json"
FORMAT = 1
_MOST_PROMPT, _MOST_TEACHER = 80, 40  # letters; both stand in file names
_PROMPT = re.compile(f"[A-Za-z0-9_-]{{1,{_MOST_PROMPT}}}")
_TEACHER = re.compile(f"[A-Za-z0-9_-]{{1,{_MOST_TEACHER}}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_SEED = 2**32 - 1
_SHARED = ("caption", "caption_zh", "still", "group", "split", "source", "licence")


@dataclass(frozen=True)
class Teacher:
    """A network that made clips.

    Attributes:
        weights: SHA-256 of its file of weights, 64 hexadecimal digits.
        recipe: how it was trained, JSON values; not empty.
    """

    weights: str
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class ReviewClip:
    """One clip of one prompt by one teacher.

    Attributes:
        prompt: id, 1 to 80 letters, digits, `-` and `_`.
        caption: English.
        caption_zh: Chinese, or None.
        still: path of the still, relative to the folder, with `/`.
        teacher: name, 1 to 40 letters, digits, `-` and `_`.
        seed: of the sampling.
        file: path of the clip, relative to the folder, with `/`.
        group: of the still; near-duplicates share one, and so a split.
        split: `train`, `val` or `test`.
        source: where the still came from.
        licence: of the still.
    """

    prompt: str
    caption: str
    caption_zh: str | None
    still: str
    teacher: str
    seed: int
    file: str
    group: str
    split: str
    source: str
    licence: str

    @property
    def name(self) -> str:
        """`PROMPT-TEACHER-SEED`, the stem of the file."""
        return f"{self.prompt}-{self.teacher}-{self.seed}"


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
        {str(name): parse_teacher(name, value) for name, value in _mapping(teachers, f"{path}: teachers").items()},
        tuple(_clip(row, number, path) for number, row in enumerate(_list(rows, f"{path}: clips"))),
    )
    check_clips(manifest.clips, manifest.teachers, str(path))
    _check_files(manifest)
    return manifest


def check_settings(frames: Any, size: Sequence[Any], fps: Any, where: str) -> None:
    """Raise UserError where the shape of the clips is not possible."""
    if not _whole(frames) or frames < 2:
        raise UserError(f"{where}: frames must be at least 2, got {frames!r}")
    if len(size) != 2 or not all(_whole(side) and side > 0 for side in size):
        raise UserError(f"{where}: size must be height and width in pixels, got {size!r}")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:
        raise UserError(f"{where}: fps must be in (0, 1000], got {fps!r}")


def parse_teacher(name: object, content: object) -> Teacher:
    """A teacher from JSON values.

    Raises:
        UserError: a name that is not allowed, no digest of its weights, or no recipe.
    """
    if not isinstance(name, str) or not _TEACHER.fullmatch(name):
        raise UserError(
            f"teacher must be named by 1 to {_MOST_TEACHER} letters, digits, '-' and '_', got {str(name)[:60]!r}"
        )
    given = _mapping(content, f"teacher {name}")
    weights, recipe = given.get("weights"), given.get("recipe")
    if not isinstance(weights, str) or not _DIGEST.fullmatch(weights):
        raise UserError(
            f"teacher {name}: weights must be a SHA-256 of 64 hexadecimal digits, got {str(weights)[:80]!r}"
        )
    if not isinstance(recipe, Mapping) or not recipe:
        raise UserError(
            f"teacher {name} must come with its recipe, got {str(recipe)[:80]!r}: without it nobody can tell what was "
            "chosen from; keep config.yaml next to its weights and make the clips again"
        )
    return Teacher(weights, dict(recipe))


def check_clips(clips: Sequence[ReviewClip], teachers: Mapping[str, Teacher], where: str) -> None:
    """Raise UserError where clips do not fit together.

    Every prompt needs as many clips by each teacher; one prompt has one caption, still, group and split, and one group
    is in one split only.
    """
    if not clips:
        raise UserError(f"{where} must have clips, got none: finish `glassine teach`")
    for clip in clips:
        if clip.teacher not in teachers:
            known = ", ".join(teachers) or "none"
            raise UserError(f"{where}: teachers must be among {known}, got {clip.teacher!r} of clip {clip.name}")
    for what, names in (("clips", [clip.name for clip in clips]), ("files", [clip.file for clip in clips])):
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise UserError(f"{where}: {what} must differ, got {name} {count} times")
    first, split_of_group = dict[str, ReviewClip](), dict[str, str]()
    for clip in clips:
        check_prompt(first.setdefault(clip.prompt, clip), clip, where)
        if split_of_group.setdefault(clip.group, clip.split) != clip.split:
            raise UserError(
                f"{where}: group {clip.group!r} must be in one split, got {split_of_group[clip.group]} and {clip.split}"
            )
    counts = Counter((clip.prompt, clip.teacher) for clip in clips)
    for prompt in first:
        most = max(counts[prompt, teacher] for teacher in teachers)
        lacking = [f"{teacher} ({counts[prompt, teacher]})" for teacher in teachers if counts[prompt, teacher] < most]
        if lacking:
            raise UserError(
                f"{where}: prompt {prompt} must have {most} clips by each teacher, got fewer by {shortened(lacking)}: "
                "clips are missing; run `glassine teach` again, which makes those that are"
            )


def check_prompt(one: ReviewClip, other: ReviewClip, where: str) -> None:
    """Raise UserError where two clips of one prompt differ in what is the prompt's."""
    for name in _SHARED:
        got = getattr(one, name), getattr(other, name)
        if got[0] != got[1]:
            raise UserError(f"{where}: prompt {one.prompt} must have one {name}, got {got[0]!r} and {got[1]!r}")


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


def _clip(row: object, number: int, path: Path) -> ReviewClip:
    where = f"{path}: clip {number}"
    given = _mapping(row, where)
    names = {field.name for field in fields(ReviewClip)}
    if lacking := sorted(names - given.keys() - {"caption_zh"}):
        raise UserError(f"{where} must have {', '.join(lacking)}, got {', '.join(sorted(map(str, given)))[:200]}")
    values = {name: given.get(name) for name in names}
    return checked_clip(values, where)


def clip_row(prompt: str, teacher: str, seed: int, about: Mapping[str, Any]) -> dict[str, Any]:
    """A clip as the manifest has it: its files are named by prompt, teacher and seed."""
    files = {"still": f"stills/{prompt}.png", "file": f"clips/{prompt}-{teacher}-{seed}.webp"}
    return {"prompt": prompt, "teacher": teacher, "seed": seed, **about, **files}


def checked_clip(values: Mapping[str, Any], where: str) -> ReviewClip:
    """A clip whose fields have the right types and ranges.

    Raises:
        UserError: they have not, or a path leaves the folder.
    """
    texts = [name for name in values if name not in ("seed", "caption_zh")]
    for name in texts:
        if not isinstance(values[name], str):
            raise UserError(f"{where}: {name} must be text, got {values[name]!r}")
    for name in ("caption", "group"):
        if not values[name].strip():
            raise UserError(f"{where}: {name} must not be empty")
    if values["caption_zh"] is not None and not isinstance(values["caption_zh"], str):
        raise UserError(f"{where}: caption_zh must be text or null, got {values['caption_zh']!r}")
    for name, pattern, most in (("prompt", _PROMPT, _MOST_PROMPT), ("teacher", _TEACHER, _MOST_TEACHER)):
        if not pattern.fullmatch(values[name]):
            raise UserError(
                f"{where}: {name} must be 1 to {most} letters, digits, '-' and '_', got {values[name][:60]!r}"
            )
    if not _whole(values["seed"]) or not 0 <= values["seed"] <= _MOST_SEED:
        raise UserError(f"{where}: seed must be in [0, {_MOST_SEED}], got {values['seed']!r}")
    if values["split"] not in SPLITS:
        raise UserError(f"{where}: split must be one of {', '.join(SPLITS)}, got {values['split']!r}")
    for name in ("still", "file"):
        inside = PurePosixPath(values[name])
        if (
            inside.is_absolute()
            or ".." in inside.parts
            or not inside.parts
            or "\\" in values[name]
            or ":" in values[name]
        ):
            raise UserError(f"{where}: {name} must be a path inside the folder, got {printable(values[name])[:200]!r}")
    return ReviewClip(**values)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where} must be an object, got {type(value).__name__}")
    return value


def _list(value: object, where: str) -> Iterable[Any]:
    if not isinstance(value, list):
        raise UserError(f"{where} must be a list, got {type(value).__name__}")
    return value
