import torch
from torch import nn

from glassine.models.transparency import TransparencyDecoder, TransparencyEncoder, TransparencyVAE
from glassine.models.vae import SmallVAE
from glassine.tasks.transparency import TransparencyTask


def make_task(**arguments) -> TransparencyTask:
    torch.manual_seed(0)
    codec = TransparencyVAE(
        SmallVAE(width=8, decoder_width=8, blocks=1),
        TransparencyEncoder(block_out_channels=(8, 8), patch_size=4),
        TransparencyDecoder(block_out_channels=(8, 8, 8), attention_scales=0, layers_per_block=1, patch_size=2),
    )
    return TransparencyTask(codec, lambda p: torch.optim.SGD(p, lr=0.0), **arguments)


def batch() -> dict[str, torch.Tensor]:
    shape = (1, 2, 3, 16, 16)
    return {"clip": torch.rand(shape), "foreground": torch.rand(shape), "alpha": torch.rand(1, 2, 1, 16, 16)}


def test_harmlessness_compares_the_frozen_decode_with_the_picture_on_gray():
    task, data = make_task(identity_weight=2.0), batch()
    named, _, _ = task.losses(data)
    foreground, alpha = data["foreground"][0], data["alpha"][0]
    decoded = task.codec.vae.decode(task.codec.encode(foreground, alpha)).sample
    expected = 2.0 * (decoded - (foreground * 2 - 1) * alpha).square().mean()
    torch.testing.assert_close(named["identity"], expected)


def test_alpha_and_padded_color_are_the_targets():
    task, data = make_task(), batch()
    named, real, fake = task.losses(data)
    torch.testing.assert_close(real, torch.cat([data["alpha"], data["foreground"]], 2)[0])
    torch.testing.assert_close(named["alpha"], (fake[:, :1] - data["alpha"][0]).square().mean())
    torch.testing.assert_close(named["color"], (fake[:, 1:] - data["foreground"][0]).square().mean())


def test_an_opaque_step_reads_the_clip_from_plain_latents():
    task, data = make_task(opaque_share=1.0), batch()
    nn.init.ones_(task.codec.encoder.blocks[-1].bias)  # an offset, which an opaque step must not use
    seen = []
    task.codec.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    named, _, _ = task.losses(data)
    torch.testing.assert_close(seen[0][1], task.codec.vae.encode(data["clip"][0] * 2 - 1).latent_dist.mean)
    assert named["identity"] == 0
