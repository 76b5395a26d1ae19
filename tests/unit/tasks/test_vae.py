import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from glassine.models.vae import MultiScaleVAE
from glassine.nn.losses import PatchDiscriminator, PerceptualLoss
from glassine.tasks.vae import VAETask


def vae() -> MultiScaleVAE:
    return MultiScaleVAE(latent_channels=4, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8), blocks=1)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


def rgba(count: int = 4, side: int = 32) -> dict[str, object]:
    torch.manual_seed(0)
    return {"rgba": torch.rand(count, 1, 4, side, side), "key": ["k"] * count}


def fit(task: VAETask, batches: int = 4) -> Trainer:
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(task, DataLoader([rgba() for _ in range(batches)], batch_size=None))
    return trainer


def test_transparent_pictures_are_rebuilt_on_random_backgrounds():
    task, batch = VAETask(vae(), adam), rgba()
    pictures = task.pictures(batch)
    assert pictures.shape == (4, 3, 32, 32)
    assert not torch.equal(pictures, task.pictures(batch))
    assert pictures.abs().max() <= 1


def test_validation_reports_the_three_plain_backgrounds(monkeypatch):
    task, logged = VAETask(vae(), adam), {}
    monkeypatch.setattr(task, "log_dict", lambda values, **_: logged.update(values))
    task.validation_step(rgba(), 0)
    assert set(logged) == {"val/psnr", "val/psnr_white", "val/psnr_gray", "val/psnr_black"}
    plain = [logged[f"val/psnr_{name}"] for name in ("white", "gray", "black")]
    torch.testing.assert_close(logged["val/psnr"], torch.stack(plain).mean())


def test_the_discriminator_waits_for_its_start_and_then_learns():
    early = VAETask(vae(), adam, discriminator=PatchDiscriminator(3, 4), adversarial_start=100)
    late = VAETask(vae(), adam, discriminator=PatchDiscriminator(3, 4), adversarial_start=0)
    for task, learns in ((early, False), (late, True)):
        before = [p.clone() for p in task.discriminator.parameters()]
        fit(task)
        same = all(torch.equal(a, b) for a, b in zip(before, task.discriminator.parameters(), strict=True))
        assert same is not learns


def test_a_decoder_can_be_tuned_alone():
    task = VAETask(vae(), adam, decoder_only=True, discriminator=PatchDiscriminator(3, 4))
    encoder = [p.clone() for p in task.vae.encoder.parameters()]
    decoder = [p.clone() for p in task.vae.decoder.parameters()]
    fit(task)
    assert all(torch.equal(a, b) for a, b in zip(encoder, task.vae.encoder.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(decoder, task.vae.decoder.parameters(), strict=True))


def test_resized_latents_are_compared_with_the_resized_picture():
    task = VAETask(vae(), adam, resized_share=1.0)
    _, y = task.losses(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert y.shape[-1] in (32, 48)


class Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, pictures):
        return [self.conv(pictures)]


def test_the_perceptual_network_is_used_and_stays_out_of_the_checkpoint():
    task = VAETask(vae(), adam, perceptual=PerceptualLoss(Maps(), [1.0]), perceptual_weight=0.5)
    named, _ = task.losses(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert named["perceptual"] > 0
    assert not [name for name in task.state_dict() if name.startswith("perceptual")]


@pytest.mark.parametrize("name", ["clip", "rgba"])
def test_predictions_have_the_shape_of_the_clip(name):
    batch = {name: torch.rand(2, 3, 4 if name == "rgba" else 3, 32, 32), "key": ["a", "b"]}
    made = VAETask(vae(), adam).predict_step(batch, 0)
    assert made["reconstruction"].shape == (2, 3, 3, 32, 32)
