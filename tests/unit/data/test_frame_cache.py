import numpy as np
import pytest
import torch
from tests.helpers.small_shards import moving_square, small_shards

from glassine.data.frame_cache import CachedFrames, OpaqueFrames, padded, write_frames
from glassine.data.shards import ShardFormat, ShardWriter, StickerShards
from glassine.data.shards.writer import encode_sticker
from glassine.data.sticker import Sticker
from glassine.data.views import FrameViews
from glassine.utils.errors import UserError

GROUPS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}


@pytest.fixture
def shards(tmp_path):
    return small_shards(tmp_path / "shards", GROUPS, splits={"c1": "val"})


def cached(shards, folder, num_frames=4) -> CachedFrames:
    made, damaged = write_frames(shards, range(len(shards)), num_frames, (16, 16), folder, stickers_a_file=3)
    assert (made, damaged) == (2, {})
    return folder


def test_visible_pixels_stay_and_clear_ones_take_the_colors_around():
    frames = moving_square("a1")
    filled = padded(frames).numpy()
    visible = frames[..., 3] > 0
    np.testing.assert_array_equal(filled[visible], frames[visible])
    np.testing.assert_array_equal(filled[..., 3], frames[..., 3])
    assert (np.abs(filled[~visible][:, :3].astype(int) - frames[0, 10, 5, :3]) <= 2).all()


def test_one_sample_a_group_whose_stickers_and_frames_are_drawn_anew_in_each_epoch(shards, tmp_path):
    pictures = CachedFrames(cached(shards, tmp_path / "cache"), "train")
    assert len(pictures) == 2
    shown = [pictures[epoch, 0] for epoch in range(12)]
    assert {sample["key"] for sample in shown} == {"a1", "a2"}
    assert len({sample["rgba"].numpy().tobytes() for sample in shown}) > 2  # frames, too
    assert all(sample["rgba"].shape == (1, 4, 16, 16) for sample in shown)
    assert torch.equal(pictures[3, 0]["rgba"], pictures[3, 0]["rgba"])
    assert pictures[0, 1]["source"] == "drawn"


def test_evaluation_takes_the_first_sticker_and_its_middle_frame(shards, tmp_path):
    folder = cached(shards, tmp_path / "cache")
    fixed = CachedFrames(folder, "all", draw=False)
    assert [fixed[5, row]["key"] for row in range(len(fixed))] == ["a1", "b1", "c1"]
    clip = CachedFrames(folder, "all", num_frames=4, draw=False)[0]["rgba"]
    torch.testing.assert_close(fixed[0]["rgba"], clip[2:3])
    torch.testing.assert_close(CachedFrames(folder, "all", num_frames=2, draw=False)[0]["rgba"], clip[::2])


def test_splits_are_kept_apart(shards, tmp_path):
    folder = cached(shards, tmp_path / "cache")
    assert [len(CachedFrames(folder, split)) for split in ("train", "val", "all")] == [2, 1, 3]
    assert len(CachedFrames(folder, "train", by_subject=False)) == 3
    with pytest.raises(UserError, match="no sticker of split 'test'"):
        CachedFrames(folder, "test")
    with pytest.raises(UserError, match=r"split must be one of .*, got 'both'"):
        CachedFrames(folder, "both")


def test_a_stopped_cache_goes_on_and_another_size_is_refused(shards, tmp_path):
    folder = cached(shards, tmp_path / "cache")
    (folder / "frames-000001.safetensors").unlink()
    with pytest.raises(UserError, match="1 of 2 files"):
        CachedFrames(folder)
    assert write_frames(shards, range(len(shards)), 4, (16, 16), folder, stickers_a_file=3)[0] == 1
    with pytest.raises(UserError, match="other pictures"):
        write_frames(shards, range(len(shards)), 4, (32, 32), folder)
    with pytest.raises(UserError, match="num_frames must be 1 or a divisor of 4"):
        CachedFrames(folder, num_frames=3)


def test_a_damaged_sticker_is_left_out_and_named(shards, tmp_path):
    row = next(row for row in range(len(shards)) if shards.key(row) == "b1")
    real = shards.read
    shards.read = lambda one, frames: real(one, frames) if one != row else (_ for _ in ()).throw(ValueError("cut off"))
    _, damaged = write_frames(shards, range(len(shards)), 1, (16, 16), tmp_path / "cache")
    assert list(damaged.values()) == ["cut off"]
    kept = {known["key"] for group in CachedFrames(tmp_path / "cache", "all").members for _, _, known in group}
    assert kept == set(GROUPS) - {"b1"}


def test_views_are_frames_spread_over_the_sticker_or_the_whole_clip(shards, tmp_path):
    folder = cached(shards, tmp_path / "cache")
    whole = CachedFrames(folder, "all", num_frames=4, by_subject=False)
    views = FrameViews(CachedFrames(folder, "all", by_subject=False), views=2, background=None)
    assert len(views) == 4
    for view, frame in ((0, 1), (1, 3)):
        torch.testing.assert_close(views[view, 0]["clip"], whole.read(0, 0, 1)[0][frame : frame + 1])
    moving = FrameViews(whole, views=1, background=(255, 0, 0), motion=lambda color, alpha: alpha.mean((1, 2, 3, 4)))
    sample = moving[0, 2]
    assert sample["clip"].shape == (4, 3, 16, 16)
    assert sample["motion"].shape == (3,)
    torch.testing.assert_close(sample["clip"][0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    assert (sample["subject"], sample["captions"]) == ("b", ["Cartoon\tsquare b1"])
    assert sample["captions_zh"] == []


def test_a_style_gives_a_caption_with_it_and_one_without(tmp_path):
    how = ShardFormat(codec="png")
    with ShardWriter(tmp_path / "shards", how) as writer:
        about = {"group": "cat", "description": "cat", "description_zh": "猫", "style": "flat"}
        writer.append(encode_sticker("cat", Sticker(moving_square("a1", 1), (100,), 0), about, how))
    write_frames(StickerShards(tmp_path / "shards"), [0], 1, (16, 16), tmp_path / "cache")
    sample = FrameViews(CachedFrames(tmp_path / "cache", "all"), views=1, background=None)[0, 0]
    assert sample["captions"] == ["Cartoon\tcat, flat", "Cartoon\tcat"]
    assert sample["captions_zh"] == ["Cartoon\t猫，扁平", "Cartoon\t猫"]


def test_opaque_frames_stand_on_white(shards, tmp_path):
    clip = OpaqueFrames(cached(shards, tmp_path / "cache"), "train", num_frames=4)[0]["clip"]
    assert clip.shape == (4, 3, 16, 16)
    assert clip[0, :, 0, 0].tolist() == [1.0, 1.0, 1.0]


def test_a_regrouped_set_is_cached_again(shards, tmp_path, monkeypatch):
    folder = cached(shards, tmp_path / "cache")
    monkeypatch.setattr(shards, "group", lambda row: "one group")
    with pytest.raises(UserError, match="other pictures"):
        write_frames(shards, range(len(shards)), 4, (16, 16), folder)
