"""`glassine animate`, and `glassine generate` with alpha in the latents, as a user types them."""

import re

import numpy as np
import pytest
from PIL import Image
from tests.helpers.tiny_dynamics import save_tiny_dynamics
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_transparent import MOTION, plain, save_tiny_transparent, tiny_motion_unet, tiny_transparent

from glassine.__main__ import main
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker

FAST = ["--size", "32", "--frames", "2", "--steps", "2", "--device", "cpu"]
UNET = {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION) | {"motion_buckets": 10}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> list[str]:
    network = tiny_transparent(tiny_motion_unet(motion_buckets=10)).requires_grad_(True)
    return ["--weights", save_tiny_transparent(network, tmp_path_factory.mktemp("animate"), UNET)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with a still of odd sizes, a moving sticker, and pictures that cannot be animated."""
    folder = tmp_path_factory.mktemp("pictures")
    still = np.zeros((45, 31, 4), np.uint8)
    still[10:30, 8:20] = (220, 40, 40, 255)
    Image.fromarray(still).save(folder / "still.png")
    write_sticker(Sticker(np.stack([still, still, still[::-1]]), (100,) * 3), folder / "moving.webp")
    opaque = np.full((48, 48, 3), 255, np.uint8)
    opaque[12:36, 12:36] = (30, 60, 200)
    Image.fromarray(opaque).save(folder / "opaque.png")
    Image.fromarray(np.zeros_like(still)).save(folder / "clear.png")
    return folder


def animate(pictures, weights, name: str, out, *more: str) -> int:
    return main(["animate", str(pictures / name), "waves hello", str(out), *FAST, *weights, *more])


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".zip"])
def test_a_still_becomes_a_sticker_of_its_own_size(weights, pictures, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    assert animate(pictures, weights, "still.png", out) == 0
    assert read_sticker(out).frames.shape == (2, 45, 31, 4)


def test_several_are_numbered_by_seed_and_shown_in_a_sheet(weights, pictures, tmp_path):
    more = ["--n", "2", "--seed", "7", "--motion", "9", "--image-guidance", "1.5", "--quiet"]
    assert animate(pictures, weights, "still.png", tmp_path / "a.webp", *more, "--sheet", str(tmp_path / "s.png")) == 0
    assert (tmp_path / "s.png").is_file()
    more[1:4] = ["1", "--seed", "8"]
    assert animate(pictures, weights, "still.png", tmp_path / "b.webp", *more) == 0
    again = read_sticker(tmp_path / "b.webp").frames
    assert np.array_equal(read_sticker(tmp_path / "a-1.webp").frames, again)
    assert not np.array_equal(read_sticker(tmp_path / "a-0.webp").frames, again)


def test_of_an_animation_the_middle_frame_is_taken_and_that_is_said(weights, pictures, tmp_path, capsys):
    assert animate(pictures, weights, "moving.webp", tmp_path / "out.webp") == 0
    assert "moving.webp has 3 frames; the middle one, number 1, is animated" in capsys.readouterr().err
    assert animate(pictures, weights, "still.png", tmp_path / "same.webp") == 0
    same, out = (read_sticker(tmp_path / name).frames for name in ("same.webp", "out.webp"))
    assert np.array_equal(same, out)


def test_an_opaque_picture_is_cut_out_where_that_is_asked_for(weights, pictures, tmp_path, capsys):
    assert animate(pictures, weights, "opaque.png", tmp_path / "out.webp", "--cut-out") == 0
    assert "opaque.png has no transparency, so it was cut out first" in capsys.readouterr().err
    assert read_sticker(tmp_path / "out.webp").frames.shape == (2, 48, 48, 4)
    assert animate(pictures, weights, "still.png", tmp_path / "out.webp", "--cut-out") == 0
    assert "already transparent, so it was not cut out" in capsys.readouterr().err


def test_generate_can_carry_alpha_in_the_latents(weights, tmp_path):
    call = ["generate", "a cat", str(tmp_path / "cat.webp"), *FAST, *weights, "--transparent", "--quiet"]
    assert main([*call, "--transparency", "latents", "--motion", "2"]) == 0
    assert read_sticker(tmp_path / "cat.webp").frames.shape == (2, 32, 32, 4)


def test_one_frame_is_a_transparent_picture_by_the_first_stage(weights, tmp_path):
    call = ["generate", "a cat", str(tmp_path / "cat.png"), *FAST, *weights, "--transparent", "--quiet"]
    assert main([*call, "--transparency", "latents", "--frames", "1"]) == 0
    assert read_sticker(tmp_path / "cat.png").frames.shape == (1, 32, 32, 4)


@pytest.mark.parametrize(
    ("name", "more", "complaint"),
    [
        ("opaque.png", [], "opaque.png must have transparent pixels"),
        ("clear.png", [], "clear.png must show something"),
        ("none.png", [], "there is no such file"),
        ("still.png", ["--frames", "9"], "num_frames must be at most 8 for these motion modules, got 9"),
        ("still.png", ["--frames", "0"], "num_frames must be at least 1, got 0"),
        ("still.png", ["--frames", "1"], "num_frames must be at least 2"),
        ("still.png", ["--motion-adapter", "1"], "motion_adapter_scale must be 0"),
        ("still.png", ["--cutout-weights", "x"], "--cutout-weights needs --cut-out"),
        ("still.png", ["--size", "30"], "multiples of 16"),
        ("still.png", ["--size", "32", "32", "32"], "--size must be one number, or height and width, got 32 32 32"),
        ("still.png", ["--motion", "10"], "motion must be in [0, 9]"),
        ("still.png", ["--image-guidance", "-1"], "image_guidance_scale must be at least 0"),
        ("still.png", ["--motion-guidance", "-1", "--motion", "3"], "motion_guidance_scale must be at least 0"),
        ("still.png", ["--motion-guidance", "2"], "--motion-guidance needs --motion"),
        ("still.png", ["--negative", "red"], "--negative needs --guidance above 1"),
        ("still.png", ["--steps", "0"], "num_inference_steps must be in [1, 1000]"),
        (
            "still.png",
            ["--weights", "glassine:tiny-vae"],
            "animate, got a SmallVAE",
        ),
        ("still.png", ["--weights", "nowhere"], "no weights at nowhere"),
        ("still.png", ["--n", "0"], "--n must be in [1, 1000]"),
    ],
)
def test_mistakes_are_said_in_one_line_and_leave_nothing(weights, pictures, tmp_path, capsys, name, more, complaint):
    assert animate(pictures, weights, name, tmp_path / "out.webp", "--quiet", *more) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_two_ways_to_transparent_stickers_are_not_mixed_up(weights, tmp_path, capsys):
    opaque = ["--weights", save_tiny_generator(tmp_path / "opaque")]
    latents = ["--transparent", "--transparency", "latents"]
    for more, complaint in (
        ([*weights], "use AnimatePipeline"),
        ([*opaque, *latents], "must hold a TransparentVideo"),
        ([*weights, "--transparency", "latents"], "--transparency latents needs --transparent"),
        ([*opaque, "--motion", "3"], "--motion-adapter and --image-guidance need --transparent"),
        ([*weights, *latents, "--cutout-weights", "x"], "--cutout-weights needs --transparent --transparency ildiff"),
    ):
        assert main(["generate", "a cat", str(tmp_path / "out.webp"), *FAST, *more]) == 2
        assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out.webp").exists()


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> list[str]:
    """Weights that move stills."""
    return ["--weights", save_tiny_dynamics(tmp_path_factory.mktemp("fields"))]


def test_motion_fields_move_the_still_itself(fields, pictures, tmp_path):
    out = tmp_path / "out.webp"
    line = ["animate", str(pictures / "still.png"), "waves hello", str(out), *fields, "--frames", "5", "--steps", "2"]
    assert main([*line, "--method", "motion-fields", "--seed", "3", "--motion", "2", "--guidance", "2"]) == 0
    frames = read_sticker(out).frames
    still = np.asarray(Image.open(pictures / "still.png"))
    assert frames.shape == (5, 45, 31, 4)
    assert np.array_equal(frames[2], still)
    assert any(not np.array_equal(frame, still) for frame in frames)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "64"], "--size is for --method layer-animate and animated-stickers"),
        (["--image-guidance", "2"], "--image-guidance is for --method"),
        (["--motion-adapter", "1"], "--motion-adapter is for --method"),
        (["--guidance-rescale", "0.5"], "--guidance-rescale is for --method"),
        (["--style", "3D"], "--style is for --method"),
        (["--rate", "8"], "--rate needs --method animated-stickers"),
        (["--motion", "4"], r"motion must be in \[0, 3\], got 4"),
        (["--frames", "1"], "num_frames must be at least 2, got 1"),
        (["--method", "layer-animate"], "must be of the method layer-animate, got .*, which are of motion-fields"),
    ],
)
def test_what_motion_fields_cannot_follow_is_said(fields, pictures, tmp_path, capsys, options, said):
    line = ["animate", str(pictures / "still.png"), "waves", str(tmp_path / "out.webp"), *fields, "--steps", "2"]
    assert main([*line, *options]) == 2
    assert re.search(said, " ".join(capsys.readouterr().err.split()))
    assert not (tmp_path / "out.webp").exists()
