"""The Sticker value refuses what does not fit together."""

import numpy as np
import pytest

from glassine.data.sticker import Sticker
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
        (FRAMES, (1, 1), 0, "2 durations"),
        (FRAMES, (1, 0, 1), 0, "at least 1 ms"),
        (FRAMES, (1, 1, 1), -1, "loop"),
    ],
)
def test_refuses_what_does_not_fit(frames: np.ndarray, durations: tuple[int, ...], loop: int, word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        Sticker(frames, durations, loop)
    assert "\n" not in str(caught.value)
