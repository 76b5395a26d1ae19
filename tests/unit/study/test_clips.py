from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.tiny_study import square, write_methods

from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker
from glassine.study.build import clip_names, write_clip
from glassine.study.server import match_items
from glassine.utils.errors import UserError


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
