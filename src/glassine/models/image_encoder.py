"""A timm network as the image encoder of the layout adapter."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TimmImageEncoder(nn.Module):
    """One feature map of a timm network: pictures `n 3 h w` in [0, 1] to `n d h/stride w/stride`.

    Args:
        name: any timm model that can return feature maps.
        stage: index of the map among those timm returns; for most networks stage 3 has a stride of 16.
        pretrained: take timm's public weights (needs the hub or timm's cache).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = "mobilenetv4_conv_small", stage: int = 3, pretrained: bool = False) -> None:
        super().__init__()
        self.network = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=(stage,))
        info: Any = self.network.feature_info
        drop_later_blocks(self.network, info.module_name()[0])
        self.out_channels: int = info.channels()[0]
        self.stride: int = info.reduction()[0]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The feature map."""
        return self.network((pictures - self.mean) / self.std)[0]


def drop_later_blocks(network: nn.Module, last: str) -> None:
    """Delete what follows the block named `last`, for instance `blocks.2`.

    timm's MobileNets run and keep their blocks behind the last map that is asked for; they would cost time, count as
    parameters, and never get a gradient.
    """
    blocks, _, number = last.rpartition(".")
    if number.isdigit():
        del network.get_submodule(blocks)[int(number) + 1 :]  # type: ignore[operator]
