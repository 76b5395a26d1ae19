"""`glassine cutout` as a person types it, with a small untrained network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers.drawings import as_tgs, lottie, svg
from torch import nn

from glassine.__main__ import main
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.sam import TimmImageEncoder
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.pipelines.cutout import CutoutPipeline
from glassine.pretrained.weights import save_bundle

DURATIONS = (40, 40, 120, 40, 70)
VAE = {"width": 8, "decoder_width": 8, "blocks": 1}
DECODER = {"block_out_channels": [8, 8, 16], "attention_scales": 1, "layers_per_block": 1, "patch_size": 2}
ENCODER = {"name": "mobilenetv3_small_050", "stage": 2}


def part(path: str, **arguments: object) -> dict:
    return {"class_path": f"glassine.{path}", "init_args": arguments}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bundle of small untrained parts, whose alpha is anything from invisible to opaque."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    vae, decoder = SmallVAE(**VAE), TransparencyDecoder(**DECODER)
    adapter = LayoutAdapter(TimmImageEncoder(**ENCODER), depth=1, width=8)
    config = part(
        "models.ildiff.ILDiff",
        vae=part("pretrained.weights.load_bundle", source=str(folder / "vae")),
        decoder=part("models.transparency.TransparencyDecoder", **DECODER),
        adapter=part(
            "nn.layout_adapter.LayoutAdapter",
            image_encoder=part("models.image_encoder.TimmImageEncoder", **ENCODER),
            depth=1,
            width=8,
        ),
        pixel_source="input",
    )
    save_bundle(vae, part("models.vae.SmallVAE", **VAE), folder / "vae")
    ildiff = ILDiff(vae, decoder, adapter, "input")
    nn.init.normal_(decoder.latent_conv_in.weight, std=0.1)
    nn.init.normal_(decoder.conv_out.weight, std=0.2)
    save_bundle(ildiff, config, folder / "ildiff")
    return str(folder / "ildiff")


@pytest.fixture
def sticker() -> Sticker:
    frames = np.full((5, 48, 60, 4), 255, np.uint8)
    for number, frame in enumerate(frames):
        frame[10:38, 8 + 4 * number : 36 + 4 * number, :3] = (220, 40, 60)
    return Sticker(frames, DURATIONS, loop=2)


@pytest.fixture
def source(sticker: Sticker, tmp_path: Path) -> Path:
    write_sticker(sticker, tmp_path / "in.gif")
    return tmp_path / "in.gif"


def cutout(*arguments: object) -> int:
    how = ["--device", "cpu", "--resolution", "64", "--chunk", "2", "--method", "network"]
    return main(["cutout", *how, *map(str, arguments)])


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".apng", ".webm", ".mov", ".zip", ""])
def test_every_format_keeps_size_timing_and_loop(weights, source, suffix):
    target = source.with_name(f"out{suffix}")
    assert cutout(source, target, "--weights", weights) == 0
    result = read_sticker(target)
    assert result.frames.shape == (5, 48, 60, 4)
    assert result.durations == DURATIONS
    assert result.loop == 2
    assert {path.name for path in source.parent.iterdir()} == {source.name, target.name}


def test_the_file_holds_what_the_pipeline_gives_and_opaque_pixels_their_own_color(weights, source, sticker):
    target = source.with_name("out.webp")
    assert cutout(source, target, "--weights", weights, "--background", "white") == 0
    expected = CutoutPipeline.from_pretrained(weights, "cpu")(sticker, (255, 255, 255), 64, chunk=2, method="network")
    result = read_sticker(target).frames
    visible = expected.frames[..., 3] > 0
    np.testing.assert_array_equal(result[visible], expected.frames[visible])
    assert visible.mean() > 0
    opaque = result[..., 3] == 255
    np.testing.assert_array_equal(result[opaque], sticker.frames[opaque])


def test_weights_saved_by_the_pipeline_cut_out_the_same(weights, source, sticker, tmp_path):
    pipeline = CutoutPipeline.from_pretrained(weights, "cpu")
    pipeline.save_pretrained(tmp_path / "mine")
    again = CutoutPipeline.from_pretrained(str(tmp_path / "mine"), "cpu")
    np.testing.assert_array_equal(
        again(sticker, resolution=64, method="network").frames,
        pipeline(sticker, resolution=64, method="network").frames,
    )


def test_settings_reach_the_network(weights, source):
    def alpha(*more: str) -> np.ndarray:
        target = source.with_name("out.zip")
        assert cutout(source, target, "--weights", weights, *more) == 0
        return read_sticker(target).frames[..., 3].astype(int)

    plain = alpha()
    # another batch size may round the last bit of a sum otherwise
    assert (alpha("--chunk", "50") != plain).mean() < 0.002
    assert np.abs(alpha("--decoder-input", "input") - plain).max() == 0
    for change in (
        ["--decoder-input", "reconstruction"],
        ["--tta", "hflip"],
        ["--resolution", "32"],
        ["--background", "203040"],
    ):
        assert np.abs(alpha(*change) - plain).max() > 8, change


def test_the_preview_shows_input_and_result(weights, source):
    strip = source.with_name("strip.png")
    assert cutout(source, source.with_name("out.webp"), "--weights", weights, "--preview", strip) == 0
    with Image.open(strip) as picture:
        assert picture.width > 5 * 60 * 2  # five frames, each twice enlarged
        assert (220, 40, 60) in {color for _, color in picture.convert("RGB").getcolors(100_000)}


def test_a_picture_becomes_a_picture_whatever_its_size(weights, tmp_path):
    for width, height in ((1, 1), (333, 7)):
        Image.new("RGB", (width, height), (90, 200, 30)).save(tmp_path / "in.jpg")
        assert cutout(tmp_path / "in.jpg", tmp_path / "out.png", "--weights", weights) == 0
        assert read_sticker(tmp_path / "out.png").frames.shape == (1, height, width, 4)


def test_several_inputs_go_to_a_folder_and_a_bad_one_does_not_stop_the_others(weights, source, sticker, capsys):
    folder, second, bad = source.parent / "out", source.with_name("second.webp"), source.with_name("bad.gif")
    folder.mkdir()
    write_sticker(sticker, second)
    bad.write_bytes(b"GIF89a, but no more than that")
    assert cutout(source, bad, second, "--to", folder, "--suffix", "png", "--weights", weights, "--quiet") == 2
    assert sorted(path.name for path in folder.iterdir()) == ["in.png", "second.png"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "bad.gif" in said[0]
    assert "1 of 3" in said[1]


def test_an_input_with_transparency_is_named_and_never_gets_more_visible(weights, source, sticker, capsys):
    sticker.frames[:, :20, :, 3] = 0
    write_sticker(sticker, source.with_name("half.webp"))
    assert cutout(source.with_name("half.webp"), source.with_name("out.webp"), "--weights", weights) == 0
    assert "half.webp: transparent already" in capsys.readouterr().err
    assert not read_sticker(source.with_name("out.webp")).frames[:, :20].any()


def test_the_input_itself_is_not_written_over(weights, source, capsys):
    before = source.read_bytes()
    assert cutout(source, source, "--weights", weights) == 2
    assert str(source) in capsys.readouterr().err
    assert source.read_bytes() == before


def test_inputs_are_not_written_over_by_results_for_a_folder(weights, source, sticker, capsys):
    before = source.read_bytes()
    assert cutout(source, "--to", source.parent, "--suffix", source.suffix, "--weights", weights, "--quiet") == 2
    assert "is an input and would be overwritten" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_a_lottie_and_a_drawing_are_cut_out(weights: str, tmp_path: Path) -> None:
    pytest.importorskip("rlottie_python")
    pytest.importorskip("resvg_py")
    (tmp_path / "a.tgs").write_bytes(as_tgs(lottie(frames=3)))
    (tmp_path / "b.svg").write_bytes(svg())
    (tmp_path / "to").mkdir()
    files = [str(tmp_path / name) for name in ("a.tgs", "b.svg")]
    assert main(["cutout", *files, "--to", str(tmp_path / "to"), "--suffix", "webp", "--weights", weights]) == 0
    assert read_sticker(tmp_path / "to" / "a.webp").durations == (20, 20, 20)
    assert read_sticker(tmp_path / "to" / "b.webp").frames.shape == (1, 512, 512, 4)


def test_a_border_is_drawn_on_a_canvas_that_grows(weights, source):
    plain, bordered = source.with_name("plain.webp"), source.with_name("bordered.webp")
    assert cutout("--weights", weights, source, plain) == 0
    how = ("--outline", "3", "--outline-color", "blue", "--preview", source.with_name("strip.png"))
    assert cutout("--weights", weights, *how, source, bordered) == 0
    before, after = read_sticker(plain), read_sticker(bordered)
    room = (after.width - before.width) // 2
    assert room >= 3
    assert after.height - before.height == 2 * room
    assert after.durations == before.durations
    inner = after.frames[:, room : room + before.height, room : room + before.width]
    opaque = before.frames[..., 3] == 255
    np.testing.assert_array_equal(inner[opaque], before.frames[opaque])
    assert (inner[..., 3].astype(int) >= before.frames[..., 3].astype(int)).all()
    assert inner[..., 3].sum(dtype=np.int64) > before.frames[..., 3].sum(dtype=np.int64)
