"""How the end of a clip goes over into its start."""

import pytest
import torch

from glassine.metrics.looping import LoopGap, loop_gap
from glassine.utils.errors import UserError


def walking(places: list[int]) -> torch.Tensor:
    """A white pixel at each place of a row: `1 f 4 1 16`."""
    clip = torch.zeros(1, len(places), 4, 1, 16)
    for frame, place in enumerate(places):
        clip[0, frame, :, 0, place] = 1
    return clip


def test_an_even_loop_has_a_gap_of_one_and_a_still_clip_none():
    ring = torch.zeros(1, 8, 4, 1, 8)
    for frame in range(8):
        ring[0, frame, :, 0, frame] = 1
    assert loop_gap(ring).item() == pytest.approx(1)
    assert loop_gap(walking([3] * 8)).item() == 0


def test_a_drift_jumps_back_and_a_return_has_no_gap():
    brightness = torch.linspace(0, 1, 8).view(1, 8, 1, 1, 1).expand(1, 8, 4, 4, 4).clone()
    brightness[:, :, 3] = 1
    assert loop_gap(brightness).item() == pytest.approx(7)
    assert loop_gap(walking([0, 1, 2, 3, 2, 1, 0])).item() == 0


def test_a_single_frame_has_no_end():
    assert loop_gap(torch.zeros(1, 1, 4, 8, 8)).isnan().all()


def test_loop_gap_keeps_one_value_a_clip():
    score = LoopGap()
    score.update(torch.rand(3, 4, 4, 2, 2))
    assert score.per_clip().shape == (3,)
    with pytest.raises(UserError, match=r"must be in \[0, 1\]"):
        score.update(torch.full((1, 3, 4, 2, 2), 2.0))
