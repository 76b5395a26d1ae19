import numpy as np
import pytest
from PIL import Image
from tests.helpers.tiny_generator import save_tiny_generator

from glassine.__main__ import main
from glassine.data.codecs import read_sticker

FAST = ["--size", "32", "--frames", "2", "--steps", "2", "--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> list[str]:
    return ["--weights", save_tiny_generator(tmp_path_factory.mktemp("generator"))]


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".zip"])
def test_one_sticker_in_the_format_of_its_suffix(weights, tmp_path, suffix):
    out = tmp_path / f"cat{suffix}"
    assert main(["generate", "a cat", str(out), *FAST, *weights]) == 0
    assert read_sticker(out).frames.shape == (2, 32, 32, 4)


def test_several_are_numbered_by_seed_and_shown_in_a_sheet(weights, tmp_path):
    call = ["generate", "a cat", str(tmp_path / "cat.webp"), "--n", "2", "--seed", "7", *FAST, *weights]
    assert main([*call, "--sheet", str(tmp_path / "all.png")]) == 0
    first, second = (read_sticker(tmp_path / f"cat-{n}.webp").frames for n in (0, 1))
    assert not np.array_equal(first, second)
    assert Image.open(tmp_path / "all.png").size[0] > 2 * 128
    assert main(["generate", "a cat", str(tmp_path / "again.webp"), "--seed", "8", *FAST, *weights]) == 0
    assert np.array_equal(read_sticker(tmp_path / "again.webp").frames, second)


def test_transparent_stickers_are_cut_out(weights, tmp_path):
    out = tmp_path / "cat.webp"
    assert main(["generate", "a cat", str(out), "--transparent", *FAST, *weights]) == 0
    assert read_sticker(out).frames.shape == (2, 32, 32, 4)


def test_transparent_stickers_are_moved_images_by_default(tmp_path):
    out = tmp_path / "cat.webp"
    assert main(["generate", "a cat", str(out), "--transparent", "--steps", "2", "--motion", "5", "--quiet"]) == 0
    frames = read_sticker(out).frames
    assert frames.shape == (16, 128, 128, 4)
    assert 0.05 < (frames[..., 3] > 128).mean() < 0.95


@pytest.mark.parametrize("transparent", [[], ["--transparent"]])
def test_a_still_sticker_is_one_plain_picture(weights, tmp_path, transparent):
    out = tmp_path / "cat.png"
    fast = FAST[:2] + FAST[4:]  # without --frames
    assert main(["generate", "a cat", str(out), "--still", *transparent, *fast, *weights]) == 0
    assert read_sticker(out).frames.shape == (1, 32, 32, 4)
    assert getattr(Image.open(out), "n_frames", 1) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a cat", "OUT.png", "--still", "--frames", "3"], "--frames must be 1 or left out with --still, got 3"),
        (["a cat", "OUT.png", "--still", "--transparent", "--transparency", "latents"], "leave --transparency latents"),
        (["  ", "OUT.webp"], "prompt must not be empty"),
        (["a cat", "OUT.mp4"], ".mp4 is written without transparency"),
        (["a cat", "nowhere/OUT.webp"], "does not exist; create it first"),
        (["a cat", "OUT.webp", "--n", "0"], "--n must be in [1, 1000], got 0"),
        (["a cat", "OUT.webp", "--sheet", "OUT.jpg"], "--sheet must be a .png file"),
        (["a cat", "OUT.png", "--sheet", "OUT.png"], "--sheet must not be one of the sticker files"),
        (["a cat", "OUT.webp", "--size", "30"], "multiples of 16"),
        (["a cat", "OUT.webp", "--steps", "0"], "num_inference_steps must be in [1, 1000], got 0"),
        (["a cat", "OUT.webp", "--frames", "0"], "num_frames must be at least 1, got 0"),
        (["a cat", "OUT.webp", "--guidance", "-1"], "guidance_scale must be at least 0 (usually 3 to 7.5), got -1.0"),
        (["a cat", "OUT.webp", "--fps", "0"], "fps must be in [0.1, 100], got 0"),
    ],
)
def test_mistakes_are_said_in_one_line_and_leave_nothing(weights, tmp_path, capsys, arguments, complaint):
    given = [argument.replace("OUT", str(tmp_path / "out")) for argument in arguments]
    assert main(["generate", *given[:2], *FAST, *weights, *given[2:]]) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())
