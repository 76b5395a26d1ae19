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
from glassine.nn.diffusion import enable_checkpointing
from glassine.tasks.transparency import TransparencyTask
from glassine.utils.errors import UserError


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
    # of pixels in [0, 1]: a quarter of the squared error in [-1, 1]
    expected = 2.0 * (decoded - (foreground * 2 - 1) * alpha).square().mean() / 4
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


def test_where_padding_has_changed_soft_edges_the_vae_sees_the_stickers_own_color():
    task, data = make_task(), batch()
    data["color"] = torch.rand_like(data["foreground"])
    seen = []
    task.codec.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    named, real, _ = task.losses(data)
    color, alpha = data["color"][0], data["alpha"][0]
    latents = task.codec.encode(data["foreground"][0], alpha, color)
    torch.testing.assert_close(task.codec.vae.encode((color * 2 - 1) * alpha).latent_dist.mean, latents)
    on_gray = (color - 0.5) * alpha + 0.5
    decoded = task.codec.vae.decode(latents).sample / 2 + 0.5
    torch.testing.assert_close(named["identity"], (decoded - on_gray).square().mean())
    assert torch.equal(seen[0][1], data["foreground"][0])  # the offset is made from the padded one, which is the target
    assert torch.equal(real[:, 1:], data["foreground"][0])


@pytest.mark.parametrize("decoder", [TransparencyDecoder, PlainTransparencyDecoder])
def test_checkpointing_changes_memory_and_not_the_gradients(decoder):
    gradients, kept = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        widths = {"block_out_channels": (8, 8, 8), "layers_per_block": 1, "patch_size": 2, "latent_channels": 4}
        if decoder is TransparencyDecoder:
            widths |= {"attention_scales": 1, "norm_num_groups": 4}
        codec = TransparencyVAE(
            SmallVAE(width=8, decoder_width=8, blocks=1),
            TransparencyEncoder(block_out_channels=(8, 8), patch_size=4),
            decoder(**widths),
        )
        nn.init.normal_(codec.encoder.blocks[-1].weight, std=0.01)
        task = TransparencyTask(codec, lambda p: torch.optim.SGD(p, lr=0.0), gradient_checkpointing=checkpointing)
        sizes: list[int] = []
        torch.manual_seed(1)
        data = batch()
        with torch.autograd.graph.saved_tensors_hooks(lambda x, n=sizes: (n.append(x.numel()), x)[1], lambda x: x):
            torch.stack(list(task.losses(data)[0].values())).sum().backward()
        kept.append(sum(sizes))
        gradients.append({name: p.grad for name, p in task.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)
    assert kept[1] < 0.7 * kept[0]


def test_a_network_without_checkpointing_is_named():
    with pytest.raises(UserError, match="gradient_checkpointing must be false for a Linear"):
        enable_checkpointing(nn.Linear(1, 1))
