"""From folders of stickers to a study."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.tiny_study import read_plan, square, tiny_study, write_methods

from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker
from glassine.study.build import StudyDesign, build_study, clip_names, parse_backgrounds, write_clip
from glassine.study.plan import load_key
from glassine.study.site import match_items
from glassine.utils.errors import UserError


def test_nothing_that_raters_get_names_a_method_or_a_file(tmp_path: Path):
    key = tiny_study(tmp_path, ("secretmethod", "otherway"), checks=2)
    site = tmp_path / "study" / "site"
    for path in site.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for word in (b"secretmethod", b"otherway", b"item0"):
            assert word not in path.name.encode() + content
    assert not list(site.rglob("key*"))
    assert {path.suffix for path in (site / "clips").iterdir()} == {".webp"}
    assert {path.stem for path in (site / "clips").iterdir()} == set(key.clips)


def test_the_key_knows_what_the_page_shows(tmp_path: Path):
    key, plan = tiny_study(tmp_path, ("a", "b", "c"), pairs=7, checks=2), read_plan(tmp_path / "study")
    assert key.study == plan["id"]
    assert [trial["id"] for trial in plan["trials"]] == list(key.trials)
    for trial in plan["trials"]:
        shown = [key.clips[clip] for clip in trial["clips"]]
        assert len({clip.method for clip in shown}) == 2
        assert {clip.item for clip in shown} == {key.trials[trial["id"]].item}
    for form in plan["forms"]:
        assert sorted(number for number, *_ in form) == list(range(9))
        assert all(sorted(order) == [0, 1] for _, *order in form)


def test_no_page_needs_another_host(tmp_path: Path):
    tiny_study(tmp_path)
    for path in (tmp_path / "study" / "site").glob("*.*"):
        assert not re.search(r"(https?:)?//[a-z]", path.read_text(encoding="utf-8")), path.name


def test_the_same_files_and_seed_give_the_same_study(tmp_path: Path):
    methods = write_methods(tmp_path / "in")
    ids = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / f"study{number}"
        ids.append(build_study(out, methods, match_items(methods), {}, StudyDesign(seed=seed)).study)
    assert ids[0] == ids[1] != ids[2]
    assert (tmp_path / "study0/site/plan.js").read_bytes() == (tmp_path / "study1/site/plan.js").read_bytes()


def test_an_item_with_a_damaged_sticker_is_left_out_for_all_methods(tmp_path: Path):
    methods = write_methods(tmp_path / "in")
    (methods["base"] / "item2.gif").write_bytes(b"GIF89a\x08")
    build_study(tmp_path / "study", methods, match_items(methods), {}, StudyDesign(pairs=4, checks=4))
    key = load_key(tmp_path / "study")
    assert list(key.skipped) == ["item2"]
    assert "item2.gif" in key.skipped["item2"]
    assert len(list((tmp_path / "study/site/clips").iterdir())) == 6
    assert len(key.trials) == 6  # three, each with a check
    assert "item2" not in {clip.item for clip in key.clips.values()}


def test_nothing_is_left_where_nothing_can_be_shown(tmp_path: Path):
    methods = write_methods(tmp_path / "in", items=2)
    for path in methods["base"].iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of 2 stickers"):
        build_study(tmp_path / "study", methods, match_items(methods), {}, StudyDesign())
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_study_is_not_written_over(tmp_path: Path):
    key = tiny_study(tmp_path)
    methods = {name: Path(folder) for name, folder in key.methods.items()}
    with pytest.raises(UserError, match="non-empty folder"):
        build_study(tmp_path / "study", methods, match_items(methods), {}, StudyDesign(seed=5))
    assert load_key(tmp_path / "study").study == key.study


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif", ".zip", ""])
def test_what_is_visible_stays_as_it_was(tmp_path: Path, suffix: str):
    sticker = square((200, 30, 60))
    write_sticker(sticker, tmp_path / f"in{suffix}")
    write_clip(tmp_path / f"in{suffix}", tmp_path / "out.webp")
    again = read_sticker(tmp_path / "out.webp")
    assert (again.frames == sticker.frames).all()
    assert again.durations == sticker.durations
    assert again.loop == 0


def test_invisible_colors_and_comments_are_not_passed_on(tmp_path: Path):
    frames = np.full((1, 4, 4, 4), 77, np.uint8)
    frames[..., 3] = 0
    write_sticker(Sticker(frames, (90,), loop=3), tmp_path / "in.webp")
    Image.open(tmp_path / "in.webp").save(tmp_path / "said.webp", exact=True, lossless=True, exif=b"Exif\0\0by ours")
    write_clip(tmp_path / "said.webp", tmp_path / "out.webp")
    assert not read_sticker(tmp_path / "out.webp").frames.any()
    assert b"by ours" not in (tmp_path / "out.webp").read_bytes()


def test_a_damaged_file_leaves_nothing(tmp_path: Path):
    write_sticker(square((1, 2, 3)), tmp_path / "in.webp")
    (tmp_path / "in.webp").write_bytes((tmp_path / "in.webp").read_bytes()[:60])
    with pytest.raises(UserError, match=r"in\.webp"):
        write_clip(tmp_path / "in.webp", tmp_path / "out.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["in.webp"]


def test_names_depend_on_files_and_seed_and_hold_no_words(tmp_path: Path):
    items = match_items(write_methods(tmp_path, items=2))
    names = clip_names(items, seed=0)
    assert names == clip_names(items, seed=0)
    assert len(set(names.values())) == 4
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names.values())
    assert not set(names.values()) & set(clip_names(items, seed=1).values())
    write_sticker(square((9, 9, 9)), tmp_path / "ours" / "item0.webp")
    assert not set(names.values()) & set(clip_names(items, seed=0).values())


def test_colors_become_hexadecimal_and_come_once():
    assert parse_backgrounds(["checker", "white", "#FFFFFF", "00ff80"]) == ("checker", "#ffffff", "#00ff80")


def test_no_color():
    with pytest.raises(UserError, match="whitish"):
        parse_backgrounds(["whitish"])
    with pytest.raises(UserError, match="got none"):
        parse_backgrounds([])
