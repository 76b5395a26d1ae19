"""An `ImageDynamics` small enough for a test."""

from pathlib import Path

import torch
from diffusers import DDPMScheduler
from tests.helpers.tiny_generator import SCHEDULE, WIDTH, LetterText

from glassine.models.image_dynamics import ImageDynamics
from glassine.models.image_unet import FrameUNet
from glassine.pretrained.weights import save_bundle

UNET = {
    "in_channels": 80,
    "out_channels": 16,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
}
SETTINGS = {"deviations": [2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.2, 0.2], "amounts": [0.001, 0.002, 0.003, 0.005]}


def tiny_dynamics() -> ImageDynamics:
    torch.manual_seed(0)
    schedule = DDPMScheduler(prediction_type="v_prediction", **SCHEDULE)
    return ImageDynamics(FrameUNet(**UNET), LetterText(), schedule, **SETTINGS)


def save_tiny_dynamics(folder: Path) -> str:
    """A bundle of the network, as `glassine export weights` writes it."""
    config = {
        "class_path": "glassine.models.image_dynamics.ImageDynamics",
        "init_args": {
            "unet": {"class_path": "glassine.models.image_unet.FrameUNet", "init_args": UNET},
            "text_encoder": {"class_path": "tests.helpers.tiny_generator.LetterText", "init_args": {}},
            "scheduler": {
                "class_path": "diffusers.DDPMScheduler",
                "init_args": {"prediction_type": "v_prediction", **SCHEDULE},
            },
            **SETTINGS,
        },
    }
    save_bundle(tiny_dynamics().requires_grad_(True), config, folder)
    return str(folder)
