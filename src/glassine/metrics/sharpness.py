"""How sharp generated pictures are against true ones."""

from torch import Tensor, tensor
from torchmetrics import Metric


def gradient_magnitude(pictures: Tensor) -> Tensor:
    """Mean length of the gradient over channels and pixels, `b`, of opaque pictures `b c h w` in [0, 1].

    Differences to the next pixel, so values of different picture sizes do not compare. It counts edges whatever they
    are edges of: noise is sharp, too.
    """
    pictures = pictures.float()
    down = (pictures[..., 1:, :-1] - pictures[..., :-1, :-1]).square()
    right = (pictures[..., :-1, 1:] - pictures[..., :-1, :-1]).square()
    return (down + right).sqrt().flatten(1).mean(dim=1)


class Sharpness(Metric):
    """Mean gradient magnitude of generated pictures by that of true ones: 1 is as sharp, 0 is flat.

    Both sets must have one size and lie on one background.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", tensor([0.0, 0.0]), dist_reduce_fx="sum")
        self.add_state("count", tensor([0, 0]), dist_reduce_fx="sum")

    def update(self, pictures: Tensor, real: bool) -> None:
        """Add opaque pictures `b c h w` in [0, 1], and whether they are true ones."""
        self.total[int(real)] += gradient_magnitude(pictures).sum()
        self.count[int(real)] += len(pictures)

    def compute(self) -> Tensor:
        """The ratio; NaN before both sets have a picture."""
        made, true = self.total / self.count
        return made / true
