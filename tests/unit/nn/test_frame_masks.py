import pytest
import torch

from glassine.nn.conditioning import FrameMasks


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
