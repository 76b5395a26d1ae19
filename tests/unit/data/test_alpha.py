"""Alpha arithmetic against literal references."""

import cv2
import numpy as np
import pytest
import torch

from glassine.data.alpha import composite, composite_frames, pad_color, premultiply, unpremultiply


def _bleed_by_opencv(rgb: np.ndarray, alpha: np.ndarray, factor: float = 1.2) -> np.ndarray:
    """Color bleed of one frame as the paper's code describes it, step by step; `h w 3` and `h w` float."""
    color, levels = rgb * alpha[..., None], []
    opacity = alpha
    while True:
        levels.append((color, opacity))
        height, width = opacity.shape
        if min(height, width) == 1:
            break
        size = (int(width / factor), int(height / factor))
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
        opacity = cv2.resize(opacity, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
    mean = levels[0][0].sum((0, 1)) / max(levels[0][1].sum(), 1e-8)
    fill = np.ascontiguousarray(np.broadcast_to(mean, levels[-1][0].shape), dtype=np.float32)
    for color, opacity in reversed(levels):
        fill = cv2.resize(fill, opacity.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(color.shape)
        fill = color + fill * (1 - opacity[..., None])
    return fill


def _picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    alpha = np.clip((0.35 * height - np.hypot(rows - height / 2, columns - width / 3)) / 3, 0, 1)
    rgb = np.stack([rows / height, columns / width, (np.sin(rows / 5) + 1) / 2], axis=-1)
    return rgb.astype(np.float32), alpha.astype(np.float32)


@pytest.mark.parametrize("size", [(40, 40), (33, 61), (64, 17)])
def test_color_bleed_is_the_published_one(size: tuple[int, int]) -> None:
    rgb, alpha = _picture(*size)
    filled = pad_color(torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(alpha)[None])
    np.testing.assert_allclose(filled.permute(1, 2, 0).numpy(), _bleed_by_opencv(rgb, alpha), atol=1e-5)


def test_coarse_bleed_stays_near() -> None:
    rgb, alpha = (torch.from_numpy(part) for part in _picture(128, 128))
    rgb, alpha = rgb.permute(2, 0, 1), alpha[None]
    fine, coarse = pad_color(rgb, alpha), pad_color(rgb, alpha, factor=2.0)
    assert (fine - coarse).abs().mean() < 0.03
    torch.testing.assert_close(coarse[:, alpha[0] == 1], fine[:, alpha[0] == 1])


def test_bleed_is_per_frame_over_any_leading_shape() -> None:
    rgb, alpha = torch.rand(2, 3, 3, 12, 10), torch.rand(2, 3, 1, 12, 10)
    together = pad_color(rgb, alpha)
    assert together.shape == rgb.shape
    torch.testing.assert_close(together[1, 2], pad_color(rgb[1, 2], alpha[1, 2]))


def test_bleed_edge_cases() -> None:
    rgb = torch.rand(3, 9, 9)
    assert torch.equal(pad_color(rgb, torch.zeros(1, 9, 9)), torch.zeros(3, 9, 9))
    torch.testing.assert_close(pad_color(rgb, torch.ones(1, 9, 9)), rgb)
    assert pad_color(torch.rand(3, 1, 1), torch.rand(1, 1, 1)).shape == (3, 1, 1)
    half = torch.full((1, 9, 9), 0.5)
    half[:, :4] = 0
    kept = pad_color(rgb, half, keep_visible=True)
    assert torch.equal(kept[:, 4:], rgb[:, 4:])
    assert not torch.equal(pad_color(rgb, half)[:, 4:], rgb[:, 4:])


def test_composite_takes_flat_and_full_backgrounds() -> None:
    rgb, alpha = torch.rand(2, 4, 3, 5, 6), torch.rand(2, 4, 1, 5, 6)
    color = torch.tensor([0.1, 0.5, 0.9])
    flat = composite(rgb, alpha, color)
    expected = rgb * alpha + color.reshape(3, 1, 1) * (1 - alpha)
    torch.testing.assert_close(flat, expected)
    torch.testing.assert_close(composite(rgb, alpha, color.expand(2, 4, 3)), expected)
    torch.testing.assert_close(composite(rgb, alpha, color.reshape(3, 1, 1).expand(2, 4, 3, 5, 6)), expected)


def test_composite_takes_flat_colors_on_frames_of_any_size() -> None:
    # a batch of three-pixel-wide frames once looked like a full background
    rgb, alpha = torch.rand(4, 5, 3, 5, 3), torch.rand(4, 5, 1, 5, 3)
    colors = torch.rand(4, 5, 3)
    torch.testing.assert_close(composite(rgb, alpha, colors), rgb * alpha + colors[..., None, None] * (1 - alpha))


def test_composite_frames_rounds_to_nearest() -> None:
    frames = np.array([[[[200, 100, 0, 128], [10, 20, 30, 255], [9, 9, 9, 0]]]], np.uint8)
    assert composite_frames(frames, (255, 255, 255)).tolist() == [[[[227, 177, 127], [10, 20, 30], [255, 255, 255]]]]


def test_premultiply_and_back() -> None:
    alpha = np.arange(256, dtype=np.uint8).repeat(3)
    color = np.tile(np.array([0, 77, 255], np.uint8), 256)
    straight = np.stack([color, color, color, alpha], axis=-1)
    premultiplied = premultiply(straight)
    assert (premultiplied[:, 0] <= alpha).all()
    back = unpremultiply(premultiplied)
    assert np.array_equal(back[..., 3], alpha)
    worst = np.abs(back[:, 0].astype(int) - color)[alpha > 0] * alpha[alpha > 0].astype(int)
    assert worst.max() <= 128 + 127  # half a step of the premultiplied value, half a step of the straight one
    assert (back[alpha == 0, :3] == 0).all()
    assert unpremultiply(np.array([200, 0, 0, 100], np.uint8)).tolist() == [255, 0, 0, 100]
