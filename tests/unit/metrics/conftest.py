"""Moving procedural alphas that have everything the scores look at."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

FRAMES, HEIGHT, WIDTH = 4, 56, 64


def _clip(generator: np.random.Generator) -> np.ndarray:
    """Draw a still ring with a hole, a moving solid disc and a moving half-transparent one: `f h w` float32."""
    start, step = generator.uniform(14, 40, (2, 2)), generator.uniform(-2, 2, (2, 2))
    frames = []
    for time in range(FRAMES):
        frame = np.zeros((HEIGHT, WIDTH), np.float32)
        for (x, y), opacity, radius in zip((start + time * step).tolist(), (0.45, 1.0), (12, 8), strict=True):
            cv2.circle(frame, (round(x), round(y)), radius, opacity, -1)
        frame = np.maximum(frame, cv2.circle(np.zeros_like(frame), (46, 16), 11, 1.0, 4))
        frames.append(cv2.GaussianBlur(frame, (0, 0), 0.9))
    return np.stack(frames)


@pytest.fixture
def clips() -> tuple[Tensor, Tensor]:
    """Three pairs of predicted and true alpha, `3 4 1 56 64`; 8-bit values, the prediction moved, faded and noisy."""
    generator = np.random.default_rng(7)
    true = np.stack([_clip(generator) for _ in range(3)])
    pred = np.roll(true, 1, axis=-1) * 0.97 + generator.normal(0, 0.04, true.shape)
    pred[0, 1, 10:20, 40:55] = 0.9  # over part of the ring and its hole
    pred[1, 2:] = np.round(pred[1, 2:])  # hard alphas
    pred[2, :, ::3] = 0.0  # stripes through everything, solid interior included
    pair = [np.round(255 * np.clip(clip, 0, 1)) / 255 for clip in (pred, true)]
    return torch.from_numpy(pair[0]).float()[:, :, None], torch.from_numpy(pair[1]).float()[:, :, None]
