"""Twenty steps of each task on the CPU end at the loss that they ended at when it was last changed on purpose."""

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from tests.helpers.tiny_generator import tiny_generator, tiny_mean
from tests.helpers.tiny_transparent import tiny_frame_unet, tiny_motion_unet, tiny_transparent

from glassine.data.datamodule import StickerDataModule
from glassine.data.dataset import Stickers
from glassine.models.ildiff import ILDiff, LayoutHint
from glassine.models.sam import TimmImageEncoder
from glassine.models.transparency import TransparencyDecoder, TransparencyEncoder, TransparencyVAE
from glassine.models.vae import SmallVAE
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.nn.losses import PatchDiscriminator
from glassine.tasks.ildiff import ILDiffTask
from glassine.tasks.sticker_video import StickerVideoTask
from glassine.tasks.transparency import TransparencyTask
from glassine.tasks.transparent_image import TransparentImageTask
from glassine.tasks.transparent_video import TransparentVideoTask
from glassine.tasks.vae import VAETask


def optimizer(parameters):
    return torch.optim.AdamW(parameters, lr=2e-3)


def vae() -> SmallVAE:
    return SmallVAE(width=16, decoder_width=16, blocks=1)


def decoder(**more: int) -> TransparencyDecoder:
    return TransparencyDecoder(
        block_out_channels=(8, 16, 16), attention_scales=1, layers_per_block=1, patch_size=2, **more
    )


def vae_task() -> VAETask:
    return VAETask(vae(), optimizer)


def transparency_task() -> TransparencyTask:
    codec = TransparencyVAE(vae(), TransparencyEncoder(block_out_channels=(8, 16), patch_size=4), decoder())
    discriminator = PatchDiscriminator(width=4)
    how = {"adversarial_start": 10, "opaque_share": 0.5, "identity_weight": 4.0}
    return TransparencyTask(codec, optimizer, discriminator=discriminator, **how)


def ildiff_task() -> ILDiffTask:
    adapter = LayoutAdapter(TimmImageEncoder("mobilenetv3_small_050", stage=2), depth=2, width=8)
    model = ILDiff(vae(), decoder(hint_channels=9, mix_channels=5), adapter, "reconstruction", LayoutHint())
    return ILDiffTask(model, optimizer, harmless_frames=1, pixel_sources={"input": 0.5, "reconstruction": 0.5})


def sticker_video_task() -> StickerVideoTask:
    generator = tiny_generator("v_prediction", in_channels=8, latent_mean=tiny_mean())
    return StickerVideoTask(generator, optimizer, min_snr_gamma=5.0)


def transparent_image_task() -> TransparentImageTask:
    return TransparentImageTask(tiny_transparent(tiny_frame_unet()), optimizer, timestep_shift=2.0)


def transparent_video_task() -> TransparentVideoTask:
    unet = tiny_motion_unet(motion_buckets=10)
    return TransparentVideoTask(tiny_transparent(unet, "v_prediction"), optimizer)


@pytest.mark.parametrize(
    ("make", "loss", "steps"),
    [(vae_task, {"train/loss": 0.93289}, 20),
     (transparency_task, {"train/alpha": 0.22394, "train/color": 0.12465, "train/identity": 0.33770,
                          "train/adversarial": 0.010988, "train/discriminator": 0.17886}, 30),
     (ildiff_task, {"train/alpha": 0.05405, "train/harmless": 0.13202, "train/rgb": 0.033755,
                    "train/loss": 0.21983}, 20),
     (sticker_video_task, {"train/loss": 0.85616, "train/latent_mean": 2.53061}, 20),
     (transparent_image_task, {"train/loss": 0.98876}, 20), (transparent_video_task, {"train/loss": 1.23048}, 20)],
)  # fmt: skip
def test_twenty_steps_end_at_the_golden_loss(make, loss, steps, tmp_path):
    seed_everything(0, verbose=False)
    data = StickerDataModule(Stickers(procedural=40, size=(32, 32), num_frames=2), batch_size=2)
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, log_every_n_steps=1, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(make(), data)
    reached = {name: float(trainer.callback_metrics[name]) for name in loss}
    assert reached == pytest.approx(loss, rel=0.05), reached
