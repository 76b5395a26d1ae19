"""A folder of clips: what is read is what was written, and what does not fit together is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers.taught_clips import FPS, FRAMES, SIDE, ball, taught

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.review.manifest import load_manifest
from glassine.utils.errors import UserError


def change(folder: Path, **values: Any) -> None:
    """Change fields of the manifest; `clip0` those of its first clip."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["clips"][0] |= values.pop("clip0", {})
    path.write_text(json.dumps(content | values))


def test_what_was_written_is_read(tmp_path: Path):
    taught(tmp_path / "clips", prompts=2)
    read = load_manifest(tmp_path / "clips")
    assert (read.frames, read.size, read.fps) == (FRAMES, (SIDE, SIDE), FPS)
    assert read.teachers["calm"].recipe == {"data": "calm", "fps": 12}
    assert [clip.name for clip in read.prompts()["p0"]] == ["p0-calm-0", "p0-lively-0"]
    assert np.array_equal(read.read(read.clips[0]).frames, ball(0, 2.0))
    assert read.clips[0].caption_zh == "红球"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": 2}, "format must be 1, got 2"),
        ({"frames": 1}, "frames must be at least 2, got 1"),
        ({"size": [8]}, "must have frames, size"),
        ({"fps": 0}, "fps must be in"),
        ({"clips": []}, "must have clips, got none"),
        ({"clip0": {"teacher": "other"}}, "teachers must be among calm, lively, got 'other'"),
        ({"teachers": {"calm": {"weights": "a" * 64}, "lively": {}}}, "teacher calm must come with its recipe"),
        ({"clip0": {"file": "../outside.webp"}}, "file must be a path inside the folder"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, values: dict[str, Any], says: str):
    taught(tmp_path / "clips")
    change(tmp_path / "clips", **values)
    with pytest.raises(UserError, match=says):
        load_manifest(tmp_path / "clips")


def test_missing_files_are_named(tmp_path: Path):
    taught(tmp_path / "clips", prompts=4)
    for number in range(4):
        (tmp_path / "clips" / "clips" / f"p{number}-calm-0.webp").unlink()
    with pytest.raises(UserError, match=r"lacks 4 files .*p0-calm-0.webp, .* and 1 more"):
        load_manifest(tmp_path / "clips")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    taught(tmp_path / "clips")
    clip = tmp_path / "clips" / "clips" / "p0-calm-0.webp"
    clip.rename(tmp_path / "elsewhere.webp")
    clip.symlink_to(tmp_path / "elsewhere.webp")
    with pytest.raises(UserError, match="must stay in its folder"):
        load_manifest(tmp_path / "clips")


def test_a_clip_of_another_length_is_told(tmp_path: Path):
    manifest = taught(tmp_path / "clips")
    write_sticker(Sticker(ball(0, 2, frames=5), (83,) * 5), tmp_path / "clips" / manifest.clips[0].file)
    with pytest.raises(UserError, match=r"must all have 6 frames, got 5 in clips/p0-calm-0.webp"):
        manifest.read(manifest.clips[0])
