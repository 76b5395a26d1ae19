import torch

from glassine.nn.conditioning import fill_padding


def test_padding_holds_the_mean_of_the_tokens_before_it_as_long_as_they_are():
    embeds = torch.tensor([[[3.0, 4.0], [5.0, 0.0], [0.0, 0.0]], [[4.0, 3.0], [0.0, 0.0], [0.0, 0.0]]])
    filled = fill_padding(embeds)
    assert torch.equal(filled[0, :2], embeds[0, :2])
    torch.testing.assert_close(filled[0, 2], 5 * torch.tensor([8.0, 4.0]) / 80**0.5)
    torch.testing.assert_close(filled[1], torch.tensor([[4.0, 3.0]] * 3))


def test_embeddings_without_padding_stay_bit_equal_and_an_empty_one_stays_zero():
    embeds = torch.rand(2, 4, 8) + 0.1
    assert torch.equal(fill_padding(embeds), embeds)
    assert torch.equal(fill_padding(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
