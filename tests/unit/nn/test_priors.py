import pytest
import torch

from glassine.nn.priors import LatentPrior, MotionPrior
from glassine.utils.errors import UserError


def make(**arguments) -> LatentPrior:
    torch.manual_seed(0)
    return LatentPrior(prompt_dim=8, channels=3, size=(4, 6), width=16, **arguments)


def test_padding_does_not_count_and_words_do():
    mean, text = make(), torch.randn(2, 3, 8)
    padded = torch.cat([text, torch.zeros(2, 5, 8)], dim=1)
    torch.testing.assert_close(mean(padded), mean(text))
    assert mean(text).shape == (2, 3, 4, 6)
    assert not torch.allclose(*mean(text))


def test_no_text_at_all_has_a_mean_too():
    assert make()(torch.zeros(1, 3, 8)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 12), (2, 3)])
def test_at_another_size_the_same_picture_is_drawn_larger_or_smaller(size, dtype):
    mean, text = make().to(dtype), torch.randn(1, 3, 8, dtype=dtype)
    drawn = mean(text, size)
    assert drawn.shape == (1, 3, *size)
    torch.testing.assert_close(drawn.mean((2, 3)), mean(text).mean((2, 3)), atol=0.05, rtol=0.2)


def test_text_of_another_encoder_is_named():
    with pytest.raises(UserError, match="must be 8 wide for this latent_mean, got 9"):
        make()(torch.zeros(1, 3, 9))


def test_it_learns_what_texts_look_like_on_average():
    mean, text, pictures = make(), torch.randn(4, 3, 8), torch.randn(4, 3, 4, 6)
    optimizer = torch.optim.Adam(mean.parameters(), lr=0.01)
    for _ in range(200):
        loss = (mean(text) - pictures - 0.3 * torch.randn_like(pictures)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (mean(text) - pictures).square().mean() < 0.05


TEXT = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))


def clip_mean_make(awake: bool = True) -> MotionPrior:
    torch.manual_seed(0)
    mean = MotionPrior(prompt_dim=8, channels=3, size=(4, 6), width=16, num_frames=4, rank=5)
    if awake:
        torch.nn.init.normal_(mean.motion[-1].weight)
    return mean


def test_it_starts_as_a_mean_that_stands_still():
    mean = clip_mean_make(awake=False)
    torch.testing.assert_close(mean.of_frames(TEXT, 4), mean(TEXT)[:, None].expand(-1, 4, -1, -1, -1))


def test_frames_differ_by_what_is_said():
    clips = clip_mean_make().of_frames(TEXT, 4)
    assert clips.shape == (2, 4, 3, 4, 6)
    moves = clips - clips[:, :1]
    assert moves[:, 1:].abs().amax((2, 3, 4)).min() > 0.1
    assert not torch.allclose(moves[0], moves[1])


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_other_numbers_of_frames_show_the_same_motion(frames):
    mean = clip_mean_make()
    clip, wanted = mean.of_frames(TEXT, frames), mean.of_frames(TEXT, 4)
    assert clip.shape == (2, frames, 3, 4, 6)
    if frames == 1:  # a picture
        assert torch.equal(clip[:, 0], mean(TEXT))
    if frames == 8:
        torch.testing.assert_close(clip[:, [0, -1]], wanted[:, [0, -1]])
        torch.testing.assert_close(clip[:, 1], 0.75 * wanted[:, 0] + 0.25 * wanted[:, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_drawn_larger_too(dtype):
    mean = clip_mean_make().to(dtype)
    large, small = (mean.of_frames(TEXT.to(dtype), 4, size) for size in ((8, 12), None))
    assert large.shape == (2, 4, 3, 8, 12)
    torch.testing.assert_close(large.mean((3, 4)), small.mean((3, 4)), atol=0.1, rtol=0.2)


def test_beside_a_frozen_spatial_part_the_motion_alone_is_trained():
    mean = clip_mean_make()
    mean.freeze_spatial()
    trained = {name.split(".")[0] for name, parameter in mean.named_parameters() if parameter.requires_grad}
    assert trained == {"motion"}


def test_a_text_stands_for_the_captions_nearest_to_it_outside_training():
    mean = make(num_captions=5).eval()
    known = torch.eye(8)[:3]
    mean.remember(known)
    near = torch.tensor([[[0.9, 0.1, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0]]])  # the first one, nearly
    torch.testing.assert_close(mean(near), mean(known[:1, None]))
    assert not torch.allclose(mean(near), mean.train()(near))
    between = torch.tensor([[[1.0, 1.0, 0, 0, 0, 0, 0, 0]]])
    torch.testing.assert_close(mean.eval().pooled(between), known[:2].mean(0, keepdim=True))


def test_without_captions_a_text_stands_for_itself():
    text = torch.randn(2, 3, 8)
    torch.testing.assert_close(make(num_captions=5).eval()(text), make()(text))


def test_more_captions_than_there_is_room_for_are_refused():
    with pytest.raises(UserError, match="num_captions must be at least 3 to remember them, got 2"):
        make(num_captions=2).remember(torch.zeros(3, 8))
