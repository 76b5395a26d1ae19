import torch

from glassine.nn.prompt_padding import fill_padding


def test_padding_holds_the_mean_of_the_tokens_before_it():
    embeds = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [0.0, 0.0]], [[4.0, 4.0], [0.0, 0.0], [0.0, 0.0]]])
    filled = fill_padding(embeds)
    assert filled[0].tolist() == [[1.0, 0.0], [3.0, 2.0], [2.0, 1.0]]
    assert filled[1].tolist() == [[4.0, 4.0]] * 3


def test_embeddings_without_padding_stay_bit_equal_and_an_empty_one_stays_zero():
    embeds = torch.rand(2, 4, 8) + 0.1
    assert torch.equal(fill_padding(embeds), embeds)
    assert torch.equal(fill_padding(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
