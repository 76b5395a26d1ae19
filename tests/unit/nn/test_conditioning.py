import pytest
import torch

from glassine.nn.conditioning import (
    EIGHT_FRAMES,
    FrameMasks,
    MotionTimeEmbedding,
    fill_padding,
    motion_amount,
    motion_bucket,
)
from glassine.utils.errors import UserError


def draw(frames: int = 8, **shares: float) -> torch.Tensor:
    masks = FrameMasks(**{"generation": 0.0, "prediction": 0.0, "interpolation": 0.0} | shares)
    return masks(200, frames, torch.Generator().manual_seed(0))


def test_generation_gives_no_frame():
    assert not draw(generation=1.0).any()


def test_prediction_gives_a_run_of_first_frames():
    given = draw(prediction=1.0)
    assert given[:, 0].all()
    assert not given[:, -1].any()
    assert (given[:, 1:] <= given[:, :-1]).all()  # once it stops it does not begin again
    assert set(given.sum(dim=1).tolist()) == set(range(1, 8))


def test_interpolation_gives_both_ends_and_leaves_something_to_learn():
    given = draw(interpolation=1.0)
    assert given[:, [0, -1]].all()
    assert not given.all(dim=1).any()
    assert len({tuple(row) for row in given.tolist()}) > 20


@pytest.mark.parametrize("frames", [1, 2])
def test_clips_too_short_for_a_task_are_generated(frames):
    assert not draw(frames, interpolation=1.0).any()


def test_shares_that_are_no_shares_are_refused():
    with pytest.raises(ValueError, match="shares must be at least 0, one of them positive"):
        FrameMasks(0, 0, 0)


def test_it_is_the_mean_change_of_premultiplied_rgba():
    foreground, alpha = torch.zeros(1, 3, 3, 4, 4), torch.ones(1, 3, 1, 4, 4)
    foreground[0, 1:] = 0.5  # one change of two, in three channels of four
    torch.testing.assert_close(motion_amount(foreground, alpha), torch.tensor([0.5 * 0.75 / 2]))


def test_stills_and_colors_that_nobody_sees_do_not_move():
    still = torch.rand(2, 1, 3, 4, 4).expand(-1, 3, -1, -1, -1)
    assert not motion_amount(still, torch.ones(2, 3, 1, 4, 4)).any()
    assert not motion_amount(torch.rand(2, 3, 3, 4, 4), torch.zeros(2, 3, 1, 4, 4)).any()
    assert not motion_amount(torch.rand(2, 1, 3, 4, 4), torch.ones(2, 1, 1, 4, 4)).any()


def test_buckets_count_the_thresholds_reached():
    assert motion_bucket(torch.tensor([0.0, 0.1, 0.15, 9.0]), (0.1, 0.2)).tolist() == [0, 1, 1, 2]
    assert motion_bucket(torch.tensor([0.0, 1.0])).tolist() == [0, len(EIGHT_FRAMES)]
    with pytest.raises(UserError, match=r"motion_thresholds must increase, got \(0.2, 0.1\)"):
        motion_bucket(torch.zeros(1), (0.2, 0.1))


def test_the_condition_starts_as_nothing_and_is_added_to_the_time_embedding():
    torch.manual_seed(0)
    embedding, waves = MotionTimeEmbedding(4, 8, buckets=2), torch.randn(2, 4)
    told = torch.tensor([0, 2])
    assert torch.equal(embedding(waves, told), embedding(waves))
    torch.nn.init.normal_(embedding.motion.weight)
    torch.testing.assert_close(embedding(waves, told), embedding(waves) + embedding.motion.weight[[0, 2]])


def test_padding_holds_the_mean_of_the_tokens_before_it_as_long_as_they_are():
    embeds = torch.tensor([[[3.0, 4.0], [5.0, 0.0], [0.0, 0.0]], [[4.0, 3.0], [0.0, 0.0], [0.0, 0.0]]])
    filled = fill_padding(embeds)
    assert torch.equal(filled[0, :2], embeds[0, :2])
    torch.testing.assert_close(filled[0, 2], 5 * torch.tensor([8.0, 4.0]) / 80**0.5)
    torch.testing.assert_close(filled[1], torch.tensor([[4.0, 3.0]] * 3))


def test_embeddings_without_padding_stay_bit_equal_and_an_empty_one_stays_zero():
    embeds = torch.rand(2, 4, 8) + 0.1
    assert torch.equal(fill_padding(embeds), embeds)
    assert torch.equal(fill_padding(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
