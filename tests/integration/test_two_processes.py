"""Two processes, each with half of a batch, learn what one process learns from the whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from tests.helpers.tiny_generator import tiny_clip_mean, tiny_generator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from glassine.tasks.sticker_video import StickerVideoTask

CLIPS = 4


class Clips(Dataset):
    """The same clips, noise and steps in every process."""

    def __len__(self) -> int:
        return CLIPS

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        chance = torch.Generator().manual_seed(row)
        latents, noise = (torch.randn(2, 4, 4, 4, generator=chance) for _ in range(2))
        return {
            "latents": latents,
            "noise": noise,
            "timesteps": torch.tensor(100 + 200 * row),
            "row": torch.tensor(row),
        }


class KnownNoise(LightningModule):
    """The task's loss with noise that comes with the clip, since each process draws its own otherwise."""

    def __init__(self, to: Path, train_spatial: bool) -> None:
        super().__init__()
        generator = tiny_generator(in_channels=8, latent_mean=tiny_clip_mean())
        self.task = StickerVideoTask(generator, torch.optim.SGD, train_spatial=train_spatial)
        self.task.eval()  # no dropout
        self.task.log = lambda *_: None  # type: ignore[method-assign]
        self.to_file = to

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        embeds = self.task.generator.text_encoder([f"sticker {row}" for row in batch["row"].tolist()])
        losses = self.task.losses(batch["latents"], batch["noise"], batch["timesteps"], embeds)
        return losses.mean() + self.task.mean_loss(batch["latents"], embeds)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.global_rank == 0:
            torch.save({n: p.grad for n, p in self.named_parameters() if p.grad is not None}, self.to_file)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD((p for p in self.parameters() if p.requires_grad), lr=0.1)


def train_one_step(to: Path, devices: int, train_spatial: bool) -> None:
    sampler = DistributedSampler(Clips(), devices, 0, shuffle=False) if devices == 1 else None
    loader = DataLoader(Clips(), batch_size=CLIPS // devices, sampler=sampler)
    strategy = "ddp" if devices > 1 else "auto"
    options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_steps=1, enable_checkpointing=False, **options
    )
    trainer.fit(KnownNoise(to, train_spatial), loader)


@pytest.mark.parametrize("train_spatial", [True, pytest.param(False, marks=pytest.mark.full)])
def test_gradients_are_those_of_one_process_with_twice_the_batch(train_spatial, tmp_path):
    alone, together = tmp_path / "one.pt", tmp_path / "two.pt"
    train_one_step(alone, 1, train_spatial)
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, __file__, str(together), *["spatial"] * train_spatial]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=250, env=path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    wanted, found = torch.load(alone), torch.load(together)
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)
    assert sum(gradient.abs().sum() for gradient in wanted.values()) > 0
    motion = {name for name in wanted if ".latent_mean.motion." in name}
    assert motion
    assert any(".latent_mean.layers." in name for name in wanted) == train_spatial


if __name__ == "__main__":
    train_one_step(Path(sys.argv[1]), 2, "spatial" in sys.argv)
