"""Write the folder that people review: clips one by one, then the manifest; a run that was killed goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.codecs.timing import whole_durations
from glassine.data.sticker import Sticker
from glassine.review.clips import ReviewClip, Teacher, check_clips, check_prompt, checked_clip, clip_row, parse_teacher
from glassine.review.manifest import FORMAT, MANIFEST_NAME, Manifest, check_settings, check_shape, load_manifest
from glassine.utils.errors import UserError, output_error
from glassine.utils.files import atomic_path, read_plain, sole_writer
from glassine.utils.json_lines import append_lines, parse_line

STARTED_NAME = "started.json"  # the settings and teachers of a folder that is being written
JOURNAL_NAME = "clips.jsonl"  # a line for every finished clip


class ClipWriter:
    """Writes clips of prompts by teachers, and the manifest when all are there; a context manager.

    A clip is in the journal once its file is complete, and both are on the disk when `write` returns. A writer on a
    folder that an earlier run left knows what is there (`has`); it refuses other settings, and other weights or
    recipes under the name of a teacher that has clips there. Teachers and prompts may be added::

        with ClipWriter(folder, 8, (64, 64), 12.0, {"fast": {"weights": sha256, "recipe": {...}}}) as writer:
            for prompt in prompts:
                if not writer.has(prompt.id, "fast", seed=0):
                    writer.write(prompt.id, "fast", 0, frames, still, caption="a cat", group="cat", split="train")
            writer.finish()

    Args:
        folder: made if it does not exist.
        frames: of every clip, at least 2.
        size: height and width of every clip, pixels.
        fps: of every clip.
        teachers: name to `weights` (SHA-256) and `recipe`, or `Teacher`.

    Raises:
        UserError: a setting out of range, a teacher without its recipe, a folder of other settings, or one that
            another process is writing to.
    """

    def __init__(
        self,
        folder: Path,
        frames: int,
        size: tuple[int, int],
        fps: float,
        teachers: Mapping[str, Mapping[str, Any] | Teacher],
    ) -> None:
        self.folder = Path(folder)
        check_settings(frames, size, fps, str(folder))
        if not teachers:
            raise UserError("teachers must be at least one, got none")
        given = {name: asdict(one) if isinstance(one, Teacher) else dict(one) for name, one in teachers.items()}
        # as they will be read, for instance lists for tuples
        given = _as_json(given, "recipes of teachers")
        self._frames, self._size, self._fps = frames, (int(size[0]), int(size[1])), float(fps)
        self._teachers = {name: parse_teacher(name, one) for name, one in given.items()}
        self._lock = ExitStack()
        try:
            for part in ("clips", "stills"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        self._lock.enter_context(sole_writer(self.folder, "these clips"))
        try:
            self._clips = self._known_clips()
            self._start()
        except BaseException:
            self._lock.close()
            raise

    def has(self, prompt: str, teacher: str, seed: int) -> bool:
        """Whether that clip is finished."""
        return (prompt, teacher, seed) in self._clips

    def write(
        self,
        prompt: str,
        teacher: str,
        seed: int,
        clip: Sticker | np.ndarray,
        still: np.ndarray,
        *,
        caption: str,
        group: str,
        split: str,
        caption_zh: str | None = None,
        source: str = "",
        licence: str = "",
    ) -> None:
        """Write one clip and, with the first clip of a prompt, its still.

        Args:
            prompt: id, 1 to 80 letters, digits, `-` and `_`.
            teacher: one of the writer's.
            seed: of the sampling.
            clip: a sticker of the writer's settings, or its frames `f h w 4` uint8, straight RGBA.
            still: `h w 4` uint8, straight RGBA, of any size.
            caption: English.
            group: of the still.
            split: of the group.
            caption_zh: Chinese.
            source: where the still came from.
            licence: of the still.

        Raises:
            UserError: values out of range, another length or size than the writer's, a clip that is there already, or
                a disk that is full.
        """
        if teacher not in self._teachers:
            raise UserError(f"teacher must be one of {', '.join(self._teachers)}, got {teacher!r}")
        name = f"{prompt}-{teacher}-{seed}"
        about = {
            "caption": caption,
            "caption_zh": caption_zh,
            "group": group,
            "split": split,
            "source": source,
            "licence": licence,
        }
        row = checked_clip(clip_row(prompt, teacher, seed, about), f"clip {name}")
        if self.has(prompt, teacher, seed):
            raise UserError(f"clips must differ, got {name} twice: ask `has` first")
        for other in self._clips.values():
            if other.file == row.file:  # of names with hyphens
                raise UserError(f"files of clips must differ, got {row.file} of {other.prompt} by {other.teacher}, too")
            if other.prompt == prompt:
                check_prompt(other, row, str(self.folder))
        self.check_still(prompt, still)
        if not isinstance(clip, Sticker):
            clip = Sticker(clip, whole_durations([Fraction(1000) / Fraction(self._fps)] * len(clip), 1))
        check_shape(clip, self._frames, self._size, self._fps, row.name)
        if row.still not in {one.still for one in self._clips.values()}:
            write_sticker(Sticker(still[None], (100,)), self.folder / row.still)
        write_sticker(clip, self.folder / row.file)
        try:
            append_lines(self.folder / JOURNAL_NAME, [row])
        except OSError as error:
            raise output_error(self.folder / JOURNAL_NAME, error) from error
        self._clips[prompt, teacher, seed] = row

    def check_still(self, prompt: str, still: np.ndarray) -> None:
        """Raise UserError if the folder has clips of that prompt around another still, `h w 4` uint8."""
        path = self.folder / f"stills/{prompt}.png"
        if any(prompt == known for known, *_ in self._clips) and not _same(read_sticker(path).frames[0], still):
            raise UserError(f"{path} must be the still of {prompt}, got another picture: choose another folder")

    def finish(self) -> Manifest:
        """Write the manifest.

        Raises:
            UserError: clips are missing or do not fit together; what is there stays.
        """
        manifest = Manifest(
            self.folder,
            self._frames,
            self._size,
            self._fps,
            self._teachers,
            tuple(sorted(self._clips.values(), key=lambda clip: (clip.prompt, clip.teacher, clip.seed))),
        )
        check_clips(manifest.clips, manifest.teachers, str(self.folder))
        with atomic_path(self.folder / MANIFEST_NAME) as path:
            path.write_text(json.dumps(manifest.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return load_manifest(self.folder)

    def _known_clips(self) -> dict[tuple[str, str, int], ReviewClip]:
        """What the journal of earlier runs names and is there; a line cut off by a crash is a clip to be made again."""
        path = self.folder / JOURNAL_NAME
        found = dict[tuple[str, str, int], ReviewClip]()
        for line in read_plain(path).splitlines() if path.is_file() else []:
            content = parse_line(line)
            try:
                clip = checked_clip(content, JOURNAL_NAME) if content is not None else None
            except (UserError, KeyError, TypeError):
                continue
            if clip is not None and self._readable(clip.file) and self._readable(clip.still):
                found[clip.prompt, clip.teacher, clip.seed] = clip
        return found

    def _readable(self, file: str) -> bool:
        try:
            return bool(read_sticker(self.folder / file).num_frames)
        except UserError:  # missing or damaged: to be made again
            return False

    def _start(self) -> None:
        """Compare the settings with those of the folder's clips, and keep them."""
        path = self.folder / STARTED_NAME
        ours: dict[str, Any] = {
            "format": FORMAT,
            "frames": self._frames,
            "size": list(self._size),
            "fps": self._fps,
            "teachers": {name: asdict(teacher) for name, teacher in self._teachers.items()},
        }
        if path.is_file():
            try:
                theirs = json.loads(read_plain(path))
                before = {name: theirs[name] for name in ("format", "frames", "size", "fps")}
                teachers = dict(theirs["teachers"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} is damaged ({error!r}): choose another folder") from error
            for name, value in before.items():
                if self._clips and value != ours[name]:
                    raise UserError(
                        f"{self.folder} has clips of {name} {value}, got {ours[name]}: choose another folder"
                    )
            made = {teacher for _, teacher, _ in self._clips}
            for name in sorted(made & teachers.keys()):
                if name not in self._teachers:
                    raise UserError(
                        f"{self.folder} has clips by teacher {name}, which is not given: give it too, or choose "
                        "another folder"
                    )
                if teachers[name] != ours["teachers"][name]:
                    raise UserError(
                        f"{self.folder} has clips by another teacher {name}, of other weights or another recipe: "
                        "choose another name or another folder"
                    )
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(ours, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures `h w 4` look the same."""
    return one.shape == other.shape and bool(((one == other).all(axis=-1) | ((one[..., 3] | other[..., 3]) == 0)).all())


def _as_json(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} must be JSON values, got {error}") from error
    return content
