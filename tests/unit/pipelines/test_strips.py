"""Huge pictures are cut out in strips and wait in a file, and come out as small ones do."""

import numpy as np
import pytest
import torch

from glassine.pipelines import cutout, upsampling
from glassine.pipelines.cutout import CutoutPipeline, FrameStore
from glassine.pipelines.upsampling import WorkingSize, guided_rows, guided_upsampling


class Seen(torch.nn.Module):
    """A network whose alpha is how little a pixel is like white; looks at one frame to each side."""

    temporal_radius, size_multiple = 1, 8

    def decode(self, clip, color, pixel_source, tta, own):
        alpha = (1 - clip.mean(dim=2, keepdim=True))[:, own]
        return alpha, None


def frames(count: int, height: int = 150, width: int = 230) -> list[tuple[np.ndarray, int]]:
    rows, columns = np.mgrid[:height, :width]
    made = []
    for number in range(count):
        frame = np.full((height, width, 4), 255, np.uint8)
        inside = np.hypot(rows - 70, columns - 60 - 20 * number) < 50
        frame[inside, :3] = (200, 40, 60)
        frame[inside & (rows % 9 < 3), :3] = (30, 120, 220)
        frame[:4, :, 3] = 128  # some of it is transparent already
        made.append((frame, 40 + number))
    return made


@pytest.mark.parametrize("resolution", [64, 512])
def test_strips_give_what_the_whole_gives(monkeypatch, resolution):
    pipeline = CutoutPipeline(Seen(), device="cpu")
    settings = {"background": (255, 255, 255), "resolution": resolution, "chunk": 2}
    whole = list(pipeline.stream(iter(frames(5)), **settings))
    monkeypatch.setattr(upsampling, "WHOLE_PIXELS", 4000)
    monkeypatch.setattr(cutout, "FrameStore", lambda: FrameStore(150 * 230 * 4 * 2))
    strips = list(pipeline.stream(iter(frames(5)), **settings))
    assert [ms for _, ms in strips] == [ms for _, ms in whole] == [40, 41, 42, 43, 44]
    for (one, _), (other, _) in zip(strips, whole, strict=True):
        assert np.abs(one[..., 3].astype(int) - other[..., 3]).max() <= 1
        same = one[..., 3] == other[..., 3]
        assert same.mean() > 0.98
        np.testing.assert_array_equal(one[same], other[same])


def test_guided_rows_are_those_of_the_whole():
    generator = np.random.default_rng(0)
    alpha = generator.random((20, 31), np.float32)
    guide = generator.integers(0, 256, (133, 217, 3), np.uint8)
    whole = guided_upsampling(alpha, guide.astype(np.float32) / 255)
    for step in (1, 7, 50, 500):
        rows = list(guided_rows(alpha, guide, step))
        assert [r.start for r, _ in rows] == list(range(0, 133, step))
        assert np.abs(np.concatenate([part for _, part in rows]) - whole).max() < 0.002


def test_a_store_keeps_frames_that_do_not_fit_in_memory():
    store = FrameStore(3 * 400)
    made = [np.full((10, 10, 4), number, np.uint8) for number in range(8)]
    stored = [store.put(frame) for frame in made]
    assert sum(item.frame is not None for item in stored) == 3
    for number in (7, 0, 4, 7):
        assert (stored[number].load() == number).all()
    stored[5].drop()
    stored[1].drop()
    again = [store.put(np.full((10, 10, 4), 90 + n, np.uint8)) for n in range(2)]
    assert [int(item.load()[0, 0, 0]) for item in again] == [90, 91]
    assert all((stored[n].load() == n).all() for n in (0, 2, 3, 4, 6, 7))


def test_a_huge_size_is_worked_on_in_strips():
    assert WorkingSize.of((2048, 2048), 256, 8).rows_at_once == 2048
    assert WorkingSize.of((4096, 8192), 256, 8).rows_at_once == 128
