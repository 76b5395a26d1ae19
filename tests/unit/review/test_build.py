"""A review's folder: what annotators get hides who made what."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.taught_clips import FPS, FRAMES, SIDE, add_clips, ball, taught, teachers
from tests.helpers.tiny_review import tiny_review

from glassine.data.codecs import read_sticker
from glassine.review.build import build_review
from glassine.review.clip_writer import ClipWriter
from glassine.review.plan import load_key
from glassine.utils.errors import UserError


def test_the_page_has_every_clip_and_names_no_teacher(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    site = tmp_path / "review" / "site"
    assert load_key(tmp_path / "review") == key
    for clip, about in key.clips.items():
        number = int(key.trials[about.trial].prompt.removeprefix("p"))
        shown = read_sticker(site / "clips" / f"{clip}.webp")
        assert np.array_equal(shown.frames, ball(number, {"calm": 2.0, "lively": 6.0}[about.teacher]))
        assert shown.loop == 0
    texts = [file.read_text() for file in site.glob("*.js")]
    names = [path.name for path in site.rglob("*")]
    for hidden in ("calm", "lively", "ball0", "procedural", "p0"):
        assert not any(hidden in text for text in texts if "window.STUDY" in text)
        assert not any(hidden in name for name in names)


def test_the_captions_of_the_page_have_no_domain_in_front(tmp_path: Path):
    manifest = taught(tmp_path / "clips", prompts=1)
    path = tmp_path / "clips" / "manifest.json"
    path.write_text(path.read_text().replace("a red ball", "Cartoon\\ta red ball"))
    from glassine.review.manifest import load_manifest

    build_review(tmp_path / "review", load_manifest(manifest.folder))
    plan = (tmp_path / "review/site/plan.js").read_text().removeprefix("window.STUDY = ").removesuffix(";\n")
    assert json.loads(plan)["trials"][0]["caption"] == "a red ball"


def test_the_same_clips_and_seed_build_the_same_review(tmp_path: Path):
    manifest = taught(tmp_path / "clips")
    keys = [build_review(tmp_path / name, manifest, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert keys[0].review == keys[1].review != keys[2].review


def test_a_damaged_clip_is_named_and_nothing_is_built(tmp_path: Path):
    manifest = taught(tmp_path / "clips")
    (tmp_path / "clips" / manifest.clips[0].file).write_bytes(b"RIFF")
    with pytest.raises(UserError, match="p0-calm-0"):
        build_review(tmp_path / "review", manifest)
    assert not (tmp_path / "review").exists()


def test_more_clips_than_digits_are_refused(tmp_path: Path):
    with ClipWriter(tmp_path / "clips", FRAMES, (SIDE, SIDE), FPS, teachers("calm")) as writer:
        add_clips(writer, 1, {"calm": 2.0})
        for seed in range(1, 10):
            about = {"caption": "a red ball", "group": "ball0", "split": "train", "caption_zh": "红球"}
            writer.write("p0", "calm", seed, ball(0, 2), ball(0, 0)[0], source="procedural", licence="MIT", **about)
        manifest = writer.finish()
    with pytest.raises(UserError, match="at most 9 clips, one for each digit, got 10 of p0"):
        build_review(tmp_path / "review", manifest)
