"""When frames are shown, and that the speed stays what it was."""

import numpy as np
import pytest

from glassine.data.sticker import Sticker
from glassine.pipelines.pack.limits import Limits
from glassine.pipelines.pack.timing import (
    at_even_times,
    begin_visible,
    fewer_frames,
    fit_length,
    fit_rate,
    hold_to_whole_second,
    merge_repeats,
    plays,
    split_frames,
)
from glassine.utils.errors import UserError


def counted(*durations: int, loop: int = 0) -> Sticker:
    """A sticker whose frame number n is gray n."""
    frames = np.zeros((len(durations), 2, 2, 4), np.uint8)
    frames[..., :3] = np.arange(len(durations))[:, None, None, None]
    frames[..., 3] = 255
    return Sticker(frames, durations, loop)


def numbers(sticker: Sticker) -> list[int]:
    return sticker.frames[:, 0, 0, 0].tolist()


def limits(**rules: object) -> Limits:
    return Limits("apng", (64, 64), "exact", 10_000, **rules)  # type: ignore[arg-type]


def test_repeats_are_merged_and_no_time_is_lost():
    sticker = counted(10, 20, 30, 40)
    frames = sticker.frames[[0, 0, 1, 1, 1, 2]]
    merged = merge_repeats(Sticker(frames, (10, 20, 30, 40, 50, 60), 3))
    assert numbers(merged) == [0, 1, 2]
    assert merged.durations == (30, 120, 60)
    assert merged.loop == 3


def test_a_last_frame_like_the_first_is_kept():
    sticker = counted(10, 20, 30)
    assert merge_repeats(Sticker(sticker.frames[[0, 1, 0]], (10, 20, 30))).num_frames == 3


def test_even_times_show_what_stood_there():
    even = at_even_times(counted(10, 10, 80, 100), 4)
    assert even.durations == (50, 50, 50, 50)
    assert numbers(even) == [0, 2, 3, 3]


def test_fewer_frames_keep_the_length_to_the_millisecond():
    sticker = counted(*[33, 34, 33] * 10)
    fewer = fewer_frames(sticker, 10)
    assert fewer.num_frames == 10
    assert fewer.duration_ms == sticker.duration_ms
    assert fewer_frames(sticker, 30) is sticker


def test_a_long_one_is_refused_unless_something_was_asked_for():
    with pytest.raises(UserError, match=r"at most 3 s, got 4 s: use --too-long trim"):
        fit_length(counted(2000, 2000), 3000, "refuse")
    short = counted(1000)
    assert fit_length(short, 3000, "refuse") == (short, "")


def test_trimming_keeps_the_speed():
    sticker, told = fit_length(counted(1000, 1000, 1000), 2500, "trim")
    assert sticker.durations == (1000, 1000, 500)
    assert "trimmed from 3 s to 2.5 s" in told


def test_trimming_right_at_a_frame_takes_it_away():
    assert fit_length(counted(1000, 1000, 1000), 2000, "trim")[0].durations == (1000, 1000)


def test_speeding_up_keeps_all_frames_and_says_how_much():
    sticker, told = fit_length(counted(*[100] * 60), 3000, "speed-up")
    assert sticker.num_frames == 60
    assert sticker.duration_ms == 3000
    assert "2.00 times as fast" in told


def test_whole_seconds_come_by_holding_the_last_frame():
    sticker, told = hold_to_whole_second(counted(500, 700))
    assert sticker.durations == (500, 1500)
    assert "800 ms" in told
    assert hold_to_whole_second(counted(1000, 1000))[1] == ""


def test_rates_are_brought_down_to_what_is_taken():
    sticker, told = fit_rate(counted(*[10] * 100), limits(max_fps=30))
    assert sticker.num_frames == 30
    assert sticker.duration_ms == 1000
    assert min(sticker.durations) >= 33
    assert "30 of 100 frames" in told


def test_a_slow_sticker_with_two_quick_frames_is_spaced_evenly():
    sticker, _ = fit_rate(counted(5, 5, 990), limits(max_fps=30))
    assert min(sticker.durations) >= 33
    assert sticker.duration_ms == 1000


def test_frames_are_no_more_than_taken():
    sticker, _ = fit_rate(counted(*[50] * 40), limits(max_frames=20))
    assert sticker.num_frames == 20
    assert fit_rate(counted(50, 50), limits(max_frames=20))[1] == ""


def test_where_it_stands_still_no_frames_are_spent():
    sticker, told = fit_rate(counted(*[40] * 30, 1800), limits(max_frames=20))
    assert 15 <= sticker.num_frames <= 20  # of 20 even moments, only 8 lie in the motion
    assert sticker.duration_ms == 3000
    assert sticker.durations[-1] >= 1700
    assert "of 31 frames" in told


def test_too_few_frames_are_shown_in_parts():
    sticker, told = split_frames(counted(100, 300), 5)
    assert sticker.num_frames == 5
    assert sticker.duration_ms == 400
    assert numbers(sticker) == sorted(numbers(sticker))
    assert "2 frames split into 5" in told
    with pytest.raises(UserError, match="at least 5 ms for 5 frames, got 3 ms"):
        split_frames(counted(3), 5)


@pytest.mark.parametrize(
    ("loop", "ms", "expected"),
    [(0, 1000, 4), (0, 2000, 2), (0, 3000, 1), (2, 1000, 2), (9, 1000, 4)],
)
def test_plays_are_as_many_as_fit(loop, ms, expected):
    assert plays(counted(ms, loop=loop), limits(max_loops=4, loops_ms=4000))[0] == expected


def test_a_loop_stays_one():
    assert plays(counted(100), limits()) == (0, "")
    assert plays(counted(100, loop=2), limits()) == (0, "plays forever there; the file says 2 times")


def fading_in(loop: int = 0) -> Sticker:
    """Frame n of five is gray n, and as opaque as it is late; the first is empty."""
    sticker = counted(10, 20, 30, 40, 50, loop=loop)
    sticker.frames[..., 3] = np.array([0, 60, 120, 200, 255])[:, None, None]
    return sticker


def test_an_endless_sticker_begins_where_it_shows_something_and_is_the_same_loop():
    begun, told = begin_visible(fading_in(), 1)
    assert numbers(begun) == [1, 2, 3, 4, 0]
    assert begun.durations == (20, 30, 40, 50, 10)
    assert "first 1 frame shows nothing" in told
    begun, told = begin_visible(fading_in(), 128)  # 1-bit alpha keeps less
    assert numbers(begun) == [3, 4, 0, 1, 2]
    assert "first 3 frames show nothing" in told


def test_one_that_ends_keeps_its_end():
    begun, told = begin_visible(fading_in(loop=2), 128)
    assert numbers(begun) == [3, 4]
    assert begun.durations == (100, 50)
    assert "from the start" in told


def test_what_shows_at_once_is_not_touched():
    sticker = counted(10, 20)
    assert begin_visible(sticker, 255) == (sticker, "")


def test_a_sticker_that_one_bit_alpha_would_lose_is_refused():
    sticker = counted(10, 20)
    sticker.frames[..., 3] = 90
    with pytest.raises(UserError, match="alpha of at least 128, got at most 90"):
        begin_visible(sticker, 128)
