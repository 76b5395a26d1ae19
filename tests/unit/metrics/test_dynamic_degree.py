"""VBench's dynamic degree against its rule in plain numpy, and flow that is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from glassine.metrics.dynamic_degree import DynamicDegree, farneback_flow, fastest_part, moves
from glassine.utils.errors import UserError

SIDE = 32


class ByRed:
    """A stand-in for a network: all pixels flow to the right by as much as the mean red grows, times 100."""

    def __init__(self):
        self.calls = []

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        self.calls.append(len(first))
        steps = 100 * (second - first)[:, :1].mean((2, 3), keepdim=True)  # n 1 1 1
        right = steps.expand(-1, -1, *first.shape[-2:])
        return torch.cat([right, torch.zeros_like(right)], dim=1)


def redder(*steps: float) -> Tensor:
    """An opaque clip `1 f 3 h w` that `ByRed` sees move by these pixels."""
    levels = torch.tensor([0.0, *steps]).cumsum(0) / 100
    clip = torch.zeros(1, len(levels), 3, SIDE, SIDE)
    clip[:, :, 0] = levels[None, :, None, None]
    return clip


def vbench(flows: np.ndarray, side: int, fps: float) -> bool:
    """The rule once more, one pair of frames after the other; flows `f-1 h w 2`."""
    over = 0
    for flow in flows:
        radius = sorted((math.hypot(*vector) for vector in flow.reshape(-1, 2)), reverse=True)
        strongest = radius[: int(len(radius) * 0.05)]
        over += sum(strongest) / len(strongest) > max(1.0, 8.0 / fps) * 6.0 * (side / 256.0)
        if over >= round(4 * ((len(flows) + 1) / 16.0)):
            return True
    return False


@pytest.mark.parametrize("fps", [4.0, 8.0, 24.0])
@pytest.mark.parametrize("frames", [2, 3, 8, 16])
def test_the_rule_is_vbenchs(frames, fps):
    chance = np.random.default_rng(frames)
    found = []
    for scale in (0.1, 0.7, 1.0, 1.4, 4.0):
        flows = chance.exponential(0.25 * scale, (frames - 1, 12, 20, 2))
        fastest = fastest_part(torch.from_numpy(flows).movedim(-1, 1))
        assert moves(fastest, 32, fps) == vbench(flows, 32, fps)
        found.append(moves(fastest, 32, fps))
    assert found[-1]
    assert frames == 2 or not found[0]


def test_a_quarter_of_the_frames_has_to_move_past_a_threshold_that_grows_with_the_frames():
    limit = 6 * SIDE / 256
    metric = DynamicDegree(ByRed(), "red")
    metric.update(redder(*[limit + 0.1] * 2, *[0] * 5))
    metric.update(redder(limit + 0.1, *[0] * 6))
    metric.update(redder(*[limit - 0.1] * 7))
    assert metric.per_clip()[:, 0].tolist() == [1, 0, 0]
    slow = DynamicDegree(ByRed(), "red", fps=4)
    slow.update(redder(*[2 * limit - 0.1] * 7))
    slow.update(redder(*[2 * limit + 0.1] * 7))
    assert slow.per_clip()[:, 0].tolist() == [0, 1]


def test_names_say_flow_and_background_and_values_are_means_over_clips():
    metric = DynamicDegree(ByRed(), "red", background="black")
    metric.update(redder(1, 2, 3))
    metric.update(redder(0, 0, 0))
    result = metric.compute()
    assert list(result) == [
        "dynamic_degree_red_moving_black", "dynamic_degree_red_top5_black", "dynamic_degree_red_flow_black",
        "dynamic_degree_red_repeated_black", "dynamic_degree_red_black_n",
    ]  # fmt: skip
    assert result["dynamic_degree_red_moving_black"] == 0.5
    assert result["dynamic_degree_red_flow_black"] == pytest.approx(1, abs=1e-4)
    assert result["dynamic_degree_red_black_n"] == 2


def test_frames_that_are_shown_twice_are_counted():
    metric = DynamicDegree(ByRed(), "red")
    metric.update(redder(4, 0, 4, 0))
    result = metric.compute()
    assert result["dynamic_degree_red_repeated_gray"] == 0.5
    assert result["dynamic_degree_red_flow_gray"] == pytest.approx(2, rel=1e-4)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_clip_has_no_value():
    result = DynamicDegree(ByRed(), "red").compute()
    assert math.isnan(result["dynamic_degree_red_flow_gray"])
    assert result["dynamic_degree_red_gray_n"] == 0


def test_top5_is_the_mean_of_the_longest_twentieth():
    flow = torch.rand(2, 2, 10, 20, generator=torch.Generator().manual_seed(0))
    lengths = np.sort(np.hypot(flow[:, 0].numpy(), flow[:, 1].numpy()).reshape(2, -1), axis=1)
    np.testing.assert_allclose(fastest_part(flow), lengths[:, -10:].mean(1), rtol=1e-5)


def test_transparent_clips_lie_on_the_background_whose_color_counts():
    clip = torch.cat([redder(*[5] * 7), torch.ones(1, 8, 1, SIDE, SIDE)], dim=2)
    clip[:, :, 3, :, : SIDE // 2] = 0
    half, whole = DynamicDegree(ByRed(), "red"), DynamicDegree(ByRed(), "red")
    half.update(clip)
    whole.update(clip[:, :, :3])
    assert half.per_clip()[0, 2] == pytest.approx(whole.per_clip()[0, 2].item() / 2, rel=1e-4)


def test_fast_clips_are_thinned_to_about_eight_frames_a_second():
    flow = ByRed()
    metric = DynamicDegree(flow, "red", fps=24)
    metric.update(redder(*[1] * 23))
    assert sum(flow.calls) == 7
    assert metric.per_clip()[0, 2] == pytest.approx(3, rel=1e-4)


def test_each_clip_may_have_a_rate_of_its_own():
    flow = ByRed()
    metric = DynamicDegree(flow, "red")
    metric.update(redder(*[1] * 23).expand(2, -1, -1, -1, -1), [8.0, 24.0])
    assert metric.per_clip()[:, 2].tolist() == pytest.approx([1, 3], rel=1e-4)
    with pytest.raises(UserError, match="fps must be above 0, got 0"):
        metric.update(redder(1, 1), [0.0])


def test_two_processes_together_give_the_value_of_one():
    clips = torch.rand(5, 4, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    whole, one, other = (DynamicDegree(farneback_flow, "farneback") for _ in range(3))
    whole.update(clips)
    one.update(clips[:2])
    other.update(clips[2:])
    one.merge_state(other)
    assert one.compute() == pytest.approx(whole.compute())


def test_what_cannot_be_measured_is_said():
    metric = DynamicDegree(ByRed(), "red")
    with pytest.raises(UserError, match="at least two frames at about 8 a second, got 1"):
        metric.update(torch.zeros(1, 1, 3, SIDE, SIDE))
    with pytest.raises(UserError, match="must be lower-case words"):
        DynamicDegree(ByRed(), "RAFT!")
    with pytest.raises(UserError, match="background must be a color"):
        DynamicDegree(ByRed(), "red", background="blurple")
    with pytest.raises(UserError, match="fps must be above 0, got 0"):
        DynamicDegree(ByRed(), "red", fps=0)
    with pytest.raises(UserError, match="flow must be finite, got NaN or infinity for dynamic_degree_red_moving_gray"):
        DynamicDegree(lambda first, second: first[:, :2] * torch.nan, "red").update(redder(1))


def pattern() -> Tensor:
    """`1 3 64 64`, smooth and without straight edges."""
    chance = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(chance, (64, 64), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize(("down", "right"), [(0, 2), (-3, 0), (1, -2)])
def test_farneback_finds_a_shift_in_pixels_x_first(down, right):
    first = pattern()
    flow = farneback_flow(first, first.roll((down, right), (2, 3)))[0, :, 16:-16, 16:-16].mean((1, 2))
    torch.testing.assert_close(flow, torch.tensor([right, down]).float(), atol=0.3, rtol=0)


def test_farneback_gives_each_pair_its_own_and_nothing_for_a_still():
    first = pattern()
    pairs = farneback_flow(torch.cat([first, first]), torch.cat([first, first.roll(2, 3)]))
    assert pairs.shape == (2, 2, 64, 64)
    assert pairs[0, :, 16:-16, 16:-16].abs().max() < 1e-3
    assert pairs[1, 0].mean() > 1
