import torch

from glassine.models.vae import SmallVAE


def test_it_has_the_diffusers_interface_with_latents_at_an_eighth(tmp_path):
    vae = SmallVAE(width=8, decoder_width=8, blocks=1).eval()
    picture = torch.rand(2, 3, 32, 48) * 2 - 1
    posterior = vae.encode(picture).latent_dist
    assert posterior.mean.shape == posterior.sample().shape == (2, 4, 4, 6)
    assert vae.decode(posterior.mean).sample.shape == picture.shape
    assert vae.config.scaling_factor == 1.0
    vae.save_pretrained(tmp_path)
    torch.testing.assert_close(SmallVAE.from_pretrained(tmp_path)(picture), vae(picture))
