import pytest
import torch

from glassine.nn.priors import MotionPrior

TEXT = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))


def make(awake: bool = True) -> MotionPrior:
    torch.manual_seed(0)
    mean = MotionPrior(prompt_dim=8, channels=3, size=(4, 6), width=16, num_frames=4, rank=5)
    if awake:
        torch.nn.init.normal_(mean.motion[-1].weight)
    return mean


def test_it_starts_as_a_mean_that_stands_still():
    mean = make(awake=False)
    torch.testing.assert_close(mean.of_frames(TEXT, 4), mean(TEXT)[:, None].expand(-1, 4, -1, -1, -1))


def test_frames_differ_by_what_is_said():
    clips = make().of_frames(TEXT, 4)
    assert clips.shape == (2, 4, 3, 4, 6)
    moves = clips - clips[:, :1]
    assert moves[:, 1:].abs().amax((2, 3, 4)).min() > 0.1
    assert not torch.allclose(moves[0], moves[1])


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_other_numbers_of_frames_show_the_same_motion(frames):
    mean = make()
    clip, wanted = mean.of_frames(TEXT, frames), mean.of_frames(TEXT, 4)
    assert clip.shape == (2, frames, 3, 4, 6)
    if frames == 1:  # a picture
        assert torch.equal(clip[:, 0], mean(TEXT))
    if frames == 8:
        torch.testing.assert_close(clip[:, [0, -1]], wanted[:, [0, -1]])
        torch.testing.assert_close(clip[:, 1], 0.75 * wanted[:, 0] + 0.25 * wanted[:, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_drawn_larger_too(dtype):
    mean = make().to(dtype)
    large, small = (mean.of_frames(TEXT.to(dtype), 4, size) for size in ((8, 12), None))
    assert large.shape == (2, 4, 3, 8, 12)
    torch.testing.assert_close(large.mean((3, 4)), small.mean((3, 4)), atol=0.1, rtol=0.2)


def test_beside_a_frozen_spatial_part_the_motion_alone_is_trained():
    mean = make()
    mean.freeze_spatial()
    trained = {name.split(".")[0] for name, parameter in mean.named_parameters() if parameter.requires_grad}
    assert trained == {"motion"}
