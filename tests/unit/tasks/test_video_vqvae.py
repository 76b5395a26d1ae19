import math

import pytest
import torch
from torch import nn

from glassine.metrics.image import psnr
from glassine.models.video_vqvae import VideoVQVAE
from glassine.tasks.video_vqvae import CodeUse, VideoVQVAETask


def make_task(**arguments) -> VideoVQVAETask:
    torch.manual_seed(0)
    vqvae = VideoVQVAE(8, 1, 2, 16, 4, (2, 4, 4))
    return VideoVQVAETask(vqvae, lambda p: torch.optim.Adam(p, lr=0.003), **arguments)


def logged_by(task) -> dict[str, float]:
    values: dict[str, float] = {}
    task.log_dict = lambda named, **_: values.update({name: value.item() for name, value in named.items()})
    task.log = lambda name, value, **_: values.update({name: value.item()})
    return values


def test_the_loss_is_scaled_reconstruction_plus_commitment():
    task = make_task(data_variance=0.5, commitment_weight=2.0).eval()
    values, clip = logged_by(task), torch.rand(2, 4, 3, 8, 8)
    loss = task.training_step({"clip": clip}, 0)
    reconstruction, _, commitment = task.vqvae(clip)
    torch.testing.assert_close(loss, (reconstruction - clip).square().mean() / 0.5 + 2 * commitment)
    assert {"train/loss", "train/perplexity", "train/used"} <= set(values)


def test_training_lowers_the_loss():
    task = make_task().train()
    logged_by(task)
    optimizer, batch = task.configure_optimizers(), {"clip": torch.rand(2, 1, 3, 1, 1).expand(2, 4, 3, 8, 8)}
    first = task.training_step(batch, 0).item()
    for step in range(15):
        optimizer.zero_grad()
        loss = task.training_step(batch, step)
        loss.backward()
        optimizer.step()
    assert loss < 0.7 * first


def test_validation_tells_psnr_and_the_use_of_codes_over_the_whole_pass():
    task = make_task().eval()
    values, clips = logged_by(task), torch.rand(2, 2, 4, 3, 8, 8)
    for batch_idx, clip in enumerate(clips):
        task.validation_step({"clip": clip}, batch_idx)
    task.on_validation_epoch_end()
    torch.testing.assert_close(values["val/psnr"], psnr(task.reconstruct(clips[1]), clips[1]).mean().item())
    codes = task.vqvae.encode(clips.flatten(0, 1))
    assert values["val/used"] == pytest.approx(len(codes.unique()) / 16)
    assert not task.code_use.counts.any()  # the next pass starts afresh


def test_perplexity_is_the_number_of_codes_when_all_are_as_frequent():
    use = CodeUse(8)
    use.update(torch.tensor([[0, 1], [2, 3]]))
    assert use.compute()["perplexity"].item() == pytest.approx(4)
    assert use.compute()["used"] == 0.5
    use.update(torch.zeros(1000, dtype=torch.long))
    assert use.compute()["perplexity"] < math.sqrt(2)


def test_preview_and_prediction_show_what_the_codes_keep():
    task = make_task().eval()
    batch = {"clip": torch.rand(2, 4, 3, 8, 8), "key": ["a", "b"]}
    shown = task.preview(batch)
    assert list(shown) == ["input", "reconstruction"]
    torch.testing.assert_close(shown["reconstruction"], task.predict_step(batch, 0)["reconstruction"])
    assert shown["reconstruction"].shape == batch["clip"].shape


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="vqvae must be a VideoVQVAE, got a Linear"):
        VideoVQVAETask(nn.Linear(1, 1), lambda p: torch.optim.Adam(p))
