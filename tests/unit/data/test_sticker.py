"""The Sticker value refuses what does not fit together; a group's split never changes."""

from collections import Counter

import numpy as np
import pytest

from glassine.data.sticker import Sticker, split_of
from glassine.utils.errors import UserError

FRAMES = np.zeros((3, 5, 7, 4), np.uint8)


def test_tells_size_and_time() -> None:
    sticker = Sticker(FRAMES, (40, 60, 100), loop=2)
    assert (sticker.num_frames, sticker.height, sticker.width) == (3, 5, 7)
    assert sticker.duration_ms == 200
    assert sticker.fps == pytest.approx(15.0)


def test_durations_become_plain_integers() -> None:
    sticker = Sticker(FRAMES, tuple(np.array([40, 60, 100])))
    assert [type(duration) for duration in sticker.durations] == [int, int, int]


@pytest.mark.parametrize(
    ("frames", "durations", "loop", "word"),
    [
        (FRAMES[..., :3], (1, 1, 1), 0, "RGBA"),
        (FRAMES.astype(np.float32), (1, 1, 1), 0, "uint8"),
        (FRAMES[0], (1,), 0, "f h w 4"),
        (FRAMES[:0], (), 0, "at least one"),
        (FRAMES[:, :0], (1, 1, 1), 0, "1x1"),
        (FRAMES, (1, 1), 0, "got 2"),
        (FRAMES, (1, 0, 1), 0, "at least 1 ms"),
        (FRAMES, (1, 1, 1), -1, "loop"),
    ],
)
def test_refuses_what_does_not_fit(frames: np.ndarray, durations: tuple[int, ...], loop: int, word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        Sticker(frames, durations, loop)
    assert "\n" not in str(caught.value)


def test_the_split_of_a_group_never_changes() -> None:
    # fixed for ever: a checkpoint trained on one machine is scored on another
    known = {"1f600": "train", "1f9d1": "train", "1f603": "val", "1f604": "val", "1f606": "val", "1f60a": "test"}
    assert {group: split_of(group) for group in known} == known


def test_shares_are_eighty_ten_ten() -> None:
    counts = Counter(split_of(f"group {i}") for i in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.8) < 0.01
    assert abs(counts["val"] / 20_000 - 0.1) < 0.01
    assert abs(counts["test"] / 20_000 - 0.1) < 0.01


def test_chinese_group_names_work() -> None:
    assert split_of("小猫") == split_of("小猫")
