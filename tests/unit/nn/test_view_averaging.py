"""Averages over flipped and rotated views."""

import pytest
import torch

from glassine.nn.view_averaging import average_views


def test_eight_views_are_undone_before_they_are_averaged():
    picture = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(average_views(lambda x: x, [picture], "full"), picture)
    torch.testing.assert_close(average_views(lambda x: x, [picture], "hflip"), picture)


def test_the_average_is_the_lower_median_of_clipped_views():
    values = iter([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 7.0])
    result = average_views(lambda x: torch.full((1, 4, 2, 2), next(values)), [torch.zeros(1, 4, 2, 2)], "full")
    assert result.unique().tolist() == pytest.approx([0.4])  # the fourth smallest of eight


def test_two_views_are_averaged_by_their_mean():
    values = iter([0.2, 0.6])
    result = average_views(lambda x: torch.full((1, 4, 2, 2), next(values)), [torch.zeros(1, 4, 2, 2)], "hflip")
    assert result.unique().tolist() == pytest.approx([0.4])
