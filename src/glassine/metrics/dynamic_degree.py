"""Amount of motion in generated clips: VBench's dynamic degree (Huang et al. 2024, arXiv 2311.17982) on optical flow.

The flow network is an argument. `farneback_flow` needs no weights and replaces RAFT if those are not available. Results
of different flows have different names and are not comparable.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.metrics.image import background_color
from glassine.utils.colors import LUMA
from glassine.utils.errors import UserError

# weights of red, green and blue in luma (ITU-R BT.601)


def farneback_flow(first: Tensor, second: Tensor) -> Tensor:
    """Optical flow by polynomial expansion (Farnebäck 2003), as implemented in OpenCV.

    It only uses 8-bit luma: objects as bright as the background do not move for it. Static patterns that touch the
    border get a flow of fractions of a pixel there; stickers with a margin do not.

    Args:
        first: frames `n 3 h w` in [0, 1].
        second: the following frames, of the same shape.

    Returns:
        Pixels `n 2 h w`, x first.
    """
    pairs = zip(luma(first), luma(second), strict=True)
    flows = [flow_between(one, other) for one, other in pairs]  # h w 2 each
    return torch.from_numpy(np.stack(flows)).movedim(-1, 1).to(first)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow `h w 2` in pixels, x first, from one image `h w` uint8 to another."""
    nothing = np.zeros((*first.shape, 2), np.float32)
    pyramid, window, rounds, neighborhood, sigma, flags = (0.5, 3), 15, 3, 5, 1.2, 0
    return cv2.calcOpticalFlowFarneback(first, second, nothing, *pyramid, window, rounds, neighborhood, sigma, flags)


def luma(frames: Tensor) -> np.ndarray:
    """Luma `n h w` uint8 of images `n 3 h w` in [0, 1]."""
    weights = frames.new_tensor(LUMA).view(3, 1, 1)
    return ((frames * weights).sum(1) * 255).round().byte().cpu().numpy()


MOTION = ("moving", "top5", "flow", "repeated")
Flow = Callable[[Tensor, Tensor], Tensor]
FASTEST = 0.05
PAIRS_AT_ONCE = 4
RATE = 8.0


def fastest_part(flow: Tensor) -> Tensor:
    """Mean length `n` in pixels of the longest 5% of the flow vectors `n 2 h w` of each pair of frames."""
    lengths = flow.norm(dim=1).flatten(1)  # n (h w)
    return lengths.topk(max(1, int(FASTEST * lengths.shape[1]))).values.mean(1)


def moves(fastest: Tensor, shorter_side: int, fps: float) -> bool:
    """Whether a clip moves by VBench's rule (`vbench/dynamic_degree.py` of Vchitect/VBench).

    A clip moves if enough pairs of frames have a `fastest_part` above a threshold. The threshold is 6 pixels for a
    shorter side of 256, proportional to the shorter side, and multiplied by 8 / fps below 8 frames per second. Enough
    is a quarter of the number of frames, rounded half to even: 2 of 7 pairs, 4 of 15. For a single pair it is 0, so
    clips of two frames always move.

    Args:
        fastest: `fastest_part` of each pair of neighboring frames, `f-1`, in pixels.
        shorter_side: shorter side of a frame in pixels.
        fps: frames per second of the original clip.
    """
    threshold = max(1.0, RATE / fps) * 6.0 * shorter_side / 256
    return int((fastest > threshold).sum()) >= round((len(fastest) + 1) / 4)


def check_rate(fps: float) -> None:
    """Raise UserError if `fps` is not above 0."""
    if not fps > 0:
        raise UserError(f"fps must be above 0, got {fps:g}: give the clips' own rate (8 is usual for stickers)")


class DynamicDegree(GeneratedClipMetric):
    """The share of clips that move by VBench's rule (Huang et al. 2024, arXiv 2311.17982), and statistics of the flow.

    `dynamic_degree_NAME_moving_BACKGROUND`
        VBench's dynamic degree, 0 to 1; see `moves`. Clips with more than 8 frames per second are subsampled to about
        8.
    `dynamic_degree_NAME_top5_BACKGROUND`
        Mean over clips and pairs of frames of `fastest_part`, which the rule compares with its threshold; in pixels.
    `dynamic_degree_NAME_flow_BACKGROUND`
        Mean over clips, pairs of frames and all pixels of the length of the flow, in pixels.
    `dynamic_degree_NAME_repeated_BACKGROUND`
        Mean over clips of the share of pairs with identical frames. These have no flow and lower the values above: a
        clip in which each frame is repeated has half the flow.

    Layer-Animate's table I has dynamic degrees of 0.01 to 4.43 by RAFT, without saying whether they are pixels or
    percentages. It notes that a gray background skews them: it has no flow, so that a smaller sticker moves less.
    Therefore the background is part of the name. Values for different frame sizes, rates or flow networks are not
    comparable.

    Args:
        flow: two batches of frames `n 3 h w` in [0, 1] to flow `n 2 h w` in pixels, x first, such as
            `glassine.pretrained.raft.RAFTFlow`, or `glassine.metrics.dynamic_degree.farneback_flow`, which needs no
            weights.
        name: name of the flow in the results, such as `raft_large` or `farneback`.
        background: color on which transparent clips are composited; RGB clips are assumed to be on it already.
        fps: frames per second of clips for which `update` gets no rate.

    Raises:
        UserError: an unknown color, an invalid name, or a rate that is not above 0.
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
            fps: frames per second of each clip; None uses the metric's rate.

        Raises:
            ValueError: clips of another shape or type, or a wrong number of rates.
            UserError: values that are NaN or outside [0, 1], a rate that is not above 0, fewer than two frames after
                subsampling, or flow that is not finite.
        """
        opaque = opaque_clips(clips, self.background)  # b f 3 h w
        rates = [self.fps] * len(opaque) if fps is None else fps
        self.rows.append(torch.stack([self.measure(*each) for each in zip(opaque, rates, strict=True)]).flatten())

    def measure(self, clip: Tensor, fps: float) -> Tensor:
        """The four values of one clip `f 3 h w`: moving, top5, flow and repeated."""
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
        """This process's values `n 4`, in the order of `names`."""
        rows = dim_zero_cat(self.rows) if len(self.rows) else torch.empty(0, device=self.device)
        return rows.view(-1, len(self.names))

    def compute(self) -> dict[str, float]:
        """The means by name, NaN if there are no clips, and the number of clips as `..._n`."""
        rows = self.per_clip().double()
        return dict(zip(self.names, rows.mean(0).tolist(), strict=True)) | {self.name_n: len(rows)}
