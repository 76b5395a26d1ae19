"""VideoMAE as a feature network for the Fréchet video distance."""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from transformers import VideoMAEConfig, VideoMAEModel

from glassine.pretrained.hub import load_transformers
from glassine.utils.errors import UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VideoMAE(nn.Module):
    """Mean of VideoMAE's last tokens (Tong et al. 2022, arXiv 2203.12602), in transformers' format.

    Distances of such features are less biased toward single frames than I3D's (Ge et al. 2024, arXiv 2404.12391), so
    report both. That paper uses another network (VideoMAE-v2 ViT-g, after its last norm, inputs only divided by 255),
    so numbers are not comparable with it.

    Frames are resized to the network's size (224) by bilinear interpolation, uncropped, `align_corners=False`, then
    normalized.

    Args:
        source: a hub id such as `MCG-NJU/videomae-base-finetuned-ssv2`, or the path of a local copy.
        revision: branch, tag or commit on the hub.
        mean: of RGB in [0, 1]; ImageNet's by default, as in the processors of VideoMAE's checkpoints.
        std: of RGB in [0, 1].

    Raises:
        UserError: the model is not on the hub or at the path, is a different model, or is incomplete.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        source: str,
        revision: str | None = None,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.network = load_transformers(
            VideoMAEModel, VideoMAEConfig, "VideoMAE", source, revision, "MCG-NJU/videomae-base-finetuned-ssv2"
        ).requires_grad_(False)
        self.num_features = self.network.config.hidden_size
        frames: int = self.network.config.num_frames
        self.frames = (frames, frames)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Features `b d` of clips `b f 3 h w` in [0, 1]; raises UserError for the wrong number of frames."""
        if clips.shape[1] != self.frames[0]:
            raise UserError(
                f"clips must have {self.frames[0]} frames for this VideoMAE, got {clips.shape[1]}: "
                "FVD's protocols rep2_16f and pingpong_16f make 16 out of 8"
            )
        size: Any = self.network.config.image_size
        frames = rearrange(clips, "b f c h w -> (b f) c h w")
        frames = functional.interpolate(frames, size=(size, size), mode="bilinear", align_corners=False)
        frames = rearrange((frames - self.mean) / self.std, "(b f) c h w -> b f c h w", b=len(clips))
        return self.network(pixel_values=frames).last_hidden_state.mean(dim=1)  # b n d -> b d
