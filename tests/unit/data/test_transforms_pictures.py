"""Backgrounds that are not flat, and degradations by codecs, for training on files of all kinds."""

import numpy as np
import pytest
import torch

from glassine.data.transforms import (
    Checkerboard,
    Enlarged,
    Flashing,
    Gradient,
    ManyStyles,
    OrderedDither,
    Scene,
    TwoColors,
    VideoCompression,
    training_backgrounds,
)
from glassine.data.transforms.pictures import wide_backgrounds


@pytest.fixture
def frames() -> np.ndarray:
    return np.zeros((4, 48, 64, 4), np.float32)


@pytest.fixture
def clip() -> np.ndarray:
    clip = np.full((4, 47, 63, 3), 255, np.uint8)
    for number, frame in enumerate(clip):
        frame[10:30, 8 + number : 30 + number] = (200, 40, 60)
    return clip


@pytest.mark.parametrize("kind", [Gradient, TwoColors, Checkerboard, Scene, Flashing])
def test_a_background_is_a_picture_for_every_frame_in_whole_values(kind, frames):
    for seed in range(6):
        drawn = kind()(frames, np.random.default_rng(seed))
        assert drawn.shape == (4, 48, 64, 3)
        assert drawn.dtype == np.float32
        assert 0 <= drawn.min() <= drawn.max() <= 1
        np.testing.assert_allclose(drawn * 255, np.round(drawn * 255), atol=1e-3)
        np.testing.assert_array_equal(drawn, kind()(frames, np.random.default_rng(seed)))


def test_a_checkerboard_has_two_grays_that_alternate(frames):
    board = Checkerboard(squares=(32, 32))(frames, np.random.default_rng(3))[0]
    assert len(np.unique(board)) == 2
    assert (board[..., 0] == board[..., 1]).all()


def test_a_flash_is_one_color_in_a_frame_and_others_in_others(frames):
    seen = [Flashing()(frames, np.random.default_rng(seed)) for seed in range(8)]
    assert all((one == one[:, :1, :1]).all() for one in seen)
    assert any(len(np.unique(one[:, 0, 0], axis=0)) > 1 for one in seen)


def test_a_scene_pans_or_stands_still(frames):
    still, moving = (Scene(moving=share)(frames, np.random.default_rng(1)) for share in (0.0, 1.0))
    assert (still[0] == still[-1]).all()
    assert (moving[0] != moving[-1]).any()


def test_pictures_get_their_share_of_all_weight():
    flat = training_backgrounds()
    whole = wide_backgrounds(training_backgrounds(), 0.2)
    total = sum(background.weight for background in whole)
    assert sum(background.weight for background in whole[len(flat) :]) / total == pytest.approx(0.2)
    with pytest.raises(ValueError, match="share must be in"):
        wide_backgrounds(flat, 1.0)


def test_ordered_dither_leaves_few_levels_in_a_pattern(clip):
    clip[..., 1] = 100
    dithered = OrderedDither(levels=(6, 6))(clip, np.random.default_rng(0))
    assert set(np.unique(dithered)) <= {0, 51, 102, 153, 204, 255}
    assert np.abs(dithered[..., 1].mean() - 100) < 6
    assert len(np.unique(dithered[..., 1])) > 1


@pytest.mark.parametrize("codec", ["libvpx", "libx264"])
def test_video_compression_keeps_size_and_looks(codec, clip):
    worse = VideoCompression((codec,), rate=(30, 30))(clip, np.random.default_rng(0))
    assert worse.shape == clip.shape
    assert 0 < np.abs(worse.astype(int) - clip).mean() < 25


def test_an_encoder_that_is_not_there_changes_nothing(clip):
    np.testing.assert_array_equal(VideoCompression(("no_such_codec",))(clip, np.random.default_rng(0)), clip)


def test_enlarging_blurs_edges_but_not_flat_areas(clip):
    larger = Enlarged(scale=(2.0, 2.0))(clip, np.random.default_rng(1))
    assert (larger[:, :4, :4] == 255).all()
    assert (larger != clip).any()


def test_many_styles_makes_samples_of_all_kinds():
    transform = ManyStyles(picture_share=0.5, clean=0.0)
    frames = np.zeros((2, 32, 32, 4), np.uint8)
    frames[:, 8:24, 8:24] = (250, 180, 20, 255)
    names = set()
    for seed in range(40):
        sample = transform(frames, torch.Generator().manual_seed(seed))
        assert sample["clip"].shape == (2, 3, 32, 32)
        names.add(sample["condition"].split("+")[0])
    assert {"gradient", "checkerboard", "scene", "own_color"} <= names
