"""Cutting a clip's features into 3D windows and putting them together again."""

from einops import rearrange
from torch import Tensor

Grid = tuple[int, int, int]


def window_counts(sides: Grid, window: Grid) -> Grid:
    """How many windows there are along frames, height and width.

    Each side is cut into the fewest equal parts that are no longer than the window's: for 8, a side of 12 into two of
    6, one of 4 into itself. A prime side that is longer falls into single steps.
    """
    frames, height, width = (
        next(n for n in range(1, side + 1) if side % n == 0 and side // n <= most)
        for side, most in zip(sides, window, strict=True)
    )
    return frames, height, width


def to_windows(x: Tensor, counts: Grid) -> Tensor:
    """`b f h w c` to the tokens of each window, `n t c`."""
    nf, nh, nw = counts
    return rearrange(x, "b (nf f) (nh h) (nw w) c -> (b nf nh nw) (f h w) c", nf=nf, nh=nh, nw=nw)


def from_windows(tokens: Tensor, counts: Grid, sides: Grid) -> Tensor:
    """`n t c` to `b f h w c`, undoing `to_windows` of a clip with these `sides`."""
    (nf, nh, nw), (frames, height, width) = counts, sides
    return rearrange(
        tokens,
        "(b nf nh nw) (f h w) c -> b (nf f) (nh h) (nw w) c",
        nf=nf, nh=nh, nw=nw, f=frames // nf, h=height // nh, w=width // nw,
    )  # fmt: skip
