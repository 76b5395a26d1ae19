import math

import pytest
import torch

from glassine.metrics.generated import cosine_distances, mean_pairwise_distance, nearest

AXES = torch.eye(3)


def test_distances_are_1_minus_the_cosine():
    found = cosine_distances(torch.cat([AXES, -AXES[:1], AXES[:1] + AXES[1:2]]), 5 * AXES[:1])
    torch.testing.assert_close(found.flatten(), torch.tensor([0, 1, 1, 2, 1 - math.sqrt(0.5)]))


def test_the_pairwise_distance_leaves_out_each_picture_itself():
    assert mean_pairwise_distance(AXES) == pytest.approx(1)
    assert mean_pairwise_distance(AXES[[0, 0, 1]]) == pytest.approx(2 / 3)
    assert math.isnan(mean_pairwise_distance(AXES[:1]))


def test_the_nearest_may_be_chosen_among_some_alone():
    bank = torch.tensor([[1.0, 0.1, 0], [1.0, 0.5, 0], [0, 0, 1.0]])
    distances, rows = nearest(AXES[:2], bank)
    assert rows.tolist() == [0, 1]
    assert distances[0] == pytest.approx(1 - 1 / math.sqrt(1.01), abs=1e-6)
    allowed = torch.tensor([[False, True, True], [False, False, False]])
    distances, rows = nearest(AXES[:2], bank, allowed)
    assert rows[0] == 1
    assert distances[1] == math.inf
