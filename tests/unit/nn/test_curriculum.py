import pytest
import torch

from glassine.nn.curriculum import BINS, Curriculum, change_entropy


def clips(motion: list[float]) -> torch.Tensor:
    """`b 4 2 6 6`: the same noise in every frame, plus so much of its own in each."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(len(motion), 1, 2, 6, 6, generator=generator)
    own = torch.randn(len(motion), 4, 2, 6, 6, generator=generator)
    return base + own * torch.tensor(motion)[:, None, None, None, None]


def nothing_given(b: int) -> torch.Tensor:
    return torch.zeros(b, 4, dtype=torch.bool)


def test_entropy_grows_with_motion_and_is_nothing_where_nothing_moves():
    entropy = change_entropy(clips([0.0, 0.05, 0.5, 1.0]))
    assert entropy[0] < 1e-6
    assert (entropy.diff() > 0).all()
    assert entropy.max() <= 1


def test_easy_clips_weigh_more_at_first_and_all_alike_in_the_end():
    curriculum = Curriculum(steps=40, start=0.1)
    latents, losses = clips([0.0, 0.1, 0.3, 1.0] * 4), torch.tensor([0.1, 0.2, 0.4, 0.9] * 4)
    weights = [curriculum(latents, nothing_given(16), losses) for _ in range(41)]
    assert weights[10][0] > 2 * weights[10][3]
    torch.testing.assert_close(weights[-1], torch.ones(16))
    for step in weights:
        torch.testing.assert_close(step.mean(), torch.tensor(1.0))


def test_given_frames_make_a_clip_easier():
    curriculum = Curriculum(steps=100, start=0.3)
    latents, losses = clips([0.6, 0.6, 0.1, 1.0]), torch.full((4,), 0.5)
    given = nothing_given(4)
    given[1, :3] = True
    for _ in range(10):
        weights = curriculum(latents, given, losses)
    assert weights[1] > weights[0]


def test_a_resumed_curriculum_goes_on_where_it_stood():
    first = Curriculum(steps=20)
    latents, losses = clips([0.0, 0.2, 0.5, 1.0]), torch.rand(4)
    for _ in range(5):
        first(latents, nothing_given(4), losses)
    second = Curriculum(steps=20)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(latents, nothing_given(4), losses), first(latents, nothing_given(4), losses))
    assert len(second.losses) == BINS


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="0 steps"):
        Curriculum(steps=0)
