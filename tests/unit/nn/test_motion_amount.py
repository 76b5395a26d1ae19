import pytest
import torch

from glassine.nn.conditioning import EIGHT_FRAMES, MotionTimeEmbedding, motion_amount, motion_bucket
from glassine.utils.errors import UserError


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
