import pytest
import torch
from torch import nn

from glassine.models.transparency import (
    PlainTransparencyDecoder,
    TransparencyDecoder,
    TransparencyEncoder,
    TransparencyVAE,
)
from glassine.models.vae import SmallVAE

SMALL = {"block_out_channels": (8, 8, 16), "attention_scales": 1, "layers_per_block": 1, "patch_size": 2}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def small_codec() -> TransparencyVAE:
    torch.manual_seed(0)
    return TransparencyVAE(
        SmallVAE(width=8, decoder_width=8, blocks=1),
        TransparencyEncoder(block_out_channels=(8, 8), patch_size=4),
        TransparencyDecoder(**SMALL, norm_num_groups=4),
    )


def test_full_size_networks_have_the_official_parameter_counts():
    with torch.device("meta"):
        assert parameters(TransparencyEncoder()) == 1_181_764
        assert parameters(TransparencyDecoder()) == 104_104_804


def test_full_size_networks_have_the_official_names_so_that_official_weights_load():
    with torch.device("meta"):
        encoder, decoder = TransparencyEncoder().state_dict(), TransparencyDecoder().state_dict()
    # conv, activation, conv, activation, ...: nine convolutions at even places, the last without an activation
    assert {name.split(".")[1] for name in encoder} == {str(i) for i in range(0, 17, 2)}
    assert encoder["blocks.4.weight"].shape == (64, 32, 3, 3)
    assert encoder["blocks.16.weight"].shape == (4, 256, 3, 3)
    assert {name.split(".")[0] for name in decoder} == {
        "conv_in", "latent_conv_in", "down_blocks", "mid_block", "up_blocks", "conv_norm_out", "conv_out",
    }  # fmt: skip
    assert decoder["latent_conv_in.weight"].shape == (64, 4, 1, 1)
    assert decoder["conv_out.weight"].shape == (4, 32, 3, 3)
    assert "down_blocks.4.attentions.0.to_q.weight" in decoder
    assert "down_blocks.3.attentions.0.to_q.weight" not in decoder
    assert decoder["up_blocks.6.resnets.2.conv1.weight"].shape == (32, 64, 3, 3)


def test_latents_join_the_decoder_on_their_own_grid():
    with torch.device("meta"):
        assert TransparencyDecoder().latent_block == 3
    assert TransparencyDecoder(**SMALL, norm_num_groups=4).latent_block == 2


def test_an_untrained_decoder_ignores_latents_and_hint_and_a_trained_one_does_not():
    torch.manual_seed(0)
    decoder = TransparencyDecoder(**SMALL, norm_num_groups=4, hint_channels=2)
    pixel, latents, hint = torch.rand(1, 3, 16, 16), torch.randn(1, 4, 2, 2), torch.rand(1, 2, 16, 16)
    plain = decoder(pixel, torch.zeros_like(latents))
    torch.testing.assert_close(decoder(pixel, latents, hint), plain)
    nn.init.ones_(decoder.latent_conv_in.weight)
    assert not torch.allclose(decoder(pixel, latents), plain)
    nn.init.ones_(decoder.hint_conv_in.weight)
    assert not torch.allclose(decoder(pixel, torch.zeros_like(latents), hint), plain)


def test_a_decoder_that_never_meets_the_latents_grid_is_refused():
    with pytest.raises(ValueError, match="must reach the latents' grid"):
        TransparencyDecoder(block_out_channels=(8, 8), attention_scales=0)
    with pytest.raises(ValueError, match="stride of 8"):
        TransparencyEncoder(block_out_channels=(8, 8))


def test_an_untrained_codec_leaves_the_latents_as_the_vae_makes_them_of_the_picture_on_gray():
    codec = small_codec()
    foreground, alpha = torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
    on_gray = (foreground * 2 - 1) * alpha  # transparent is 0, mid gray
    torch.testing.assert_close(codec.encode(foreground, alpha), codec.vae.encode(on_gray).latent_dist.mean)


def test_the_offset_is_counted_in_posterior_deviations_times_300():
    codec = small_codec()
    nn.init.constant_(codec.encoder.blocks[-1].bias, 0.01)
    foreground, alpha = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    posterior = codec.vae.encode(foreground * 2 - 1).latent_dist
    torch.testing.assert_close(codec.encode(foreground, alpha), posterior.mean + 3.0 * posterior.std)


def test_the_plain_decoder_answers_as_the_official_one_and_reads_latents_and_hint():
    torch.manual_seed(0)
    decoder = PlainTransparencyDecoder(latent_channels=6, block_out_channels=(8, 8, 8), hint_channels=2, mix_channels=3)
    pixel, latents, hint = torch.rand(2, 3, 32, 48), torch.randn(2, 6, 4, 6), torch.rand(2, 2, 32, 48)
    made = decoder(pixel, latents, hint)
    assert made.shape == (2, 7, 32, 48)
    assert decoder.size_multiple == 8
    torch.testing.assert_close(made, decoder(pixel, latents))  # an untrained hint changes nothing
    assert not torch.allclose(made, decoder(pixel, latents + 1))


def test_a_plain_decoder_without_the_latents_grid_is_refused():
    with pytest.raises(ValueError, match="stride of 8, got patch_size 2 and 2 scales"):
        PlainTransparencyDecoder(block_out_channels=(8, 8))
