"""`-`, `/dev/stdin`, `<(...)` and FIFOs, as a shell hands them over; and names of files as they are."""

import io
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from glassine.__main__ import main
from glassine.data.codecs import decode_bytes, open_sticker, read_sticker, write_sticker
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import save_bundle
from glassine.utils.errors import UserError

DURATIONS = (40, 70, 120)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The smallest network there is; it makes everything opaque."""
    folder = tmp_path_factory.mktemp("weights")
    small = {"block_out_channels": [8, 8, 8], "attention_scales": 0, "layers_per_block": 1, "patch_size": 2}
    tiny = {"width": 8, "decoder_width": 8, "blocks": 1}
    vae, decoder = SmallVAE(**tiny), TransparencyDecoder(**small)
    nn.init.ones_(decoder.conv_out.bias)
    arguments = {
        "vae": {"class_path": "glassine.models.vae.SmallVAE", "init_args": tiny},
        "decoder": {"class_path": "glassine.models.transparency.TransparencyDecoder", "init_args": small},
        "adapter": None,
        "pixel_source": "input",
    }
    config = {"class_path": "glassine.models.ildiff.ILDiff", "init_args": arguments}
    save_bundle(ILDiff(vae, decoder, None, "input"), config, folder)
    return str(folder)


@pytest.fixture
def gif(tmp_path: Path) -> bytes:
    frames = np.full((3, 20, 24, 4), 255, np.uint8)
    for number, frame in enumerate(frames):
        frame[5:15, 4 + number : 14 + number, :3] = (220, 40, 60)
    write_sticker(Sticker(frames, DURATIONS, 2), tmp_path / "in.gif")
    return (tmp_path / "in.gif").read_bytes()


class Piped:
    """Standard input or output of a command, as bytes."""

    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        raise AssertionError(f"{text!r} was printed among the data")


def cutout(*arguments: object) -> int:
    return main(["cutout", "--device", "cpu", "--resolution", "32", *map(str, arguments)])


def test_a_file_goes_in_and_out_through_a_real_pipe(weights, gif):
    code = "import sys; from glassine.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "cutout", "-", "-", "--weights", weights, "--device", "cpu"]
    done = subprocess.run([*command, "--resolution", "32"], input=gif, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    sticker = decode_bytes(done.stdout)  # nothing but the data
    assert done.stdout[8:12] == b"WEBP"
    assert (sticker.durations, sticker.loop) == (DURATIONS, 2)
    assert b"3 frames of 24x20" in done.stderr


@pytest.mark.parametrize("kind", ["webp", "png", "gif", "apng", "avif", "webm", "mov", "zip"])
def test_the_format_of_a_pipe_is_told(weights, gif, monkeypatch, kind):
    out = Piped()
    monkeypatch.setattr(sys, "stdin", Piped(gif))
    monkeypatch.setattr(sys, "stdout", out)
    assert cutout("-", "-", "--format", kind, "--weights", weights) == 0
    sticker = decode_bytes(out.buffer.getvalue())
    assert sticker.frames.shape == (3, 20, 24, 4)
    assert sticker.durations == DURATIONS


def test_fifos_are_read_and_written(weights, gif, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    os.mkfifo(source)
    os.mkfifo(target)
    got: list[bytes] = []
    ends = [
        threading.Thread(target=lambda: source.write_bytes(gif), daemon=True),
        threading.Thread(target=lambda: got.append(target.read_bytes()), daemon=True),
    ]
    for end in ends:
        end.start()
    assert cutout(source, target, "--format", "png", "--weights", weights, "--quiet") == 0
    for end in ends:
        end.join(20)
    assert decode_bytes(got[0]).durations == DURATIONS
    assert target.is_fifo()  # it was not replaced by a file


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif", ".webm", ".mov", ".zip"])
def test_every_kind_of_file_is_read_from_a_pipe(tmp_path, gif, suffix):
    write_sticker(decode_bytes(gif), tmp_path / f"a{suffix}")
    read_end, write_end = os.pipe()
    data = (tmp_path / f"a{suffix}").read_bytes()
    thread = threading.Thread(target=lambda: (os.write(write_end, data), os.close(write_end)), daemon=True)
    thread.start()
    expected = read_sticker(tmp_path / f"a{suffix}")
    with open_sticker(f"/dev/fd/{read_end}") as reader:  # what a shell makes of <(...)
        np.testing.assert_array_equal(np.stack([frame for frame, _ in reader]), expected.frames)
    os.close(read_end)


def test_an_endless_pipe_of_something_else_ends_at_once():
    with pytest.raises(UserError, match="not an image or video"):
        read_sticker("/dev/zero")


@pytest.mark.parametrize(("data", "words"), [(b"", "empty"), (b"no picture at all", "not an image")])
def test_standard_input_is_named_in_messages(weights, monkeypatch, tmp_path, capsys, data, words):
    monkeypatch.setattr(sys, "stdin", Piped(data))
    assert cutout("-", tmp_path / "out.webp", "--weights", weights) == 2
    said = capsys.readouterr().err
    assert said.startswith("glassine: standard input: ")
    assert words in said


def test_a_reader_that_ends_early_is_no_traceback(weights, tmp_path, gif, capsys):
    target = tmp_path / "target"
    os.mkfifo(target)
    reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    copy = shutil.copyfileobj

    def copy_to_nobody(*arguments: object) -> None:
        os.close(reader)
        copy(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassine.data.codecs.pipes.shutil.copyfileobj", copy_to_nobody)
        assert cutout(tmp_path / "in.gif", target, "--weights", weights, "--quiet") == 2
    assert "the program that reads it has ended" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".webp", ".GIF", "-"])
def test_no_output_is_a_folder_by_mistake(tmp_path, gif, weights, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        write_sticker(decode_bytes(gif), name)
    if name != "-":
        assert cutout("in.gif", name, "--weights", weights) == 2
        assert "it is a suffix without a name" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]


def test_a_format_for_a_named_file_is_refused(tmp_path, gif, weights, capsys):
    assert cutout(tmp_path / "in.gif", tmp_path / "out.webp", "--format", "png", "--weights", weights) == 2
    assert "whose suffix is the format" in capsys.readouterr().err
    assert cutout(tmp_path / "in.gif", "--to", tmp_path, "--format", "png", "--weights", weights) == 2
    assert "--suffix png" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out [red].webp", "[bold]x[/bold].webp", ":smile:.webp", "[/].webp"])
def test_names_are_printed_as_they_are(tmp_path, gif, weights, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name.replace(".webp", ".gif").replace("/", "_")).write_bytes(gif)
    target = name.replace("/", "_")
    assert cutout(target.replace(".webp", ".gif"), target, "--weights", weights) == 0
    assert f"{target}: 3 frames" in capsys.readouterr().err


def test_what_is_shown_otherwise_is_said_once(tmp_path, gif, weights, capsys):
    place = -1
    data = bytearray(gif)
    while (place := data.find(b"\x21\xf9\x04", place + 1)) >= 0:
        data[place + 4 : place + 6] = b"\1\0"
    (tmp_path / "fast.gif").write_bytes(data)
    assert cutout(tmp_path / "fast.gif", tmp_path / "out.webm", "--weights", weights) == 0
    assert capsys.readouterr().err.count("10 ms or less") == 1
    assert read_sticker(tmp_path / "out.webm").durations == (100, 100, 100)
