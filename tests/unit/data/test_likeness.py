"""Near copies are found exactly, whatever the block, and groups follow from them."""

from pathlib import Path

import numpy as np
import pytest

from glassine.data import likeness
from glassine.data.likeness import alike_pairs, alpha_prints, connected, nearest, small_alpha
from glassine.data.shards import ShardWriter, StickerShards
from glassine.data.sticker import Sticker


def disc(radius: float, left: float = 64.0, frames: int = 1, side: int = 128) -> Sticker:
    rows, columns = np.mgrid[:side, :side]
    result = np.zeros((frames, side, side, 4), np.uint8)
    for number in range(frames):
        distance = np.hypot(rows - side / 2, columns - left - 4 * number)
        result[number, ..., 3] = np.clip((radius - distance) * 255, 0, 255)
    return Sticker(result, (40,) * frames, 0)


def shards(folder: Path, stickers: dict[str, Sticker], splits: dict[str, str] | None = None) -> StickerShards:
    with ShardWriter(folder) as writer:
        for key, sticker in stickers.items():
            writer.write(key, sticker, {"group": key, "split": (splits or {}).get(key, "train")})
    return StickerShards(folder)


def decibels(one: Sticker, other: Sticker) -> float:
    """By the definition, in float64."""
    a, b = (small_alpha(sticker.frames[0]).astype(np.float64) / 255 for sticker in (one, other))
    return float(-10 * np.log10(((a - b) ** 2).mean()))


def test_alike_is_what_the_definition_says(tmp_path: Path) -> None:
    stickers = {"a": disc(40), "b": disc(40.2), "c": disc(46), "d": disc(20)}
    expected = {("a", "b")}
    for one in stickers:
        for other in stickers:
            if one < other:
                assert (decibels(stickers[one], stickers[other]) >= 34) == ((one, other) in expected)
    prints = alpha_prints(shards(tmp_path, stickers))
    assert alike_pairs(prints, list(stickers)) == expected


def test_the_limit_is_exact(tmp_path: Path) -> None:
    stickers = {"a": disc(40), "b": disc(41)}
    limit = decibels(*stickers.values())
    prints = alpha_prints(shards(tmp_path, stickers))
    assert alike_pairs(prints, ["a", "b"], limit - 1e-6) == {("a", "b")}
    assert alike_pairs(prints, ["a", "b"], limit + 1e-6) == set()


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stickers = {f"s{n:02d}": disc(25 + n * 0.15) for n in range(20)}
    found = shards(tmp_path, stickers)
    prints = alpha_prints(found)
    left, right = np.arange(10), np.arange(10, 20)
    whole = alike_pairs(prints, list(stickers)), nearest(prints, left, right)
    monkeypatch.setattr(likeness, "_BLOCK", 3)
    assert (alike_pairs(prints, list(stickers)), nearest(prints, left, right)) == whole
    assert whole[0]
    assert whole[1] is not None
    assert (whole[1].left, whole[1].right) == (9, 10)
    assert whole[1].decibels == pytest.approx(decibels(stickers["s09"], stickers["s10"]))


def test_a_still_that_is_like_one_frame_of_a_loop_is_alike(tmp_path: Path) -> None:
    stickers = {"loop": disc(20, left=40, frames=8), "still": disc(20, left=56), "other": disc(20, left=46)}
    prints = alpha_prints(shards(tmp_path, stickers))
    assert np.bincount(prints.rows).tolist() == [4, 1, 1]  # frames 0, 2, 4, 6 of the loop; 56 is frame 4
    assert alike_pairs(prints, list(stickers)) == {("loop", "still")}


def test_almost_empty_frames_are_not_compared(tmp_path: Path) -> None:
    stickers = {"a": disc(3), "b": disc(3, left=65), "empty": disc(0)}
    prints = alpha_prints(shards(tmp_path, stickers))
    assert len(prints.rows) == 0
    assert alike_pairs(prints, list(stickers)) == set()
    assert nearest(prints, np.array([0]), np.array([1])) is None


def test_equal_stickers_are_infinitely_near(tmp_path: Path) -> None:
    prints = alpha_prints(shards(tmp_path, {"a": disc(40), "b": disc(40), "c": disc(30)}))
    pair = nearest(prints, np.array([0, 2]), np.array([1]))
    assert pair is not None
    assert (pair.decibels, pair.left, pair.right) == (float("inf"), 0, 1)


def test_odd_shapes_are_compared_in_a_square() -> None:
    wide = np.zeros((32, 64, 4), np.uint8)
    wide[..., 3] = 255
    small = small_alpha(wide)
    assert small.shape == (64, 64)
    assert (small[16:48] == 255).all()
    assert not small[:16].any()


def test_what_hangs_together_over_others_is_one_set() -> None:
    assert connected(list("abcdef"), {("a", "b"), ("b", "c"), ("e", "f")}) == [["a", "b", "c"], ["e", "f"], ["d"]]
