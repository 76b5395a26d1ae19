"""A folder of clips: what is read is what was written, and what does not fit together is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers.taught_clips import FPS, FRAMES, SIDE, add_clips, ball, taught, teachers

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.review.clip_writer import ClipWriter
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
        ({"teachers": {"calm": {"weights": "a", "recipe": {"a": 1}}}}, "weights must be a SHA-256"),
        ({"clip0": {"file": "../outside.webp"}}, "file must be a path inside the folder"),
        ({"clip0": {"still": "/etc/passwd"}}, "still must be a path inside the folder"),
        ({"clip0": {"file": "C:\\clip.webp"}}, "file must be a path inside the folder"),
        ({"clip0": {"seed": -1}}, "seed must be in"),
        ({"clip0": {"split": "all"}}, "split must be one of train, val, test"),
        ({"clip0": {"caption": "another"}}, "prompt p0 must have one caption"),
        ({"clip0": {"prompt": "p9"}}, "prompt p9 must have 1 clips by each teacher, got fewer by lively"),
        ({"clip0": {"file": "clips/p0-lively-0.webp"}}, "files must differ"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, values: dict[str, Any], says: str):
    taught(tmp_path / "clips")
    change(tmp_path / "clips", **values)
    with pytest.raises(UserError, match=says):
        load_manifest(tmp_path / "clips")


def test_a_group_has_one_split(tmp_path: Path):
    taught(tmp_path / "clips", prompts=2)
    path = tmp_path / "clips" / "manifest.json"
    content = json.loads(path.read_text())
    for clip in content["clips"]:
        clip["group"] = "ball"
        clip["split"] = "train" if clip["prompt"] == "p0" else "test"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="group 'ball' must be in one split"):
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


def test_a_writer_goes_on_where_a_killed_one_stopped(tmp_path: Path):
    folder, steps = tmp_path / "clips", {"calm": 2.0, "lively": 6.0}
    with ClipWriter(folder, FRAMES, (SIDE, SIDE), FPS, teachers(*steps)) as writer:
        add_clips(writer, 1, steps)
    with (folder / "clips.jsonl").open("ab") as file:
        file.write(b'{"prompt": "p1", "teach')  # it was killed while it wrote this line
    (folder / "clips" / "p0-lively-0.webp").unlink()
    with ClipWriter(folder, FRAMES, (SIDE, SIDE), FPS, teachers(*steps)) as writer:
        assert writer.has("p0", "calm", 0)
        assert not writer.has("p0", "lively", 0)
        add_clips(writer, 2, steps)
        assert len(writer.finish().clips) == 4


def test_a_manifest_is_written_only_when_all_clips_are_there(tmp_path: Path):
    with ClipWriter(tmp_path / "clips", FRAMES, (SIDE, SIDE), FPS, teachers("calm", "lively")) as writer:
        add_clips(writer, 2, {"calm": 2.0})
        with pytest.raises(UserError, match="clips are missing"):
            writer.finish()
        assert not (tmp_path / "clips" / "manifest.json").exists()
        add_clips(writer, 2, {"lively": 4.0})
        assert len(writer.finish().clips) == 4


def test_a_folder_of_another_teacher_of_that_name_is_refused(tmp_path: Path):
    taught(tmp_path / "clips", calm=2.0)
    other = {"calm": {"weights": "f" * 64, "recipe": {"data": "calm"}}}
    with pytest.raises(UserError, match="another teacher calm"):
        ClipWriter(tmp_path / "clips", FRAMES, (SIDE, SIDE), FPS, other)
    with pytest.raises(UserError, match="frames 6, got 8"):
        ClipWriter(tmp_path / "clips", 8, (SIDE, SIDE), FPS, teachers("calm"))
    with pytest.raises(UserError, match="must come with its recipe"):
        ClipWriter(tmp_path / "new", FRAMES, (SIDE, SIDE), FPS, {"calm": {"weights": "a" * 64, "recipe": {}}})


def test_a_wrong_clip_leaves_no_trace(tmp_path: Path):
    about: dict[str, Any] = {"caption": "a ball", "group": "ball", "split": "train"}
    with ClipWriter(tmp_path / "clips", FRAMES, (SIDE, SIDE), FPS, teachers("calm")) as writer:
        with pytest.raises(UserError, match="must all have 6 frames, got 4"):
            writer.write("p0", "calm", 0, ball(0, 2, frames=4), ball(0, 0)[0], **about)
        with pytest.raises(UserError, match="must all be 32 x 32 pixels"):
            writer.write("p0", "calm", 0, ball(0, 2, side=16), ball(0, 0)[0], **about)
        with pytest.raises(UserError, match="prompt must be 1 to 80 letters"):
            writer.write("../p0", "calm", 0, ball(0, 2), ball(0, 0)[0], **about)
        assert not list((tmp_path / "clips" / "clips").iterdir())


def test_what_would_overwrite_or_mix_clips_is_refused_before_it_is_written(tmp_path: Path):
    about = {"caption": "a ball", "group": "ball", "split": "train"}
    with ClipWriter(
        tmp_path, FRAMES, (SIDE, SIDE), FPS, {**teachers("calm"), "b-calm": teachers("calm")["calm"]}
    ) as one:
        one.write("a", "b-calm", 0, ball(0, 2), ball(0, 0)[0], **about)
        with pytest.raises(UserError, match="files of clips must differ"):
            one.write("a-b", "calm", 0, ball(1, 2), ball(1, 0)[0], **about)
        with pytest.raises(UserError, match="prompt a must have one caption"):
            one.write("a", "calm", 0, ball(0, 2), ball(0, 0)[0], **about | {"caption": "another ball"})
        with pytest.raises(UserError, match="must be the still of a, got another picture"):
            one.write("a", "calm", 0, ball(0, 2), ball(1, 0)[0], **about)
        one.write("a", "calm", 0, ball(0, 2), ball(0, 0)[0], **about)
        assert len(one.finish().clips) == 2


def test_a_damaged_clip_is_made_again(tmp_path: Path):
    manifest = taught(tmp_path, 1)
    (tmp_path / manifest.clips[0].file).write_bytes(b"nothing")
    with ClipWriter(tmp_path, FRAMES, (SIDE, SIDE), FPS, teachers("calm", "lively")) as writer:
        found = [writer.has(clip.prompt, clip.teacher, clip.seed) for clip in manifest.clips]
    assert found == [False, True]
