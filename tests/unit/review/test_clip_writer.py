"""The writer of a folder of clips: it goes on where it was, and nothing that does not fit is written."""

from pathlib import Path
from typing import Any

import pytest
from tests.helpers.taught_clips import FPS, FRAMES, SIDE, add_clips, ball, taught, teachers

from glassine.review.clip_writer import ClipWriter
from glassine.utils.errors import UserError


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
