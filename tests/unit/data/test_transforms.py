"""What a training run relies on: exact compositing, truth that survives damage, seeds, and YAML."""

import cv2
import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from glassine.data.alpha import composite, pad_color
from glassine.data.dataset import Stickers
from glassine.data.transforms import (
    Background,
    ColorPadding,
    FlatBackground,
    GifPalette,
    Jpeg,
    OwnColor,
    StickerTransform,
    VaeRoundTrip,
    evaluation_conditions,
    main_color,
    outline_color,
)


def disc_sticker(size: int = 64, frames: int = 4) -> np.ndarray:
    """A soft-edged, shaded orange disc that moves to the right; RGBA `f h w 4`; clear pixels are black."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    result = np.zeros((frames, size, size, 4), np.uint8)
    for step, frame in enumerate(result):
        distance = np.hypot(rows - size / 2, columns - size / 2 - step)
        alpha = np.clip(size * 0.33 - distance, 0, 1)
        shade = 1 - 0.2 * distance / size
        frame[..., :3] = shade[..., None] * (240, 150, 40) * (alpha[..., None] > 0)
        frame[..., 3] = alpha * 255
    return result


def face(size: int = 96) -> np.ndarray:
    """A yellow face whose shading spreads over many colors, with two pure white eyes; RGBA `1 h w 4`."""
    picture = np.zeros((size, size, 4), np.uint8)
    center = (size // 2, size // 2)
    for radius in range(size // 2 - 4, 0, -1):
        cv2.circle(picture, center, radius, (255 - radius // 2, 230 - 2 * radius, 60, 255), -1)
    for side in (-1, 1):
        cv2.circle(picture, (center[0] + side * size // 6, center[1]), size // 8, (255, 255, 255, 255), -1)
    return picture[None]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def plain() -> StickerTransform:
    return StickerTransform([FlatBackground((1, 0.2, 0), "orange")], degradations=[], augmentations=[])


def test_sample_has_the_shapes_and_ranges_a_batch_is_collated_from() -> None:
    sample = StickerTransform()(disc_sticker(), seeded(0))
    shapes = {key: tuple(value.shape) for key, value in sample.items() if isinstance(value, torch.Tensor)}
    assert shapes == {
        "clip": (4, 3, 64, 64),
        "foreground": (4, 3, 64, 64),
        "alpha": (4, 1, 64, 64),
        "background": (3,),
    }
    for key in shapes:
        value = sample[key]  # type: ignore[literal-required]
        assert value.dtype == torch.float32
        assert 0 <= value.min() <= value.max() <= 1


def test_clip_is_the_truth_composited_and_rounded_to_8_bits(plain: StickerTransform) -> None:
    sample = plain(disc_sticker(), seeded(0))
    expected = composite(sample["foreground"], sample["alpha"], sample["background"])
    assert (sample["clip"] - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert sample["condition"] == "orange"


def test_truth_is_the_file_where_it_is_visible_and_bled_where_it_is_not(plain: StickerTransform) -> None:
    frames = disc_sticker()
    sample = plain(frames, seeded(0))
    assert torch.equal(sample["alpha"][:, 0], torch.from_numpy(frames[..., 3]) / 255)
    visible = torch.from_numpy(frames[..., 3] > 10)
    colors = sample["foreground"].permute(0, 2, 3, 1)
    assert torch.allclose(colors[visible], torch.from_numpy(frames[..., :3])[visible] / 255)
    assert colors[~visible].mean(0)[0] > 0.7  # the disc's red, where the file has black


def test_same_seed_same_sample_other_seed_other_sample() -> None:
    transform, frames = StickerTransform(), disc_sticker()
    for seed in range(3):
        first, again = transform(frames, seeded(seed)), transform(frames, seeded(seed))
        assert first["condition"] == again["condition"]
        assert torch.equal(first["clip"], again["clip"])
        assert torch.equal(first["alpha"], again["alpha"])
    assert not torch.equal(transform(frames, seeded(0))["clip"], transform(frames, seeded(1))["clip"])


def test_input_is_left_alone() -> None:
    frames = disc_sticker()
    before = frames.copy()
    for seed in range(8):
        StickerTransform()(frames, seeded(seed))
    assert np.array_equal(frames, before)


def test_backgrounds_come_by_weight() -> None:
    transform = StickerTransform(
        [FlatBackground((1, 1, 1), "often", weight=3), FlatBackground((0, 0, 0), "seldom", weight=1)], [], []
    )
    generator, frames = seeded(0), disc_sticker(16, 1)
    names = [transform(frames, generator)["condition"] for _ in range(200)]
    assert 120 < names.count("often") < 180


def test_clean_share_of_clips_has_no_degradation() -> None:
    white: list[Background] = [FlatBackground((1, 1, 1), "white")]
    always = StickerTransform(white, [Jpeg()], [], clean=0.0)
    never = StickerTransform(white, [Jpeg()], [], clean=1.0)
    assert always(disc_sticker(), seeded(0))["condition"] == "white+jpeg"
    assert never(disc_sticker(), seeded(0))["condition"] == "white"


def test_own_color_is_the_body_not_the_eye_white() -> None:
    frames = face()
    colors, counts = np.unique(frames[..., :3][frames[..., 3] > 0], axis=0, return_counts=True)
    assert tuple(colors[counts.argmax()]) == (255, 255, 255)  # by frequency alone the eyes would win
    red, green, blue = main_color(frames.astype(np.float32) / np.float32(255))
    assert red > 0.85
    assert 0.5 < green < 0.95
    assert blue < 0.3


def test_outline_color_is_the_one_at_the_silhouette() -> None:
    frames = np.zeros((1, 64, 64, 4), np.float32)
    cv2.circle(frames[0], (32, 32), 26, (0.2, 0, 0.6, 1), -1)
    cv2.circle(frames[0], (32, 32), 21, (1, 1, 0, 1), -1)
    assert np.allclose(outline_color(frames), (0.2, 0, 0.6), atol=0.01)
    assert np.allclose(main_color(frames), (1, 1, 0), atol=0.01)


@pytest.mark.parametrize("opacity", [0, 60])
def test_a_clip_with_nothing_solid_in_it_goes_through(opacity: int) -> None:
    frames = np.full((2, 32, 32, 4), opacity, np.uint8)
    for seed in range(40):
        sample = StickerTransform()(frames, seeded(seed))
        assert all(torch.isfinite(sample[key]).all() for key in ("clip", "foreground", "alpha", "background"))


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (3, 7, 50, 4)])
def test_odd_sizes_go_through(shape: tuple[int, ...]) -> None:
    frames = np.full(shape, 200, np.uint8)
    for seed in range(25):
        assert StickerTransform()(frames, seeded(seed))["clip"].shape == (shape[0], 3, *shape[1:3])


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8, 4), np.float32), np.zeros((0, 8, 8, 4), np.uint8)]
)
def test_wrong_frames_are_named(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 of shape f h w 4"):
        StickerTransform()(frames, seeded(0))


# Newer versions of jsonargparse call it `instantiate`, which older ones lack
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_yaml_file_configures_it() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--transform", type=StickerTransform)
    text = """
    transform:
      class_path: glassine.data.transforms.StickerTransform
      init_args:
        backgrounds:
        - class_path: glassine.data.transforms.FlatBackground
          init_args: {color: [0, 0, 1], name: blue, weight: 2}
        degradations:
        - class_path: glassine.data.transforms.Jpeg
          init_args: {quality: [60, 60], probability: 1.0}
        augmentations: []
        clean: 0.0
    """
    transform = parser.instantiate_classes(parser.parse_object(yaml.safe_load(text))).transform
    assert transform(disc_sticker(), seeded(0))["condition"] == "blue+jpeg"


def test_evaluation_conditions_are_the_columns_of_the_score_table() -> None:
    names = [condition.name for condition in evaluation_conditions(lambda clip: clip)]
    assert names == [
        "white",
        "gray",
        "own_color",
        "own_color_jpeg75",
        "white_gif_palette",
        "vae_decoded",
        "faded",
        "moving_background",
    ]
    assert "vae_decoded" not in [condition.name for condition in evaluation_conditions()]


def test_evaluation_conditions_know_no_chance() -> None:
    frames = disc_sticker()
    for condition in evaluation_conditions(lambda clip: clip * 0.9):
        first, again = condition(frames, seeded(1)), condition(frames, seeded(2))
        assert torch.equal(first["clip"], again["clip"])
        assert first["condition"] == condition.name


def test_damage_changes_the_clip_but_never_the_truth() -> None:
    frames = disc_sticker()
    samples = {condition.name: condition(frames) for condition in evaluation_conditions(lambda clip: clip * 0.9)}
    for damaged, clean in (
        ("own_color_jpeg75", "own_color"),
        ("white_gif_palette", "white"),
        ("vae_decoded", "white"),
    ):
        assert not torch.equal(samples[damaged]["clip"], samples[clean]["clip"])
        assert torch.equal(samples[damaged]["alpha"], samples[clean]["alpha"])
        assert torch.equal(samples[damaged]["foreground"], samples[clean]["foreground"])
    assert torch.allclose(samples["faded"]["alpha"], samples["white"]["alpha"] / 2)
    assert samples["gray"]["background"].tolist() == [0.5, 0.5, 0.5]


def test_own_color_condition_hides_the_disc_in_its_background() -> None:
    sample = {c.name: c for c in evaluation_conditions()}["own_color"](disc_sticker())
    solid = (sample["alpha"] == 1).expand_as(sample["clip"])
    difference = (sample["clip"] - sample["background"][:, None, None]).abs()
    assert difference[solid].max() < 0.12


def test_settings_that_make_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="three numbers"):
        FlatBackground((255, 255, 255), "white")
    with pytest.raises(ValueError, match="quality"):
        Jpeg((0, 101))
    with pytest.raises(ValueError, match=r"\[2, 256\]"):
        GifPalette((1, 300))
    with pytest.raises(ValueError, match="probability"):
        Jpeg(probability=1.5)
    with pytest.raises(ValueError, match="at least one"):
        StickerTransform([OwnColor(weight=0)])
    with pytest.raises(ValueError, match="shapes must agree"):
        VaeRoundTrip(lambda clip: clip[..., ::2])(np.zeros((1, 8, 8, 3), np.uint8), np.random.default_rng(0))


def test_published_padding_blends_colors_at_soft_edges_and_composites_from_the_stickers_own() -> None:
    frames = disc_sticker()
    background = FlatBackground((1, 0.2, 0), "orange")
    how = {"degradations": [], "augmentations": []}
    plain = StickerTransform([background], **how)(frames)
    padding = ColorPadding(factor=1.2, blended=True)
    published = StickerTransform([background], **how, padding=padding)(frames)
    own = torch.from_numpy(frames[..., :3]).permute(0, 3, 1, 2) / 255
    assert "color" not in plain
    torch.testing.assert_close(published["color"], own)
    torch.testing.assert_close(published["alpha"], plain["alpha"])
    wanted = composite(own, published["alpha"], torch.tensor([1, 0.2, 0]))
    assert (published["clip"] - wanted).abs().max() <= 0.5 / 255 + 1e-6
    soft = (published["alpha"] > 0.1) & (published["alpha"] < 0.9)
    opaque = published["alpha"] == 1
    assert (published["foreground"] - own).abs().mul(opaque).max() < 1e-5
    assert (published["foreground"] - own).abs().mul(soft).max() > 1e-3
    torch.testing.assert_close(published["foreground"], pad_color(own, published["alpha"], factor=1.2))
    with pytest.raises(ValueError, match="factor must be above 1, got 1"):
        ColorPadding(factor=1.0)


def test_evaluation_after_training_pads_likewise() -> None:
    padding = ColorPadding(1.2, True)
    stickers = Stickers(procedural=8, size=(32, 32), num_frames=2, transform=StickerTransform(padding=padding))
    assert "color" in stickers.evaluation("val")[0]
    assert "color" not in Stickers(procedural=8, size=(32, 32), num_frames=2).evaluation("val")[0]
