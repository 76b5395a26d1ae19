import math

import pytest
import torch
from torch import nn

from glassine.models.ildiff import ILDiff, ILDiffOutput, LayoutHint
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.tasks.ildiff import ILDiffTask


class Pool(nn.Module):
    out_channels = 3

    def forward(self, x):
        return nn.functional.avg_pool2d(x, 8)


def make_task(hint: LayoutHint | None = None, **arguments) -> ILDiffTask:
    torch.manual_seed(0)
    mixed = {} if hint is None else {"hint_channels": 9, "mix_channels": 5}
    model = ILDiff(
        SmallVAE(width=8, decoder_width=8, blocks=1),
        TransparencyDecoder(
            block_out_channels=(8, 8, 8), attention_scales=0, layers_per_block=1, patch_size=2, **mixed
        ),
        LayoutAdapter(Pool(), depth=1, width=8),
        hint=hint,
    )
    task = ILDiffTask(model, lambda p: torch.optim.SGD(p, lr=0.0), **arguments)
    task.log_dict = lambda *_: None  # no trainer here
    return task


def batch() -> dict[str, torch.Tensor]:
    shape = (1, 4, 3, 16, 16)
    picture = {"clip": torch.rand(shape), "foreground": torch.rand(shape), "background": torch.rand(1, 3)}
    return picture | {"alpha": torch.rand(1, 4, 1, 16, 16)}


def test_the_loss_is_the_weighted_sum_of_alpha_color_and_harmlessness():
    task, data = make_task(alpha_weight=2.0, rgb_weight=0.5, harmless_weight=3.0), batch()
    out = task.ildiff(data["clip"])
    expected = (
        2.0 * (out.alpha - data["alpha"]).square().mean()
        + 0.5 * (out.foreground - data["foreground"]).square().mean()
        + 3.0 * (task.ildiff.reconstruct(out.latents) / 2 + 0.5 - data["clip"]).square().mean()
    )
    torch.testing.assert_close(task.training_step(data, 0), expected)


def test_the_decoders_own_alpha_is_asked_for_beside_the_mixed_one():
    truth = torch.zeros(1, 1, 1, 2, 2)

    class Fixed(nn.Module):
        decoder, adapter = nn.Identity(), None

        def forward(self, *_):
            return ILDiffOutput(truth, truth.expand(-1, -1, 3, -1, -1), truth, truth + 1)

    task = make_task(alpha_l1_weight=1.0, own_alpha_weight=0.25)
    task.ildiff = Fixed()
    data = {"clip": truth, "alpha": truth, "background": None, "foreground": truth.expand(-1, -1, 3, -1, -1)}
    assert task.training_step(data, 0) == 0.25 * (1 + 1)  # squared and absolute error of 1


def test_the_relative_loss_counts_a_halved_error_alike_on_easy_and_hard_clips():
    task = make_task(alpha_weight=0.0, relative_weight=1.0)
    truth = torch.zeros(1, 1, 1, 4, 4)
    hard = task.alpha_loss(truth + 0.8, truth) - task.alpha_loss(truth + 0.4, truth)
    easy = task.alpha_loss(truth + 0.08, truth) - task.alpha_loss(truth + 0.04, truth)
    assert hard.item() == pytest.approx(math.log(4), rel=0.01)
    assert easy.item() == pytest.approx(math.log(4), rel=0.01)
    both = task.alpha_loss(torch.cat([truth + 0.8, truth + 0.08]), torch.cat([truth, truth]))
    assert both.item() == pytest.approx((math.log(0.64) + math.log(0.0064)) / 2, rel=0.01)


@pytest.mark.parametrize(
    ("parts", "trained"),
    [
        (("adapter",), {"adapter"}),
        (("decoder",), {"decoder"}),
        (("image_encoder", "adapter", "decoder"), {"adapter", "decoder"}),
        (("hint",), {"hint"}),
    ],
)
def test_only_the_parts_that_are_named_are_trained_and_never_the_vae(parts, trained):
    task = make_task(LayoutHint(), train_parts=parts)
    names = {name.split(".")[1] for name, p in task.named_parameters() if p.requires_grad}
    assert names == trained


def test_parts_that_are_not_trained_keep_their_running_statistics():
    task = make_task(LayoutHint(), train_parts=("hint",))
    encoder = nn.Sequential(Pool(), nn.BatchNorm2d(3)).requires_grad_(False)
    task.ildiff.adapter.image_encoder = encoder
    task.train()
    task.ildiff(torch.rand(1, 2, 3, 32, 32), torch.ones(1, 3))
    assert encoder[1].num_batches_tracked == 0
    assert task.ildiff.hint.training


def test_the_pictures_that_feed_the_decoder_are_drawn_by_their_shares():
    task = make_task(pixel_sources={"input": 1.0, "reconstruction": 0.0})
    assert {task.draw_pixel_source() for _ in range(20)} == {"input"}
    task.pixel_sources = {"input": 0.5, "reconstruction": 0.5}
    assert {task.draw_pixel_source() for _ in range(50)} == {"input", "reconstruction"}


@pytest.mark.parametrize("came_frozen", [True, False])
def test_an_encoder_that_came_frozen_stays_so_and_out_of_the_checkpoint(came_frozen):
    encoder = nn.Sequential(nn.Conv2d(3, 3, 8, stride=8))
    encoder.out_channels = 3
    encoder.requires_grad_(not came_frozen)
    model = make_task().ildiff
    model.adapter = LayoutAdapter(encoder, depth=1, width=8)
    task = ILDiffTask(model, lambda p: torch.optim.SGD(p, lr=0.0))
    saved = [name for name in task.state_dict() if "image_encoder" in name]
    assert bool(saved) is not came_frozen
    assert all(p.requires_grad is not came_frozen for p in encoder.parameters())
    task = ILDiffTask(model, lambda p: torch.optim.SGD(p, lr=0.0), train_parts=("adapter",))
    learned = {name.split(".")[1] for name, p in task.named_parameters() if p.requires_grad}
    assert learned == {"adapter"}
    assert not any(p.requires_grad for p in encoder.parameters())
