"""How much generated clips move: VBench's dynamic degree (Huang et al. 2024, arXiv 2311.17982) on optical flow.

The flow is an argument. `farneback_flow` needs no weights and replaces RAFT where its weights are not at hand; results
of different flows carry different names and cannot be compared.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.metrics.image import background_color
from glassine.utils.errors import UserError

# of red, green and blue in luma (ITU-R BT.601)
LUMA = (0.299, 0.587, 0.114)


def farneback_flow(first: Tensor, second: Tensor) -> Tensor:
    """Flow by polynomial expansion (Farnebäck 2003), as OpenCV computes it.

    It sees brightness alone, in 8 bits: a thing as bright as its background does not move for it. Patterns that reach
    the border seem to move there by parts of a pixel; a sticker with room around it does not.

    Args:
        first: frames `n 3 h w` in [0, 1].
        second: the frames after them, of the same shape.

    Returns:
        Pixels `n 2 h w`, x first.
    """
    pairs = zip(luma(first), luma(second), strict=True)
    flows = [flow_between(one, other) for one, other in pairs]  # h w 2 each
    return torch.from_numpy(np.stack(flows)).movedim(-1, 1).to(first)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pixels `h w 2`, x first, from one picture `h w` uint8 to the other."""
    nothing = np.zeros((*first.shape, 2), np.float32)
    pyramid, window, rounds, neighborhood, sigma, flags = (0.5, 3), 15, 3, 5, 1.2, 0
    return cv2.calcOpticalFlowFarneback(first, second, nothing, *pyramid, window, rounds, neighborhood, sigma, flags)


def luma(frames: Tensor) -> np.ndarray:
    """`n 3 h w` in [0, 1] to `n h w` uint8."""
    weights = frames.new_tensor(LUMA).view(3, 1, 1)
    return ((frames * weights).sum(1) * 255).round().byte().cpu().numpy()


MOTION = ("moving", "top5", "flow", "repeated")
Flow = Callable[[Tensor, Tensor], Tensor]
FASTEST = 0.05
PAIRS_AT_ONCE = 4
RATE = 8.0


def fastest_part(flow: Tensor) -> Tensor:
    """Mean length of the longest twentieth of the flow vectors `n 2 h w` of each pair of frames, `n` pixels."""
    lengths = flow.norm(dim=1).flatten(1)  # n (h w)
    return lengths.topk(max(1, int(FASTEST * lengths.shape[1]))).values.mean(1)


def moves(fastest: Tensor, shorter_side: int, fps: float) -> bool:
    """VBench's rule, as its public source has it (`vbench/dynamic_degree.py` of Vchitect/VBench).

    A clip moves if enough of its pairs of frames have a `fastest_part` above a threshold: 6 pixels at 256, as much more
    as the frames' shorter side is longer, and as much more as the clip has fewer than 8 frames a second. Enough is a
    quarter of the number of frames, rounded, halves to the even number: 2 of 7 pairs, 4 of 15; of a single pair it is
    none, so that clips of two frames always move.

    Args:
        fastest: of each pair of neighboring frames, `f-1` pixels.
        shorter_side: of a frame, pixels.
        fps: frames a second of the clip as it was made.
    """
    threshold = max(1.0, RATE / fps) * 6.0 * shorter_side / 256
    return int((fastest > threshold).sum()) >= round((len(fastest) + 1) / 4)


def check_rate(fps: float) -> None:
    """Raise UserError where `fps` is not above 0."""
    if not fps > 0:
        raise UserError(f"fps must be above 0, got {fps:g}: give the clips' own rate (8 is usual for stickers)")


class DynamicDegree(GeneratedClipMetric):
    """The share of clips that move, by VBench's rule (Huang et al. 2024, arXiv 2311.17982), and the flow behind it.

    `dynamic_degree_NAME_moving_BACKGROUND`
        VBench's dynamic degree, 0 to 1; see `moves`. Clips of more than 8 frames a second are thinned to about 8.
    `dynamic_degree_NAME_top5_BACKGROUND`
        Mean over clips and pairs of frames of what the rule compares with its threshold, pixels; see `fastest_part`.
    `dynamic_degree_NAME_flow_BACKGROUND`
        Mean over clips, pairs of frames and all pixels of the length of the flow, in pixels.
    `dynamic_degree_NAME_repeated_BACKGROUND`
        Mean over clips of the share of pairs whose frames are equal. Nothing moves between these, so the values above
        are lower than those of the frames that differ: a clip whose frames are shown twice has half the flow.

    Layer-Animate's table I has dynamic degrees of 0.01 to 4.43 by RAFT; it does not say which of these they are, pixels
    or a share in percent. It notes that a gray background skews them: flow is zero there, and a sticker that covers
    less of the picture moves less. So the background is part of the name; numbers of different frame sizes, rates or
    flow networks cannot be compared.

    Args:
        flow: two frames `n 3 h w` each in [0, 1] to pixels `n 2 h w`, x first; `glassine.pretrained.raft.RAFTFlow`, or
            `glassine.metrics.dynamic_degree.farneback_flow`, which needs no weights.
        name: what the flow is called in the results: `raft_large`, `farneback`.
        background: what transparent clips are composited on; RGB clips are taken to lie on it.
        fps: frames a second of clips that come without a rate of their own.

    Raises:
        UserError: an unknown color, an unnamed flow, or a rate that is not above 0.
    """

    higher_is_better = True
    rows: list[Tensor]

    def __init__(self, flow: Flow, name: str, background: str = "gray", fps: float = RATE) -> None:
        super().__init__()
        background_color(background)
        check_rate(fps)
        self.flow = self.hold(flow)
        self.background, self.fps = background, fps
        self.names = [score_name("dynamic_degree", name, what, background) for what in MOTION]
        self.name_n = score_name("dynamic_degree", name, background, "n")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, clips: Tensor, fps: Sequence[float] | None = None) -> None:
        """Add clips.

        Args:
            clips: `b f c h w` in [0, 1], straight RGBA or RGB.
            fps: frames a second of each; None is the metric's own rate.

        Raises:
            ValueError: clips of another shape or type, or not one rate a clip.
            UserError: values that are NaN or outside [0, 1], a rate that is not above 0, or a single frame.
        """
        opaque = opaque_clips(clips, self.background)  # b f 3 h w
        rates = [self.fps] * len(opaque) if fps is None else fps
        self.rows.append(torch.stack([self.measure(*each) for each in zip(opaque, rates, strict=True)]).flatten())

    def measure(self, clip: Tensor, fps: float) -> Tensor:
        """Whether `f 3 h w` moves, its mean `fastest_part`, its mean flow and its share of equal pairs: `4`."""
        check_rate(fps)
        frames, clip = len(clip), clip[:: max(1, round(fps / RATE))]
        if len(clip) < 2:
            raise UserError(f"clips must have at least two frames at about {RATE:g} a second, got {frames} at {fps:g}")
        pairs = zip(clip[:-1].split(PAIRS_AT_ONCE), clip[1:].split(PAIRS_AT_ONCE), strict=True)
        with exactly(clip.device):
            flow = torch.cat([self.flow(first, second) for first, second in pairs]).float()  # f-1 2 h w
        if not flow.isfinite().all():
            raise UserError(f"flow must be finite, got NaN or infinity for {self.names[0]}: check its weights")
        fastest = fastest_part(flow)
        moving = moves(fastest, min(clip.shape[-2:]), fps)
        repeated = (clip[1:] == clip[:-1]).flatten(1).all(dim=1).to(fastest).mean()
        return torch.stack([fastest.new_tensor(float(moving)), fastest.mean(), flow.norm(dim=1).mean(), repeated])

    def per_clip(self) -> Tensor:
        """This process's values, `n 4`, in the order of the names."""
        rows = dim_zero_cat(self.rows) if len(self.rows) else torch.empty(0, device=self.device)
        return rows.view(-1, len(self.names))

    def compute(self) -> dict[str, float]:
        """The means by their names, NaN if there is no clip, and as `_n` the clips they are made of."""
        rows = self.per_clip().double()
        return dict(zip(self.names, rows.mean(0).tolist(), strict=True)) | {self.name_n: len(rows)}
