import torch

from glassine.models.vae import RoundTrip, SmallVAE


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
