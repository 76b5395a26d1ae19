import pytest
import torch
from torch import nn

from glassine.models.classic import ColorProjection
from glassine.models.ildiff import ILDiff, LayoutHint, disagreement
from glassine.models.sam import TimmImageEncoder
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.nn.layout_adapter import LayoutAdapter


def small_ildiff(depth: int = 1, hint: bool = True, pixel_source: str = "input") -> ILDiff:
    torch.manual_seed(0)
    encoder = TimmImageEncoder("mobilenetv3_small_050", stage=2)
    decoder = TransparencyDecoder(
        block_out_channels=(8, 8, 16),
        attention_scales=1,
        layers_per_block=1,
        patch_size=2,
        hint_channels=9 if hint else 0,
        mix_channels=5 if hint else 0,
    )
    nn.init.normal_(decoder.latent_conv_in.weight)  # as after training
    adapter = LayoutAdapter(encoder, depth=depth, width=8, zero_init=False)
    return ILDiff(
        SmallVAE(width=8, decoder_width=8, blocks=1),
        decoder,
        adapter,
        pixel_source,  # type: ignore[arg-type]
        LayoutHint() if hint else None,
    ).eval()


@pytest.fixture
def clip() -> torch.Tensor:
    clip = torch.ones(1, 4, 3, 32, 32)
    clip[..., 8:24, 8:24] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    return clip


@torch.no_grad()
def test_the_adapters_features_are_added_to_the_latents(clip):
    model = small_ildiff()
    plain = model.vae.encode(clip[0] * 2 - 1).latent_dist.mean
    expected = plain + model.adapter(clip, (4, 4))[0]
    torch.testing.assert_close(model.adjusted_latents(clip)[0], expected)
    assert not torch.allclose(expected, plain)


@torch.no_grad()
def test_the_decoder_is_fed_what_the_argument_says(clip):
    seen = []
    model = small_ildiff(hint=False, pixel_source="reconstruction")
    model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    out = model(clip)
    torch.testing.assert_close(seen[0], (model.reconstruct(out.latents)[0] / 2 + 0.5).clamp(0, 1))
    model(clip, pixel_source="input")
    torch.testing.assert_close(seen[1], clip[0])


@torch.no_grad()
def test_at_depth_0_frames_do_not_see_each_other_and_above_they_do_within_the_radius():
    clip = torch.rand(1, 7, 3, 32, 32)
    changed = clip.clone()
    changed[:, 0] = 0
    for depth in (0, 2):
        model = small_ildiff(depth=depth, hint=False)
        assert model.temporal_radius == depth
        difference = (model.decode(clip)[0] - model.decode(changed)[0]).abs().amax((0, 2, 3, 4))
        assert difference[depth + 1 :].max() < 1e-6  # far frames stay as they are
        assert (difference[1 : depth + 1] > 0).all()


@torch.no_grad()
def test_with_a_hint_alpha_is_a_weighted_mean_of_the_decoders_and_the_candidates(clip):
    model = small_ildiff()
    nn.init.constant_(model.decoder.mix_conv_out.bias, 0)
    bias = torch.zeros(5, 4)
    bias[1] = 50.0  # believe the first candidate alone; pixel-shuffle keeps a channel's four entries together
    model.decoder.mix_conv_out.bias.copy_(bias.flatten())
    alpha, _ = model.decode(clip)
    _, candidates, _ = model.hint(clip)
    torch.testing.assert_close(alpha[:, :, 0], candidates[:, :, 0])
    assert alpha[0, 0, 0, 16, 16] == 1
    assert alpha[0, 0, 0, 0, 0] < 1e-6
    own, _ = model.decode(clip, mixed=False)
    torch.testing.assert_close(own, model(clip).own_alpha.clamp(0, 1))


def test_the_vae_stays_frozen_and_in_eval_mode():
    model = small_ildiff().train()
    assert not model.vae.training
    assert not any(p.requires_grad for p in model.vae.parameters())
    assert model.decoder.training


def test_a_decoder_that_does_not_read_the_hint_is_refused():
    model = small_ildiff()
    with pytest.raises(ValueError, match="must be 0 and 0 for this hint"):
        ILDiff(model.vae, model.decoder, model.adapter)
    with pytest.raises(ValueError, match="must be 6 and 2 for this hint"):
        ILDiff(model.vae, model.decoder, model.adapter, hint=LayoutHint([ColorProjection()]))


@torch.no_grad()
def test_a_gain_bends_the_decoders_alpha_towards_clear_and_opaque_and_leaves_colors(clip):
    model = small_ildiff(hint=False)
    plain = model(clip)
    model.alpha_gain = 8.0
    bent = model(clip)
    torch.testing.assert_close(bent.alpha, (8 * (plain.alpha - 0.5)).sigmoid())
    torch.testing.assert_close(bent.foreground, plain.foreground)
    torch.testing.assert_close(model.decode(clip)[0], bent.alpha)


@torch.no_grad()
def test_a_gain_bends_no_candidate(clip):
    model = small_ildiff()
    nn.init.zeros_(model.decoder.mix_conv_out.bias)
    model.decoder.mix_conv_out.bias[16:] += 100  # 5 channels of 2 x 2 pixels: the last candidate alone is believed
    model.alpha_gain = 8.0
    candidate = model.hint(clip)[1][:, :, 3:]
    torch.testing.assert_close(model(clip).alpha, candidate, atol=1e-4, rtol=0)


def test_a_gain_is_positive():
    model = small_ildiff(hint=False)
    with pytest.raises(ValueError, match=r"alpha_gain must be positive.*, got 0"):
        ILDiff(model.vae, model.decoder, None, alpha_gain=0)


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
