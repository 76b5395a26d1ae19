import pytest
import torch

from glassine.nn.priors import LatentPrior
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
