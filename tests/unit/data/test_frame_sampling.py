from itertools import pairwise

import pytest
import torch

from glassine.data.frame_sampling import flip_order, sample_frames
from glassine.utils.errors import UserError


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0] * 8), (2, [0, 1, 0, 1, 0, 1, 0, 1]), (3, [0, 1, 2, 1, 0, 1, 2, 1]), (7, [0, 1, 2, 3, 4, 5, 6, 5])],
)
def test_short_stickers_play_back_and_forth(count: int, expected: list[int]) -> None:
    assert flip_order(count, 8) == expected
    frames, fps = sample_frames([50] * count, 8)
    assert frames == expected
    assert fps == pytest.approx(20)


def test_evaluation_covers_the_whole_sticker_evenly() -> None:
    frames, fps = sample_frames([125] * 24, 8)
    assert frames == [1, 4, 7, 10, 13, 16, 19, 22]
    assert fps == pytest.approx(8 / 3)
    assert sample_frames([40] * 8, 8)[0] == list(range(8))


def test_time_decides_not_the_frame_number() -> None:
    frames, _ = sample_frames([10] * 9 + [910], 4)  # the last frame stands nine tenths of the time
    assert frames == [9, 9, 9, 9]


def test_training_draws_every_part_of_the_sticker_at_several_speeds_in_order() -> None:
    seen, speeds = set(), set()
    for seed in range(200):
        frames, fps = sample_frames([100] * 24, 8, torch.Generator().manual_seed(seed))
        assert frames == sorted(frames)
        assert len(set(frames)) == 8
        seen.update(frames)
        speeds.add(round(fps))
    assert seen == set(range(24))
    assert min(speeds) <= 4
    assert max(speeds) >= 9


def test_the_same_seed_draws_the_same_frames() -> None:
    draws = [sample_frames([100] * 30, 8, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_rate_holds_wherever_the_clip_starts() -> None:
    durations = [1000 / 30] * 540  # 18 seconds
    for seed in range(20):
        frames, fps = sample_frames(durations, 16, torch.Generator().manual_seed(seed), fps=8)
        assert fps == 8
        steps = {after - before for before, after in pairwise(frames)}
        assert steps <= {3, 4}  # 30 / 8
        assert frames[0] >= 0
        assert frames[-1] < 540
    starts = {sample_frames(durations, 16, torch.Generator().manual_seed(s), fps=8)[0][0] for s in range(20)}
    assert max(starts) - min(starts) > 100
    middle = sample_frames(durations, 16, fps=8)[0]
    assert middle[0] + middle[-1] == pytest.approx(539, abs=1)


def test_a_sticker_that_is_shorter_than_the_clip_is_played_back_and_forth_at_the_rate() -> None:
    assert sample_frames([125] * 3, 8, fps=8) == ([0, 1, 2, 2, 1, 0, 0, 1], 8.0)
    assert sample_frames([125], 3, torch.Generator().manual_seed(0), fps=8) == ([0, 0, 0], 8.0)


def test_the_whole_sticker_is_taken_in_training_too() -> None:
    whole = sample_frames([125] * 24, 8)
    assert sample_frames([125] * 24, 8, torch.Generator().manual_seed(3), span="whole") == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0.0}, "fps must be positive, got 0"),
        ({"span": "all"}, "span must be one of part, whole, start, got 'all'"),
        ({"fps": 8.0, "span": "whole"}, "fps must be null where span is 'whole', got 8"),
    ],
)
def test_rates_that_cannot_be_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample_frames([100] * 9, 8, **arguments)
