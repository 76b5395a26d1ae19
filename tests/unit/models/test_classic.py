"""Methods without learning: where each is exact, and where each is known to fail."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from glassine.models.classic import ColorProjection, FloodFill, GrabCut, Threshold, true_boxes

SIZE = 48


def disc(radius: float, soft: bool, center: float = SIZE / 2) -> Tensor:
    """Alpha `1 2 1 h w` of a disc, hard or anti-aliased."""
    rows, columns = torch.meshgrid(*2 * [torch.arange(SIZE).float()], indexing="ij")
    inside = radius - torch.hypot(rows - center, columns - center)
    alpha = (inside + 0.5).clamp(0, 1) if soft else (inside > 0).float()
    return alpha.expand(1, 2, 1, SIZE, SIZE).contiguous()


def color(*channels: float) -> Tensor:
    return torch.tensor(channels).view(1, 1, 3, 1, 1)


def on_white(alpha: Tensor, foreground: Tensor) -> Tensor:
    return foreground * alpha + 1 - alpha


@pytest.fixture
def eye() -> Tensor:
    """A blue disc on white with a pure white eye in it; `1 2 3 h w`."""
    clip = on_white(disc(16, soft=False), color(0.1, 0.2, 0.9))
    white = disc(5, soft=False)
    return clip * (1 - white) + white


@pytest.mark.parametrize("method", [Threshold(), FloodFill(softness=0), ColorProjection()])
def test_a_hard_edged_flat_sticker_of_a_far_color_is_found_exactly(method: torch.nn.Module) -> None:
    alpha = disc(14, soft=False)
    assert torch.equal(method(on_white(alpha, color(0.8, 0.1, 0.1))), alpha)


def test_projection_unmixes_soft_edges_exactly_and_thresholding_does_not() -> None:
    alpha = disc(14, soft=True)
    clip = on_white(alpha, color(0.8, 0.1, 0.1))
    assert (ColorProjection()(clip) - alpha).abs().max() < 0.03
    assert (Threshold()(clip) - alpha).abs().max() > 0.5
    assert (FloodFill()(clip) - alpha).abs().mean() < (Threshold()(clip) - alpha).abs().mean()


@pytest.mark.parametrize("method", [FloodFill(), ColorProjection()])
def test_filling_from_the_border_keeps_what_the_outline_shuts_in(method: torch.nn.Module, eye: Tensor) -> None:
    assert method(eye)[0, :, 0, SIZE // 2, SIZE // 2].tolist() == [1, 1]
    assert Threshold()(eye)[0, :, 0, SIZE // 2, SIZE // 2].tolist() == [0, 0]


def test_a_given_background_overrides_the_estimate() -> None:
    clip = on_white(disc(14, soft=False), color(0.8, 0.1, 0.1))
    inverted = Threshold()(clip, background=torch.tensor([[0.8, 0.1, 0.1]]))
    assert torch.equal(inverted, 1 - disc(14, soft=False))


def test_a_sticker_across_the_border_does_not_hide_the_background() -> None:
    alpha = disc(16, soft=False, center=8)
    assert torch.equal(ColorProjection()(on_white(alpha, color(0, 0.5, 0))), alpha)


def test_tolerance_forgives_jpeg() -> None:
    alpha = disc(14, soft=True)
    pixels = (on_white(alpha, color(0.8, 0.1, 0.1))[0, 0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 75))
    damaged = torch.from_numpy(cv2.imdecode(encoded, cv2.IMREAD_COLOR)).permute(2, 0, 1)[None, None] / 255
    errors = [
        (ColorProjection(tolerance)(damaged) - alpha[:, :1]).square().mean().item() for tolerance in (0.0, 12 / 255)
    ]
    assert errors[1] < errors[0] / 4


def test_a_fill_that_minds_gaps_does_not_run_through_a_hole_in_the_outline() -> None:
    ring = disc(16, soft=False) * (1 - disc(12, soft=False))  # a dark outline around the background's own color
    ring[..., SIZE // 2, : SIZE // 2] = 0  # with a hole one pixel wide
    clip = on_white(ring, color(0.1, 0.1, 0.1))
    inside = (0, 0, 0, SIZE // 2, SIZE // 2 + 4)
    assert ColorProjection()(clip)[inside] == 0
    assert ColorProjection(gap=1)(clip)[inside] == 1
    outside = disc(17, soft=False) == 0
    assert ColorProjection(gap=1)(clip)[outside].max() == 0


def test_a_median_forgives_single_wrong_pixels() -> None:
    alpha = disc(14, soft=False)
    clip = on_white(alpha, color(0.8, 0.1, 0.1))
    clip[..., ::8, ::8] *= 0.3
    assert ((ColorProjection()(clip) - alpha).abs() > 0.5).sum() > 10
    assert ((ColorProjection(median=3)(clip) - alpha).abs() > 0.5).sum() == 0
    with pytest.raises(ValueError, match="must be 0, 3 or 5"):
        ColorProjection(median=4)


@pytest.mark.parametrize("method", [Threshold(), FloodFill(), ColorProjection()])
def test_clips_of_a_batch_do_not_mix_and_an_empty_one_is_clear(method: torch.nn.Module) -> None:
    red, green = on_white(disc(14, False), color(1, 0, 0)), on_white(disc(9, False), color(0, 0.6, 0))
    empty = torch.ones_like(red)
    together = method(torch.cat((red, green, empty)))
    assert together.shape == (3, 2, 1, SIZE, SIZE)
    assert torch.equal(together, torch.cat((method(red), method(green), torch.zeros_like(red[:, :, :1]))))


def test_grab_cut_finds_the_disc_in_its_true_box_and_nothing_in_none() -> None:
    generator = torch.Generator().manual_seed(0)
    alpha = disc(14, soft=False)
    noise = 0.03 * torch.randn(1, 2, 3, SIZE, SIZE, generator=generator)
    clip = (on_white(alpha, color(0.8, 0.1, 0.1)) + noise).clamp(0, 1)
    boxes = true_boxes(alpha)
    found = GrabCut()(clip, boxes)
    assert (found - alpha).abs().mean() < 0.01
    assert torch.equal(found, GrabCut()(clip, boxes))
    assert GrabCut()(clip, torch.zeros_like(boxes)).sum() == 0


def test_true_boxes_are_tight_with_exclusive_ends() -> None:
    alpha = torch.zeros(1, 2, 1, 20, 30)
    alpha[0, 0, 0, 3:7, 11:20] = 1
    assert true_boxes(alpha).tolist() == [[[11, 3, 20, 7], [0, 0, 0, 0]]]


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="b f 3 h w"):
        Threshold()(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="b 3"):
        Threshold()(torch.zeros(2, 1, 3, 8, 8), torch.zeros(3))
