"""Kernel video distance, whose expectation is zero for two sets of one kind, however few clips they have."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.fvd import VideoDistance, VideoFeatures


def kernel_distance(first: Tensor, second: Tensor, degree: int = 3) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / d + 1)^degree (arXiv 1801.01401, eqs. 3 and 4).

    Args:
        first: features `n d` of one set.
        second: features `m d` of the other.
        degree: of the polynomial; 3 in KID and in KVD.

    Returns:
        In float64; around 0, and so also below, where both sets are drawn from the same. NaN if a set has fewer than
        two features.
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        return float("nan")
    x, y = (features.detach().double().cpu() for features in (first, second))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** degree

    within = [(found.sum() - found.trace()) / (k * (k - 1)) for found, k in ((kernel(x, x), n), (kernel(y, y), m))]
    return float(within[0] + within[1] - 2 * kernel(x, y).mean())


class KVD(VideoDistance):
    """Kernel video distance (Unterthiner et al. 2018, arXiv 1812.01717, section 3), unbiased and over all pairs.

    A Fréchet distance of few clips is too large by much, and by another amount for each number of clips; this one is
    not, so it can be read at n = 200. Features are kept, `n d` of each set, and processes join theirs.

    Args:
        network: see `VideoDistance`.
        name: see `VideoDistance`.
        protocol: see `VideoDistance`.
        backgrounds: see `VideoDistance`.
        degree: of the kernel, see `kernel_distance`.

    Raises:
        UserError: see `VideoDistance`.
    """

    def __init__(
        self,
        network: VideoFeatures,
        name: str,
        protocol: str = "rep2_16f",
        backgrounds: Sequence[str] = ("white", "black"),
        degree: int = 3,
    ) -> None:
        super().__init__("kvd", network, name, protocol, backgrounds)
        self.degree = degree
        for place in range(len(self.names)):
            for kind in ("fake", "real"):
                self.add_state(f"{kind}_{place}", [], dist_reduce_fx="cat")

    def update(self, clips: Tensor, real: bool) -> None:
        """Add clips.

        Args:
            clips: see `VideoDistance.features`, also for the errors.
            real: whether they are real ones or generated.
        """
        for place, features in enumerate(self.features(clips)):
            getattr(self, f"{'real' if real else 'fake'}_{place}").append(features)

    def compute(self) -> dict[str, float]:
        """The distance on each background, and beside it, as `_n_real` and `_n_fake`, the clips it is made of.

        A distance of fewer than two real or two generated clips is NaN.
        """
        result: dict[str, float] = {}
        for place, name in enumerate(self.names):
            real, fake = (self.kept(f"{kind}_{place}") for kind in ("real", "fake"))
            result[name] = kernel_distance(real, fake, self.degree)
            result |= {f"{name}_n_real": len(real), f"{name}_n_fake": len(fake)}
        return result

    def kept(self, state: str) -> Tensor:
        """The features `n d` of one set."""
        features = getattr(self, state)
        # a list until processes have joined theirs; nothing has come yet where it is empty
        return dim_zero_cat(features) if len(features) else torch.zeros(0, self.network.num_features)
