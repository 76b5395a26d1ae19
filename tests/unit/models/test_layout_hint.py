import pytest
import torch
from torch import nn

from glassine.models.ildiff import LayoutHint, disagreement


class Says(nn.Module):
    """A method that gives every pixel the same alpha."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, clip, background=None):
        return torch.full_like(clip[:, :, :1], self.alpha)


def test_the_hint_holds_the_evidence_and_each_candidate():
    hint = LayoutHint([Says(0.25), Says(1.0)])
    picture, alphas, _ = hint(torch.rand(1, 2, 3, 16, 16))
    assert picture.shape == (1, 2, hint.channels, 16, 16)
    torch.testing.assert_close(picture[:, :, -2:], alphas)
    assert alphas.unique().tolist() == [0.25, 1.0]


def test_trust_starts_even_and_is_learned():
    hint = LayoutHint([Says(0.25), Says(1.0)])
    _, _, trust = hint(torch.rand(1, 2, 3, 16, 16))
    assert trust.shape == (1, 2, 3, 1, 1)
    assert not trust.any()
    trust.sum().backward()
    assert hint.trust[-1].bias.grad.abs().min() > 0


def test_candidates_are_compared_two_by_two():
    alphas = torch.tensor([0.0, 0.25, 1.0])[None, None, :, None, None].expand(1, 1, 3, 4, 4)
    assert disagreement(alphas)[0, 0].tolist() == pytest.approx([0.25, 1.0, 0.75])


def test_one_candidate_disagrees_with_nobody():
    _, _, trust = LayoutHint([Says(0.5)])(torch.rand(1, 1, 3, 16, 16))
    assert trust.shape == (1, 1, 2, 1, 1)


def test_edges_weigh_alike_at_any_size():
    """The same drawing at twice the size: twice the edge pixels among four times the pixels."""

    class Edge(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width

        def forward(self, clip, background=None):
            alpha = torch.zeros_like(clip[:, :, :1])
            alpha[..., : self.width] = 1
            return alpha

    hint = LayoutHint([Says(0.0), Edge(1)])
    nn.init.normal_(hint.trust[-1].weight, generator=torch.Generator().manual_seed(0))
    small, large = (hint(torch.zeros(1, 1, 3, size, size))[2] for size in (32, 64))
    torch.testing.assert_close(small, large)
    assert small.abs().max() > 0.1
