import pytest
import torch

from glassine.models.vae import MultiScaleVAE, RoundTrip, SmallVAE


def test_it_has_the_diffusers_interface_with_latents_at_an_eighth(tmp_path):
    vae = SmallVAE(width=8, decoder_width=8, blocks=1).eval()
    picture = torch.rand(2, 3, 32, 48) * 2 - 1
    posterior = vae.encode(picture).latent_dist
    assert posterior.mean.shape == posterior.sample().shape == (2, 4, 4, 6)
    assert vae.decode(posterior.mean).sample.shape == picture.shape
    assert vae.config.scaling_factor == 1.0
    vae.save_pretrained(tmp_path)
    torch.testing.assert_close(SmallVAE.from_pretrained(tmp_path)(picture), vae(picture))


def test_a_round_trip_keeps_shape_and_range_and_does_not_train_the_vae():
    torch.manual_seed(0)
    vae = SmallVAE(width=8, decoder_width=8, blocks=1)
    clip = torch.rand(2, 3, 16, 16)
    decoded = RoundTrip(vae)(clip)
    torch.testing.assert_close(decoded, (vae(clip * 2 - 1) / 2 + 0.5).clamp(0, 1))
    assert not any(parameter.requires_grad for parameter in vae.parameters())


def test_the_multi_scale_vae_has_the_same_interface(tmp_path):
    vae = MultiScaleVAE(latent_channels=6, encoder_widths=(8, 8, 16), decoder_widths=(8, 16, 16), blocks=1).eval()
    picture = torch.rand(2, 3, 32, 48) * 2 - 1
    posterior = vae.encode(picture).latent_dist
    assert posterior.mean.shape == (2, 6, 4, 6)
    assert vae.decode(posterior.mean).sample.shape == picture.shape
    vae.save_pretrained(tmp_path)
    torch.testing.assert_close(MultiScaleVAE.from_pretrained(tmp_path)(picture), vae(picture))


def test_scales_that_do_not_make_an_eighth_are_refused():
    with pytest.raises(ValueError, match=r"must be 8, got 2 and decoder_widths"):
        MultiScaleVAE(decoder_widths=(8, 8))


def test_flat_areas_keep_their_level_before_training():
    # a normalization would map every flat picture to the same latents
    vae = MultiScaleVAE(encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8), blocks=1).eval()
    dark, light = (vae.encode(torch.full((1, 3, 32, 32), level)).latent_dist.mean for level in (-0.5, 0.5))
    assert not torch.allclose(dark[..., 1:-1, 1:-1], light[..., 1:-1, 1:-1], atol=1e-3)
