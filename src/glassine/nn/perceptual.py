"""A perceptual loss on the feature maps of a frozen network."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class PerceptualLoss(nn.Module):
    """How different two pictures look: squared distance of unit-normalized features (LPIPS, arXiv 1801.03924, eq. 1).

    At each stage the features of a pixel are scaled to length 1, and the squared differences are summed over channels
    and averaged over space; the stages are added with `weights`. LPIPS weights every channel as people judged
    pictures; this loss is **not calibrated** so, and its values are not LPIPS's: compare them with each other alone.

    A task that holds it names it in `frozen`, then its network stays out of the checkpoint. It is in eval mode
    always and gets no gradient; the pictures do.

    Args:
        network: pictures `n 3 h w` in [0, 1] to maps `n d h' w'`, such as
            `glassine.pretrained.efficientnet_lite.EfficientNetLiteFeatures`.
        weights: of each stage, from the finest; 0 leaves one out. As many as the network has maps.
        limit: the most pictures of a batch that a training step compares, drawn anew each time, since the loss costs
            as much as a small network's own step; None compares all.

    Raises:
        ValueError: weights below 0, or none above; a limit below 1.
    """

    def __init__(
        self, network: nn.Module, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0), limit: int | None = None
    ) -> None:
        super().__init__()
        if min(weights, default=0.0) < 0 or max(weights, default=0.0) == 0:
            raise ValueError(f"weights must be at least 0 and some of them above, got {list(weights)}")
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self.network, self.weights, self.limit = network.eval().requires_grad_(False), tuple(weights), limit

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stay in eval mode, also inside a task that is trained."""
        return super().train(False)

    def forward(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Mean loss of a batch or of `limit` of its pictures, a float32 scalar; see `distances`."""
        if self.limit is not None and pictures.ndim == 5 and pictures.shape == target.shape:
            pictures, target = pictures.flatten(0, 1), target.flatten(0, 1)  # (b f) 3 h w
        if self.limit is not None and len(pictures) > self.limit and len(pictures) == len(target):
            rows = torch.randperm(len(pictures))[: self.limit].to(pictures.device)
            pictures, target = pictures[rows], target[rows]
        return self.distances(pictures, target).mean()

    def distances(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Distances `b`, float32, at least 0 and 0 for equal pictures.

        Args:
            pictures: `b 3 h w` in [0, 1], sides of 32 pixels or more; values outside count as they are. Clips
                `b f 3 h w` are averaged over frames.
            target: of the same shape; it gets no gradient.

        Raises:
            ValueError: pictures of two shapes or of other shapes, or a network with another number of maps.
        """
        if pictures.shape != target.shape or pictures.ndim not in (4, 5) or pictures.shape[-3] != 3:
            shapes = f"{tuple(pictures.shape)} and {tuple(target.shape)}"
            raise ValueError(f"pictures and target must both be b 3 h w, or b f 3 h w, got {shapes}")
        if min(pictures.shape[-2:]) < 32:
            raise ValueError(f"sides must be 32 pixels or more, got {tuple(pictures.shape[-2:])}")
        if pictures.ndim == 5:
            frames = [rearrange(clip, "b f c h w -> (b f) c h w") for clip in (pictures, target)]
            return rearrange(self.distances(*frames), "(b f) -> b f", b=len(pictures)).mean(dim=1)
        with torch.no_grad():
            wanted = self.network(target)
        made = self.network(pictures)
        if len(made) != len(self.weights):
            raise ValueError(f"there must be a weight for each of the network's {len(made)} maps, got {self.weights}")
        stages = [
            weight * stage_distance(a, b) for weight, a, b in zip(self.weights, made, wanted, strict=True) if weight
        ]
        return torch.stack(stages).sum(dim=0)


def stage_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance `n` of unit-normalized features, averaged over space, of maps `n d h w`; in float32."""
    units = [F.normalize(maps.float(), dim=1, eps=1e-6) for maps in (first, second)]
    return (units[0] - units[1]).square().sum(dim=1).mean(dim=(1, 2))
