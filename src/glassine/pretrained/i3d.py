"""I3D on RGB; FVD is computed from its Kinetics-400 logits."""

from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError

# channels of the four branches: 1x1x1 | 1x1x1, 3x3x3 | 1x1x1, 3x3x3 | pool, 1x1x1
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# kernel and stride of the pooling before each of these, time first
POOLS = {"Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}
FEWEST_FRAMES = 9  # time is halved three times, rounding up, and the last pooling needs two steps


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zero-pad `b c t h w` like TensorFlow's SAME, with the odd element at the end."""
    padding: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        missing = max(k - (size % s or s), 0)
        padding += [missing // 2, missing - missing // 2]
    return functional.pad(x, padding)


def pool_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Max pooling with SAME padding; inputs are never negative, so zeros are harmless."""
    return functional.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


class Unit(nn.Module):
    """Convolution with SAME padding, then batch norm and ReLU; the last one of the network has neither."""

    def __init__(self, channels: int, out_channels: int, size: int, stride: int = 1, eps: float | None = 1e-5) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, out_channels, size, stride, bias=eps is None)
        self.bn = None if eps is None else nn.BatchNorm3d(out_channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Transform `b c t h w`."""
        x = self.conv3d(pad_same(x, self.conv3d.kernel_size, self.conv3d.stride))
        return x if self.bn is None else functional.relu(self.bn(x))


class Mixed(nn.Module):
    """Inception block of four branches with concatenated outputs."""

    def __init__(self, channels: int, widths: tuple[int, ...], eps: float) -> None:
        super().__init__()
        self.b0 = Unit(channels, widths[0], 1, eps=eps)
        self.b1a, self.b1b = Unit(channels, widths[1], 1, eps=eps), Unit(widths[1], widths[2], 3, eps=eps)
        self.b2a, self.b2b = Unit(channels, widths[3], 1, eps=eps), Unit(widths[3], widths[4], 3, eps=eps)
        self.b3b = Unit(channels, widths[5], 1, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Transform `b c t h w`; only the channels change."""
        pooled = pool_same(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class I3D(nn.Module):
    """Inflated Inception-v1 on RGB (Carreira and Zisserman 2017, arXiv 1705.07750, figure 3), 400 classes.

    The features are the logits, averaged over time, as in the FVD of VideoGPT, TATS and CD-FVD. Frames are resized to
    224 x 224 by bilinear interpolation, uncropped, without antialiasing and with `align_corners=False`, and scaled to
    [-1, 1]. Tensors are named as in pytorch-i3d, so that its files and `i3d_pretrained_400.pt` load by name.

    Args:
        eps: epsilon of the batch norms. The code around `i3d_pretrained_400.pt` (VideoGPT, CD-FVD) has 1e-5, our
            default; pytorch-i3d has 1e-3 for its own files.
        size: size to which frames are resized, a multiple of 32. FVD uses 224.
    """

    num_features = 400
    frames = (FEWEST_FRAMES, None)

    def __init__(self, eps: float = 1e-5, size: int = 224) -> None:
        super().__init__()
        self.size = size
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2, eps=eps)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1, eps=eps)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3, eps=eps)
        channels = 192
        for name, widths in MIXED.items():
            self.add_module(name, Mixed(channels, widths, eps))
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = Unit(channels, self.num_features, 1, eps=None)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits `b 400` of clips `b f 3 h w` in [0, 1]; raises UserError for fewer than 9 frames."""
        if clips.shape[1] < FEWEST_FRAMES:
            raise UserError(
                f"clips must have at least {FEWEST_FRAMES} frames for I3D, got {clips.shape[1]}: "
                "FVD's protocols rep2_16f and pingpong_16f make 16 out of 8"
            )
        frames = rearrange(clips, "b f c h w -> (b f) c h w")
        frames = functional.interpolate(frames, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return self.classify(rearrange(2 * frames - 1, "(b f) c h w -> b c f h w", b=len(clips)))

    def classify(self, x: Tensor) -> Tensor:
        """Logits `b 400` of prepared clips `b c f h w` in [-1, 1]."""
        x = pool_same(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))  # b 64 f/2 h/4 w/4
        x = pool_same(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))  # b 192 f/2 h/8 w/8
        for name in MIXED:
            if name in POOLS:
                x = pool_same(x, *POOLS[name])
            x = self.get_submodule(name)(x)  # b 1024 f/8 h/32 w/32 in the end
        x = x.mean((3, 4), keepdim=True)  # b 1024 f/8 1 1
        x = functional.avg_pool3d(x, (2, 1, 1), stride=1)  # b 1024 f/8-1 1 1
        return self.logits(x).mean((2, 3, 4))  # b 400


def i3d(checkpoint: str, eps: float = 1e-5) -> I3D:
    """I3D with published weights, frozen, for use as a `class_path` in a YAML.

    Args:
        checkpoint: path of `i3d_pretrained_400.pt` or of another file with pytorch-i3d's names; read without running
            any code in it.
        eps: see `I3D`.

    Raises:
        UserError: the file does not exist or belongs to another network; the message names the first mismatch.
    """
    network = I3D(eps)
    # files converted from TensorFlow have no training step counters
    load_partial(
        network,
        read_state(Path(checkpoint)),
        allow_missing=lambda name: name.endswith("num_batches_tracked"),
        source=checkpoint,
    )
    return network.eval().requires_grad_(False)
