"""Single augmentations and degradations: what each one keeps and what it changes."""

import cv2
import numpy as np
import pytest
import torch

from glassine.data.transforms import (
    Augmentation,
    Blur,
    CutBorder,
    Degradation,
    Fade,
    FlatLook,
    Flip,
    GifPalette,
    Jpeg,
    LineArt,
    Move,
    MovingBackground,
    Noise,
    PunchHoles,
    Recolor,
    Resize,
    Shadow,
    Texture,
    VaeRoundTrip,
    Webp,
    make_sample,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def frames() -> np.ndarray:
    """A soft-edged sticker in the left half of the frame, colored by place; straight RGBA `3 64 64 4` in [0, 1]."""
    rows, columns = np.mgrid[0:1:64j, 0:1:64j].astype(np.float32)
    alpha = np.clip((0.22 - np.hypot(rows - 0.5, columns - 0.35)) * 32, 0, 1)
    return np.stack([np.stack((rows, columns, 0.5 + 0 * rows, alpha), axis=-1)] * 3).astype(np.float32)


@pytest.fixture
def clip() -> np.ndarray:
    """Opaque `3 h w 3` uint8 with soft blobs of many colors on white."""
    noise = np.random.default_rng(1).random((6, 6, 3)).astype(np.float32)
    picture = cv2.resize(noise, (64, 48), interpolation=cv2.INTER_CUBIC)
    picture[:, :20] = 1
    return np.stack([np.clip(picture * 255, 0, 255).astype(np.uint8)] * 3)


COLOR_ONLY = [Recolor(), FlatLook(), LineArt(), Texture()]
ALPHA_ONLY = [Fade(), PunchHoles()]
UNDERLAYS = [
    CutBorder(width=(0.05, 0.05)),
    Shadow(glow=1.0),
    Shadow(glow=0.0),
]


def name(part: object) -> str:
    return type(part).__name__


@pytest.mark.parametrize("augmentation", [*COLOR_ONLY, *ALPHA_ONLY, *UNDERLAYS, Flip(), Move()], ids=name)
def test_every_augmentation_gives_a_sticker_in_range_and_does_something(
    augmentation: Augmentation, frames: np.ndarray, rng: np.random.Generator
) -> None:
    result = augmentation(frames.copy(), rng)
    assert result.shape == frames.shape
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
    visible = np.maximum(result[..., 3:], frames[..., 3:]) > 0.5
    assert np.abs((result - frames) * visible).max() > 0.05


@pytest.mark.parametrize("augmentation", COLOR_ONLY, ids=name)
def test_color_changes_keep_alpha(augmentation: Augmentation, frames: np.ndarray, rng: np.random.Generator) -> None:
    assert np.array_equal(augmentation(frames.copy(), rng)[..., 3], frames[..., 3])


@pytest.mark.parametrize("augmentation", ALPHA_ONLY, ids=name)
def test_alpha_changes_keep_colors_and_only_lower_alpha(
    augmentation: Augmentation, frames: np.ndarray, rng: np.random.Generator
) -> None:
    result = augmentation(frames.copy(), rng)
    assert np.array_equal(result[..., :3], frames[..., :3])
    assert (result[..., 3] <= frames[..., 3]).all()


@pytest.mark.parametrize("augmentation", UNDERLAYS, ids=name)
def test_a_layer_underneath_looks_as_if_it_lay_on_the_background_first(
    augmentation: Augmentation, frames: np.ndarray, rng: np.random.Generator
) -> None:
    result = augmentation(frames.copy(), rng)
    assert (result[..., 3] >= frames[..., 3] - 1e-6).all()
    solid = frames[..., 3] == 1
    assert np.allclose(result[solid], frames[solid], atol=1e-5)
    # On any background: sticker over (layer over background) must be (sticker and layer as one) over background
    alpha, total = frames[..., 3:], result[..., 3:]
    shown_through = total - alpha
    layer_part = result[..., :3] * total - frames[..., :3] * alpha  # the layer's color times its visible share
    layer_color = (layer_part / np.maximum(shown_through, 1e-6))[shown_through[..., 0] > 0.05]
    assert np.allclose(layer_color, layer_color[0], atol=2e-2)


def test_flip_mirrors(frames: np.ndarray, rng: np.random.Generator) -> None:
    assert np.array_equal(Flip()(frames, rng), frames[:, :, ::-1])


def test_moving_keeps_straight_colors_clean_of_what_is_invisible(frames: np.ndarray, rng: np.random.Generator) -> None:
    frames[..., :3] = np.where(frames[..., 3:] > 0, (1.0, 0.5, 0.25), 0)  # clear pixels are black, as in files
    moved = Move(border=0.0)(frames, rng)
    visible = moved[..., 3] > 0.01
    assert np.allclose(moved[..., :3][visible], (1.0, 0.5, 0.25), atol=0.01)


def test_moving_to_the_border_makes_the_sticker_touch_it(frames: np.ndarray, rng: np.random.Generator) -> None:
    for _ in range(10):
        alpha = Move(border=1.0)(frames, rng)[..., 3]
        edges = (alpha[:, 0].max(), alpha[:, -1].max(), alpha[:, :, 0].max(), alpha[:, :, -1].max())
        assert max(edges) > 0.3


def test_fade_by_a_constant_is_exact(frames: np.ndarray, rng: np.random.Generator) -> None:
    faded = Fade((0.5, 0.5), over_time=0.0, across=0.0)(frames, rng)
    assert np.allclose(faded[..., 3], frames[..., 3] / 2)


def test_fade_over_time_is_monotonic(frames: np.ndarray, rng: np.random.Generator) -> None:
    mass = Fade((0.1, 0.4), over_time=1.0, across=0.0)(frames, rng)[..., 3].sum(axis=(1, 2))
    assert (np.diff(mass) > 0).all() or (np.diff(mass) < 0).all()


def test_flat_look_leaves_few_colors(frames: np.ndarray, rng: np.random.Generator) -> None:
    flat = FlatLook((4, 4))(frames, rng)
    assert len(np.unique(flat[..., :3].reshape(-1, 3), axis=0)) <= 4


def test_line_art_has_a_closed_dark_line_around_white_paper(frames: np.ndarray, rng: np.random.Generator) -> None:
    drawn = LineArt(white_paper=1.0, black_line=1.0)(frames, rng)[0]
    flooded = (drawn[..., :3].mean(axis=-1) * drawn[..., 3] + 1 - drawn[..., 3] > 0.5).astype(np.uint8)
    assert drawn[32, 22, :3].mean() > 0.5  # paper inside
    cv2.floodFill(flooded, None, (0, 0), (2,))
    assert flooded[32, 22] == 1  # on white, the fill from outside does not get in


def test_grayscale_and_negative(frames: np.ndarray, rng: np.random.Generator) -> None:
    still = {"hue": 0.0, "saturation": (1.0, 1.0), "brightness": 0.0, "contrast": (1.0, 1.0), "swap": 0.0}
    gray = Recolor(**still, grayscale=1.0, invert=0.0)(frames, rng)  # type: ignore[arg-type]
    negative = Recolor(**still, grayscale=0.0, invert=1.0)(frames, rng)  # type: ignore[arg-type]
    assert np.allclose(gray[..., 0], gray[..., 2], atol=1e-5)
    assert np.allclose(negative[..., :3], 1 - frames[..., :3], atol=1e-5)


@pytest.mark.parametrize(
    "degradation",
    [Jpeg(), Webp(), GifPalette((4, 8)), GifPalette((4, 8), shared=0.0), Resize(), Blur((0.02, 0.02)), Noise()],
    ids=name,
)
def test_every_degradation_changes_pixels_and_keeps_the_picture(
    degradation: Degradation, clip: np.ndarray, rng: np.random.Generator
) -> None:
    before = clip.copy()
    damaged = degradation(clip, rng)
    assert np.array_equal(clip, before)
    assert damaged.shape == clip.shape
    assert damaged.dtype == np.uint8
    difference = np.abs(damaged.astype(int) - clip)
    assert 0 < difference.mean() < 30


@pytest.mark.parametrize("degradation", [Jpeg(), Webp(), Resize(), Blur()], ids=name)
def test_equal_frames_are_damaged_equally(degradation: Degradation, clip: np.ndarray, rng: np.random.Generator) -> None:
    damaged = degradation(clip, rng)
    assert np.array_equal(damaged[0], damaged[-1])


def test_lower_jpeg_quality_does_more_harm(clip: np.ndarray, rng: np.random.Generator) -> None:
    harm = [np.abs(Jpeg((quality, quality))(clip, rng).astype(int) - clip).mean() for quality in (95, 50, 10)]
    assert harm == sorted(harm)


def test_compression_keeps_red_red(rng: np.random.Generator) -> None:
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 220
    for compression in (Jpeg((90, 90)), Webp((90, 90))):
        assert np.abs(compression(red, rng).astype(int) - red).max() < 12


@pytest.mark.parametrize("dither", [0.0, 1.0])
def test_a_palette_has_no_more_colors_than_asked(dither: float, clip: np.ndarray, rng: np.random.Generator) -> None:
    reduced = GifPalette((6, 6), dither=dither, shared=1.0)(clip, rng)
    assert len(np.unique(reduced.reshape(-1, 3), axis=0)) <= 6


def test_the_vae_is_handed_pixels_in_range_and_clipped_after(clip: np.ndarray, rng: np.random.Generator) -> None:
    def brighter(pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape == (3, 3, 48, 64)
        assert 0 <= pixels.min() <= pixels.max() <= 1
        return pixels + 2 / 255

    decoded = VaeRoundTrip(brighter)(clip, rng)
    assert np.array_equal(decoded, np.minimum(clip.astype(int) + 2, 255))


def test_a_moving_background_pans_smoothly_behind_the_sticker(frames: np.ndarray, rng: np.random.Generator) -> None:
    long = np.repeat(frames[:1], 90, axis=0)
    pictures = MovingBackground(speed=0.05)(long, rng)
    assert pictures.shape == (90, 64, 64, 3)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    steps = np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))
    assert steps.max() < 2 * np.median(steps)  # no jump, also where it turns round
    assert np.median(steps) > 0.002
    sample = make_sample(frames, MovingBackground()(frames, rng), [], rng, "moving")
    assert sample["background"].shape == (3,)
    clear = sample["alpha"][1, 0] == 0
    assert sample["clip"][1][:, clear].std() > 0.05


def test_a_moving_background_of_no_patches_is_refused() -> None:
    with pytest.raises(ValueError, match=r"patches 1 or more, got .* and 0"):
        MovingBackground(patches=0)
