"""RAFT's optical flow (arXiv 2003.12039), with torchvision's weights."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.optical_flow import raft_large, raft_small

from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError

STRIDE = 8
SHORTEST = 128


class RAFTFlow(nn.Module):
    """torchvision's RAFT for `glassine.metrics.dynamic_degree.DynamicDegree`.

    Sides that are not multiples of 8 are padded by replicating the edges, half on each side, and the padding is cropped
    afterwards; VBench keeps it.

    Args:
        network: torchvision's `RAFT`.
        updates: number of flow updates; 20 in VBench, 12 by default in torchvision.
    """

    def __init__(self, network: nn.Module, updates: int = 20) -> None:
        super().__init__()
        self.network, self.updates = network, updates

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Pixels `n 2 h w`, x first, from frames `n 3 h w` in [0, 1] to those after them.

        Raises:
            UserError: the frames are too small.
        """
        height, width = first.shape[-2:]
        down, right = -height % STRIDE, -width % STRIDE
        if min(height + down, width + right) < SHORTEST:
            raise UserError(f"frames must be at least {SHORTEST} x {SHORTEST} for RAFT, got {height} x {width}")
        top, left = down // 2, right // 2
        edges = (left, right - left, top, down - top)
        seen = [functional.pad(2 * frames - 1, edges, mode="replicate") for frames in (first, second)]
        flow = self.network(*seen, num_flow_updates=self.updates)[-1]
        return flow[..., top : top + height, left : left + width]


def raft(checkpoint: str, small: bool = False, updates: int = 20) -> RAFTFlow:
    """RAFT with published weights, frozen, for use as a `class_path` in a YAML.

    Args:
        checkpoint: path of one of torchvision's files; `raft_large_C_T_V1-22a6c225.pth` is, according to torchvision,
            ported from the authors' repository, and trained on FlyingChairs and FlyingThings3D. Read
            without running any code in it.
        small: whether the file is one of `raft_small`.
        updates: see `RAFTFlow`.

    Raises:
        UserError: the file does not exist or belongs to another network; the message names the first mismatch.
    """
    network = raft_small(weights=None) if small else raft_large(weights=None)
    load_partial(network, read_state(Path(checkpoint)), source=checkpoint)
    return RAFTFlow(network, updates).eval().requires_grad_(False)
