"""Image losses: pixel-weighted alpha errors, Laplacian pyramids, a perceptual loss, a discriminator.

The discriminator is a PatchGAN on RGBA images (LayerDiffuse, section 3.1; pix2pix, arXiv 1611.07004, section 3.2.2).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class PerceptualLoss(nn.Module):
    """Perceptual distance: squared distance of unit-normalized features (LPIPS, arXiv 1801.03924, eq. 1).

    At each stage, features are normalized to unit length per pixel, and squared differences are summed over channels
    and averaged over space; stages are added with `weights`. LPIPS calibrates channel weights on human judgments; this
    loss is **not calibrated**, so its values are only comparable with each other.

    A task that uses it should list it in `frozen`, so that its network stays out of the checkpoint. The network is
    always in eval mode and gets no gradient; the images do.

    Args:
        network: images `n 3 h w` in [0, 1] to maps `n d h' w'`, such as
            `glassine.pretrained.efficientnet_lite.EfficientNetLiteFeatures`.
        weights: weight of each stage, finest first; 0 skips a stage. One per feature map of the network.
        limit: maximum number of images compared per training step, a random subset of the batch, since the loss costs
            as much as a small network's own step; None compares all.

    Raises:
        ValueError: negative weights, or all 0; a limit below 1.
    """

    def __init__(
        self, network: nn.Module, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0), limit: int | None = None
    ) -> None:
        super().__init__()
        if min(weights, default=0.0) < 0 or max(weights, default=0.0) == 0:
            raise ValueError(f"weights must be at least 0 and not all 0, got {list(weights)}")
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self.network, self.weights, self.limit = network.eval().requires_grad_(False), tuple(weights), limit

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stay in eval mode, even inside a task in training."""
        return super().train(False)

    def forward(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Mean loss of a batch or of `limit` of its images, a float32 scalar; see `distances`."""
        if self.limit is not None and pictures.ndim == 5 and pictures.shape == target.shape:
            pictures, target = pictures.flatten(0, 1), target.flatten(0, 1)  # (b f) 3 h w
        if self.limit is not None and len(pictures) > self.limit and len(pictures) == len(target):
            rows = torch.randperm(len(pictures))[: self.limit].to(pictures.device)
            pictures, target = pictures[rows], target[rows]
        return self.distances(pictures, target).mean()

    def distances(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Distances `b`, float32, at least 0, and 0 for identical images.

        Args:
            pictures: `b 3 h w` in [0, 1], sides of 32 pixels or more; values outside are not clamped. Clips
                `b f 3 h w` are averaged over frames.
            target: of the same shape; it gets no gradient.

        Raises:
            ValueError: mismatched or invalid shapes, or a network with a different number of feature maps.
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
    """Squared distance `n` of unit-normalized feature maps `n d h w`, averaged over space; in float32."""
    units = [F.normalize(maps.float(), dim=1, eps=1e-6) for maps in (first, second)]
    return (units[0] - units[1]).square().sum(dim=1).mean(dim=(1, 2))


class PatchDiscriminator(nn.Sequential):
    """Five 4x4 convolutions that judge overlapping patches: `b c h w` to logits `b 1 h' w'`.

    Args:
        in_channels: 4 for RGBA.
        width: channels after the first convolution; doubled up to a factor of eight.
    """

    def __init__(self, in_channels: int = 4, width: int = 64) -> None:
        widths = [width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, (narrow, wide) in enumerate(pairwise(widths)):
            last = i == len(widths) - 2
            layers += [
                nn.Conv2d(narrow, wide, 4, stride=1 if last else 2, padding=1, bias=False),
                nn.InstanceNorm2d(wide, affine=True),  # batches are too small for batch statistics
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def hinge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's own loss: hinge, pushing real patches above 1 and fake ones below -1."""
        return (1 - self(real)).relu().mean() + (1 + self(fake.detach())).relu().mean()


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error weighted by `weight`; 0 if the weights are all 0. All three are `n 1 h w`."""
    return weighted_mean((prediction - target).abs(), weight)


def laplacian_l1(prediction: Tensor, target: Tensor, weight: Tensor, levels: int = 5) -> Tensor:
    """Sum over Laplacian pyramid levels of 2^level times the mean absolute error at that level.

    The loss of context-aware matting (arXiv 1909.09725); a level's weight is the weight above subsampled by 2, as in
    Matting Anything's code.

    Args:
        prediction: `n 1 h w`.
        target: the same shape.
        weight: the same shape, at least 0.
        levels: number of pyramid levels.

    Raises:
        ValueError: the image is too small for this many levels.
    """
    loss = prediction.new_zeros(())
    with torch.autocast(prediction.device.type, enabled=False):  # its convolutions subtract nearly equal values
        # the pyramid is linear: the pyramid of the difference is the difference of the pyramids
        for level, band in enumerate(laplacian_pyramid((prediction - target).float(), levels)):
            loss = loss + 2**level * weighted_mean(band.abs(), weight)
            weight = weight[..., ::2, ::2]
    return loss


def laplacian_pyramid(picture: Tensor, levels: int = 5) -> list[Tensor]:
    """The Laplacian pyramid of `n 1 h w`, finest level first: level i is `n 1 h/2^i w/2^i`, sizes rounded up.

    Raises:
        ValueError: the image is too small for this many levels.
    """
    smallest = 2**levels + 1
    if min(picture.shape[-2:]) < smallest:
        height, width = picture.shape[-2:]
        raise ValueError(f"sides must be at least {smallest} pixels for {levels} levels, got {height} x {width}")
    bands = []
    for _ in range(levels):
        smaller = blur(picture)[..., ::2, ::2]
        bands.append(picture - doubled(smaller)[..., : picture.shape[-2], : picture.shape[-1]])
        picture = smaller
    return bands


def doubled(picture: Tensor) -> Tensor:
    """Upsample `n 1 h w` by 2: zeros between the pixels, then blur."""
    sparse = picture.new_zeros(*picture.shape[:2], 2 * picture.shape[2], 2 * picture.shape[3])
    sparse[..., ::2, ::2] = picture
    return 4 * blur(sparse)  # three of four pixels are zero


def blur(picture: Tensor) -> Tensor:
    """Blur `n 1 h w` with the binomial filter 1 4 6 4 1 and reflected borders."""
    kernel = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = F.pad(picture, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of the values weighted by `weight`, 0 if the weights are all 0."""
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(values.dtype).eps)
