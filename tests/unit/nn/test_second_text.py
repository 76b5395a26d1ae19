import pytest
import torch

from glassine.nn.second_text import SecondText, joined
from glassine.utils.errors import UserError


def test_untrained_it_is_the_first_encoder_alone():
    first, second = torch.randn(2, 5, 16), torch.randn(2, 7, 24)
    embeds = joined(first, second)
    assert embeds.shape == (2, 12, 24)
    torch.testing.assert_close(SecondText(5, 16, 24)(embeds), first, rtol=0, atol=0)


def test_trained_it_reads_the_second():
    layer, first, second = SecondText(5, 16, 8), torch.randn(1, 5, 16), torch.randn(2, 7, 8)
    torch.nn.init.normal_(layer.attention.out_proj.weight)
    one, other = (layer(joined(first, text[None])) for text in second)
    assert one.shape == (1, 5, 16)
    assert (one - other).abs().max() > 0.01


def test_embeddings_of_one_encoder_are_refused():
    with pytest.raises(UserError, match="use a TextEncoderPair"):
        SecondText(5, 16, 8)(torch.randn(1, 5, 16))
    with pytest.raises(UserError, match="must be at least 1, got 0 and 8"):
        SecondText(0, 16, 8)
