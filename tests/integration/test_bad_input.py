"""Whatever a person gets wrong: one clear line, exit code 2, no traceback, and nothing left behind."""

import errno
import os
import resource
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from glassine.__main__ import main
from glassine.data.codecs import create_sticker, write_sticker
from glassine.data.codecs.gif_writer import GifWriter
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import save_bundle

YAML = Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml"
Fails = Callable[..., None]


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command line in `tmp_path`: it must say all the `words` in one line and leave the folder as it was."""
    monkeypatch.chdir(tmp_path)

    def tree() -> dict[str, bytes | None]:
        return {str(p): p.read_bytes() if p.is_file() else None for p in tmp_path.rglob("*") if not p.is_symlink()}

    def run(arguments: list[str], *words: str) -> None:
        before = tree()
        capsys.readouterr()
        assert main(arguments) == 2
        out, error = capsys.readouterr()
        assert error.startswith("glassine: ")
        assert error.count("\n") == 1, error
        for word in words:
            assert word in error
        assert "Traceback" not in out + error
        assert tree() == before

    return run


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The smallest network there is, for mistakes that show only on the way."""
    folder = tmp_path_factory.mktemp("weights")
    small = {"block_out_channels": [8, 8, 8], "attention_scales": 0, "layers_per_block": 1, "patch_size": 2}
    tiny = {"width": 8, "decoder_width": 8, "blocks": 1}
    vae, decoder = SmallVAE(**tiny), TransparencyDecoder(**small)
    nn.init.ones_(decoder.conv_out.bias)  # opaque, so that there is something to write
    arguments = {
        "vae": {
            "class_path": "glassine.models.vae.SmallVAE",
            "init_args": {"width": 8, "decoder_width": 8, "blocks": 1},
        },
        "decoder": {"class_path": "glassine.models.transparency.TransparencyDecoder", "init_args": small},
        "adapter": None,
        "pixel_source": "input",
    }
    config = {"class_path": "glassine.models.ildiff.ILDiff", "init_args": arguments}
    save_bundle(ILDiff(vae, decoder, None, "input"), config, folder)
    return str(folder)


@pytest.fixture
def sticker() -> Sticker:
    frames = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 4), dtype=np.uint8)
    frames[..., 3] = 255
    return Sticker(frames, (50,) * 12)


@pytest.fixture
def source(sticker: Sticker, tmp_path: Path) -> str:
    write_sticker(sticker, tmp_path / "in.webp")
    return "in.webp"


def png(width: int, height: int) -> bytes:
    """A PNG that promises much and holds next to nothing."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def gif(width: int, height: int, frames: bytes = b"") -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + frames + b"\x3b"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("notes.gif", b"I am no picture, whatever my name says", ["not an image or video"]),
        ("empty.webp", b"", ["empty"]),
        ("no_frames.gif", gif(40, 40), ["no frames"]),
        ("bomb.png", png(20_000, 20_000), ["20000x20000", "at most"]),
        ("bomb.gif", gif(20_000, 20_000, b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x00"), ["at most"]),
        ("no_pixels.png", png(0, 0), ["0x0"]),
        ("header.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42", ["header.mp4"]),
        ("header.webm", b"\x1a\x45\xdf\xa3" + bytes(60), ["header.webm"]),
        ("header.zip", b"PK\x03\x04" + bytes(60), ["header.zip"]),
    ],
)
def test_files_that_are_no_stickers(fails, tmp_path, weights, name, data, words):
    (tmp_path / name).write_bytes(data)
    fails(["cutout", name, "out.webp", "--weights", weights, "--quiet"], name, *words)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".webm", ".mov", ".zip"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_truncated_files(fails, tmp_path, weights, sticker, suffix, share):
    path = tmp_path / f"in{suffix}"
    write_sticker(sticker, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    fails(["cutout", path.name, "out.webp", "--preview", "strip.png", "--weights", weights, "--quiet"], path.name)


def test_a_name_does_not_decide_what_a_file_is(tmp_path, weights, source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(source).rename("really_webp.gif")
    assert main(["cutout", "really_webp.gif", "out.webp", "--weights", weights, "--quiet"]) == 0


def test_missing_inputs(fails, tmp_path, weights):
    fails(["cutout", "nowhere.gif", "out.webp", "--weights", weights], "nowhere.gif", "no such file")
    (tmp_path / "folder").mkdir()
    fails(["cutout", "folder", "out.webp", "--weights", weights], "folder")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("out.jpg", [".jpg", "without transparency", ".webp"]),
        ("out.docx", [".docx", ".webp"]),
        ("missing/out.webp", ["no folder missing"]),
        ("in.webp/out.webp", ["no folder in.webp"]),
        ("full_folder", ["non-empty folder"]),
    ],
)
def test_outputs_that_cannot_be(fails, tmp_path, weights, source, target, words):
    (tmp_path / "full_folder").mkdir()
    (tmp_path / "full_folder" / "precious.txt").write_text("keep me")
    fails(["cutout", source, target, "--weights", weights, "--quiet"], *words)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_folder(fails, tmp_path, weights, source):
    (tmp_path / "locked").mkdir(mode=0o500)
    fails(["cutout", source, "locked/out.webp", "--weights", weights, "--quiet"], "locked/out.webp", "not writable")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that takes no files")
def test_a_file_system_that_takes_no_files(fails, weights, source):
    fails(["cutout", source, "/proc/self/out.webp", "--weights", weights, "--quiet"], "/proc/self/out.webp")


@pytest.mark.parametrize(
    "command",
    [
        ["export", "weights", "last.ckpt", "--part", "ildiff", "--to", "in.png/out"],
        ["data", "build", "--from", ".", "--to", "in.png/shards"],
        ["benchmark", "tables", "--to", "in.png/benchmarks"],
        ["fit", "-c", str(YAML), "--trainer.logger.init_args.save_dir", "in.png/runs"],
    ],
)
def test_no_verb_can_write_into_a_file(fails, tmp_path, command):
    Image.new("RGB", (200, 200), "white").save(tmp_path / "in.png")
    fails(command)


@contextmanager
def small_files_only() -> Iterator[None]:
    """The system refuses to let any file grow beyond 600 bytes; not a fixture, or pytest's own log would be one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("target", ["out.webp", "out.gif", "out.png", "out.webm", "out.mov", "out.zip", "out"])
def test_a_write_that_fails_half_way(fails, weights, source, target):
    with small_files_only():
        fails(["cutout", source, target, "--weights", weights, "--quiet"], target)


def test_a_build_that_fails_half_way_leaves_no_shard(monkeypatch, tmp_path, source, capsys):
    monkeypatch.chdir(tmp_path)
    with small_files_only():
        assert main(["data", "build", "--from", ".", "--to", "shards", "--workers", "0"]) == 2
    assert "the file grew past the allowed size" in capsys.readouterr().err
    assert list((tmp_path / "shards").iterdir()) == []


def test_a_preview_that_fails_takes_the_result_with_it(fails, tmp_path, weights):
    Image.new("RGB", (200, 200), "white").save(tmp_path / "in.png")
    fails(["cutout", "in.png", "out.webp", "--preview", "in.png/strip.png", "--weights", weights, "--quiet"], "in.png")
    fails(
        ["cutout", "in.png", "out.png", "--preview", "./out.png", "--weights", weights, "--quiet"],
        "must not be the output file",
    )
    fails(["cutout", "in.png", "out.webp", "--preview", "strip.jpg", "--weights", weights, "--quiet"], "strip.jpg")


def test_a_full_disk(fails, monkeypatch, tmp_path, weights, source):
    (tmp_path / "out.gif").write_bytes(b"the result of yesterday")

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GifWriter, "_write_picture", no_space)
    fails(["cutout", source, "out.gif", "--weights", weights, "--quiet"], "out.gif", "disk is full")


def test_weights_that_are_not_there_or_not_weights(fails, tmp_path, weights, source):
    run = ["cutout", source, "out.webp", "--quiet", "--weights"]
    fails([*run, "glassine:huge"], "glassine:huge", "glassine:tiny-ildiff")
    fails([*run, "nowhere"], "nowhere", "config.yaml")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.yaml").write_bytes((Path(weights) / "config.yaml").read_bytes())
    fails([*run, "broken"], "model.safetensors")
    (broken / "model.safetensors").write_bytes(b"nothing of the kind")
    fails([*run, "broken"], "model.safetensors")
    fails([*run, "glassine:tiny-vae"], "SmallVAE", "ILDiff")


@pytest.mark.parametrize("config", ["just words", "class_path: torch.nn.Nothing", "init_args: {}", "{", ""])
def test_a_configuration_that_is_none(fails, tmp_path, source, config):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.yaml").write_text(config)
    fails(["cutout", source, "out.webp", "--quiet", "--weights", "odd"], "odd")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--background", "whitish"], ["whitish", "#rrggbb"]),
        (["--resolution", "3"], ["resolution must be", "got 3"]),
        (["--chunk", "0"], ["chunk must be", "got 0"]),
        (["--device", "abacus"], ["abacus"]),
        (["--quality", "101"], ["101"]),
        (["--to", "nowhere"], ["nowhere"]),
    ],
)
def test_settings_out_of_range(fails, weights, source, more, words):
    fails(["cutout", source, "out.webp", "--weights", weights, "--quiet", *more], *words)


@pytest.mark.parametrize("paths", [["in.webp"], ["in.webp", "a.webp", "b.webp"]])
def test_too_few_or_too_many_paths(fails, source, paths):
    fails(["cutout", *paths], "IN and OUT")


def test_arguments_that_the_parser_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (["cutout"], ["cutout", "a.gif", "b.webp", "--tta", "twice"], ["cutt", "a", "b"], []):
        assert main(arguments) == 2
        assert "error:" in capsys.readouterr().err.splitlines()[-1]


def test_an_unknown_key_in_a_yaml(fails, tmp_path):
    text = YAML.read_text()
    (tmp_path / "typo.yaml").write_text(text.replace("max_steps", "max_stepps"))
    fails(["fit", "-c", "typo.yaml"], "max_stepps")
    (tmp_path / "typo2.yaml").write_text(text.replace("num_frames: 2", "num_framess: 2"))
    fails(["fit", "-c", "typo2.yaml"], "num_framess")
    fails(["fit", "-c", "nowhere.yaml"], "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("model: {class_path: [")
    fails(["fit", "-c", "broken.yaml"], "broken.yaml, line 2")


def test_shards_without_an_index(fails, tmp_path):
    fails(["data", "info", "nowhere"], "nowhere")
    (tmp_path / "shards").mkdir()
    fails(["data", "info", "shards"], "shards")
    (tmp_path / "shards" / "000.tar").write_bytes(bytes(10240))
    fails(["data", "info", "shards"], "000.tar", "index")


def test_one_frame_and_one_pixel_are_no_mistake(tmp_path, weights):
    Image.new("RGB", (1, 1), "white").save(tmp_path / "dot.png")
    assert main(["cutout", str(tmp_path / "dot.png"), str(tmp_path / "out.gif"), "--weights", weights, "--quiet"]) == 0
    with create_sticker(tmp_path / "one.gif", 30, 20) as writer:
        writer.append(np.full((20, 30, 4), 255, np.uint8), 100)
    assert main(["cutout", str(tmp_path / "one.gif"), str(tmp_path / "out.webp"), "--weights", weights, "--quiet"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        ["cutout", "in.webp", "in.webp"],
        ["cutout", "in.webp", "./linked.webp"],
        ["cutout", "in.webp", "out.webp", "--preview", "preview.png"],
        ["animate", "in.webp", "waves", "in.webp"],
        ["animate", "preview.png", "waves", "out.webp", "--sheet", "preview.png"],
    ],
)
def test_no_result_is_written_over_the_input(fails, tmp_path, source, command):
    (tmp_path / "linked.webp").hardlink_to(tmp_path / "in.webp")
    (tmp_path / "preview.png").hardlink_to(tmp_path / "in.webp")
    fails(command, "must not be the input file")
