"""Animated Stickers' networks small enough to be trained in a test."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from tests.helpers.tiny_generator import SCHEDULE, UNET, LetterText
from tests.helpers.tiny_transparent import CODEC, tiny_codec

from glassine.models.image_to_video import ImageToVideo
from glassine.models.image_to_video_unet import ImageToVideoUNet
from glassine.models.sampling import Distilled
from glassine.pretrained.weights import save_bundle

WHOLE: dict[str, Any] = UNET | {"in_channels": 9, "motion_buckets": 10, "frame_rate": True}
V_SCHEDULE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def tiny_clip_unet(**arguments: Any) -> ImageToVideoUNet:
    """In eval mode, with the same weights at each call."""
    torch.manual_seed(0)
    return ImageToVideoUNet(**WHOLE | arguments).eval()


def tiny_image_to_video(
    unet: ImageToVideoUNet | None = None, distilled: Distilled | None = None, velocities: bool = True, **arguments: Any
) -> ImageToVideo:
    how = V_SCHEDULE if velocities else SCHEDULE
    made = tiny_clip_unet() if unet is None else unet
    codec = tiny_codec()
    return ImageToVideo(made, codec, LetterText(), DDPMScheduler(**how), distilled=distilled, **arguments).eval()


def described(unet: dict[str, Any] | None = None, distilled: dict[str, Any] | None = None) -> dict[str, Any]:
    """The network as a YAML has it."""
    arguments: dict[str, Any] = {
        "unet": {"class_path": "glassine.models.image_to_video_unet.ImageToVideoUNet", "init_args": unet or WHOLE},
        "codec": {"class_path": "glassine.models.transparency.TransparencyVAE", "init_args": CODEC},
        "text_encoder": {"class_path": "tests.helpers.tiny_generator.LetterText"},
        "scheduler": {"class_path": "diffusers.DDPMScheduler", "init_args": V_SCHEDULE},
    }
    if distilled is not None:
        arguments["distilled"] = {"class_path": "glassine.models.sampling.Distilled", "init_args": distilled}
    return {"class_path": "glassine.models.image_to_video.ImageToVideo", "init_args": arguments}


def save_tiny_image_to_video(folder: Path, unet: dict[str, Any] | None = None, **distilled: Any) -> str:
    """A bundle of the network, as `glassine export weights` writes it."""
    network = tiny_image_to_video(
        tiny_clip_unet(**(unet or {})), Distilled(**distilled) if distilled else None
    ).requires_grad_(True)
    save_bundle(network, described(WHOLE | (unet or {}), distilled or None), folder, torch.float32)
    return str(folder)
