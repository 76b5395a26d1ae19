"""FAST-VQA's network, from the authors' weight files."""

import re
from functools import lru_cache
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.video.swin_transformer import (
    ShiftedWindowAttention3d,
    SwinTransformer3d,
    shifted_window_attention_3d,
)

from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state

GRID = 7  # fragments along each side of a frame
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # the authors' 123.675 ... and 58.395 ..., of 255


@lru_cache(maxsize=8)
def fragment_distance(height: int, width: int, window: tuple[int, ...], shift: tuple[int, ...]) -> Tensor:
    """Distance in fragments between the tokens of a window, `(wh ww) (h w) (h w)`: rows plus columns.

    Args:
        height: height of a frame in tokens, a multiple of the window's.
        width: likewise.
        window: height and width of a window.
        shift: amount the frame is rolled before it is split into windows.
    """
    places = torch.meshgrid(torch.arange(height) * GRID // height, torch.arange(width) * GRID // width, indexing="ij")
    rolled = torch.stack(places).roll((-shift[0], -shift[1]), dims=(1, 2))  # 2 h w
    tokens = rearrange(rolled, "c (wh h) (ww w) -> (wh ww) (h w) c", h=window[0], w=window[1])
    return (tokens[:, None] - tokens[:, :, None]).abs().sum(-1)


class GatedWindowAttention3d(ShiftedWindowAttention3d):
    """Window attention with FAST-VQA's gated relative position biases: one table inside, one across fragments.

    Tokens within a fragment have the same relative positions as in the video; tokens of different fragments do not. One
    would expect a gate of 0 inside a fragment and 1 across. In the authors' code, with which their weights were
    trained, it is the distance g of the fragments, which can exceed 1: the bias is (1 - g) * inside + g * across. We
    follow the code.
    """

    def define_relative_position_bias_table(self) -> None:
        """Create both tables; `relative_position_bias_table` is the one across fragments."""
        super().define_relative_position_bias_table()
        self.fragment_position_bias_table = nn.Parameter(torch.zeros_like(self.relative_position_bias_table))

    def forward(self, x: Tensor) -> Tensor:
        """Attention within windows of `b t h w d`."""
        sizes = list(x.shape[1:4])
        # dimensions that fit into one window are not shifted
        window = [min(size, limit) for size, limit in zip(sizes, self.window_size, strict=True)]
        shift = [0 if size <= w else s for size, w, s in zip(sizes, self.window_size, self.shift_size, strict=True)]
        along = [-(-size // w) for size, w in zip(sizes, window, strict=True)]  # windows, the last one may be padded
        gate = fragment_distance(along[1] * window[1], along[2] * window[2], tuple(window[1:]), tuple(shift[1:])).to(x)
        # distances do not depend on time, within and across windows
        gate = gate.repeat(along[0], window[0], window[0])[:, None]  # windows 1 q k
        tokens = window[0] * window[1] * window[2]
        index = self.relative_position_index[:tokens, :tokens]
        across = rearrange(self.relative_position_bias_table[index], "q k heads -> heads q k")
        inside = rearrange(self.fragment_position_bias_table[index], "q k heads -> heads q k")
        bias = torch.lerp(inside, across, gate)  # windows heads q k
        return shifted_window_attention_3d(
            x, self.qkv.weight, self.proj.weight, bias.repeat(len(x), 1, 1, 1), window, self.num_heads, shift,
            self.attention_dropout, self.dropout, self.qkv.bias, self.proj.bias, self.training,
        )  # fmt: skip


class FastVQA(nn.Module):
    """FAST-VQA-B: Video Swin-T with gated position biases and a regression head (Wu et al. 2022, arXiv 2207.02595).

    Built from torchvision's `SwinTransformer3d`, with `GatedWindowAttention3d` in the first three stages; the head
    scores each position and the result is the mean. Names, shapes and outputs (to 1e-5, random weights) were checked
    against the architecture in the authors' repository. Not checked, since we lack their weight file: that its tensor
    names match, and that it reproduces one of their published scores.

    Args:
        embed_dim: width of the first stage; it doubles from stage to stage.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        hidden: width of the head.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        embed_dim: int = 96,
        depths: tuple[int, int, int, int] = (2, 2, 6, 2),
        num_heads: tuple[int, int, int, int] = (3, 6, 12, 24),
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.backbone = SwinTransformer3d([2, 4, 4], embed_dim, list(depths), list(num_heads), [8, 7, 7])
        self.backbone.head = nn.Identity()
        for stage in range(3):
            for block in self.backbone.features[2 * stage]:
                plain = block.attn
                block.attn = GatedWindowAttention3d(
                    plain.qkv.in_features, plain.window_size, plain.shift_size, plain.num_heads
                )
        self.fc_hid = nn.Conv3d(self.backbone.num_features, hidden, 1)
        self.fc_last = nn.Conv3d(hidden, 1, 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1, 1), persistent=False)

    def forward(self, fragments: Tensor) -> Tensor:
        """Raw scores `n` of fragments `n 3 t 224 224` in [0, 1], one at a time to save memory."""
        return torch.cat([self.score((window - self.mean) / self.std) for window in fragments.split(1)])

    def score(self, x: Tensor) -> Tensor:
        """Raw scores `b` of normalized fragments `b 3 t h w`."""
        x = self.backbone.norm(self.backbone.features(self.backbone.patch_embed(x)))  # b t/2 h/32 w/32 d
        x = functional.gelu(self.fc_hid(rearrange(x, "b t h w d -> b d t h w")))
        return self.fc_last(x).mean((1, 2, 3, 4))  # b


def torchvision_name(name: str) -> str:
    """The name in `FastVQA` of a tensor in the authors' files.

    Their older files use `backbone` for `fragments_backbone` and `cls_head` for `vqa_head`.
    """
    name = re.sub(r"^(vqa|cls)_head\.", "", name)
    name = re.sub(r"^(fragments_)?backbone\.", "backbone.", name)
    name = re.sub(r"\.layers\.(\d+)\.blocks\.", lambda stage: f".features.{2 * int(stage[1])}.", name)
    name = re.sub(r"\.layers\.(\d+)\.downsample\.", lambda stage: f".features.{2 * int(stage[1]) + 1}.", name)
    return name.replace(".mlp.fc1.", ".mlp.0.").replace(".mlp.fc2.", ".mlp.3.")


def fast_vqa(checkpoint: str) -> FastVQA:
    """FAST-VQA-B with the authors' weights, frozen, for use as a `class_path` in a YAML.

    Args:
        checkpoint: path of `FAST_VQA_B_1_4.pth`; read without running any code in it. FasterVQA's file has the same
            tensors but needs different frames; FAST-VQA-M's is incompatible.

    Raises:
        UserError: the file does not exist or belongs to another network; the message names the first mismatch.
    """
    network = FastVQA()
    load_partial(network, read_state(Path(checkpoint)), torchvision_name, source=checkpoint)
    return network.eval().requires_grad_(False)
