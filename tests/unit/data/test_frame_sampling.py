import pytest
import torch

from glassine.data.frame_sampling import flip_order, sample_frames


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
