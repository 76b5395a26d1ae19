"""Which frames of a clip are given and which are to be made: one network for generation, prediction, interpolation."""

import torch
from torch import Tensor


class FrameMasks:
    """Draw, for each clip of a batch, the frames that the network is shown.

    RDTF (arXiv 2503.17735) trains with two masks, one of the frames that are the condition and one of the frames that
    the loss counts, so that several tasks share a batch; no code is public. Here the second is the complement of the
    first: a frame is either given or learned. `generation` gives none, `prediction` a run of frames from the first on,
    `interpolation` the first, the last and any others but one.

    Args:
        generation: share of the clips.
        prediction: share of the clips.
        interpolation: share of the clips.

    Raises:
        ValueError: a negative share, or none above 0.
    """

    def __init__(self, generation: float = 0.6, prediction: float = 0.2, interpolation: float = 0.2) -> None:
        self.shares = (generation, prediction, interpolation)
        if min(self.shares) < 0 or not sum(self.shares):
            raise ValueError(f"shares {self.shares} came; give numbers of at least 0, one of them above 0")

    def __call__(self, clips: int, frames: int, generator: torch.Generator | None = None) -> Tensor:
        """`b f` bool, true where the frame is given; at least one frame of each clip is not."""
        shares = torch.tensor(self.shares, dtype=torch.float64)
        task = torch.multinomial(shares, clips, replacement=True, generator=generator)  # b
        number = torch.arange(frames)
        # how many are given, from 1 to all but one, as evenly as whole numbers can be
        count = 1 + (torch.rand(clips, generator=generator) * (frames - 1)).long()  # b
        first_frames = number < count[:, None]  # b f
        order = torch.rand(clips, frames, generator=generator)
        order[:, [0, -1]] = -1.0  # the ends come first
        between = order.argsort(dim=1).argsort(dim=1) < count[:, None].clamp(min=2)  # b f
        given = torch.where((task == 1)[:, None], first_frames, between & (task == 2)[:, None])
        return given & ~given.all(dim=1, keepdim=True)  # clips too short for the task are generated
