"""Other programs read what is written here, and what they write is read here."""

import io
import json
import struct
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from glassine.data.codecs import decode_bytes, open_sticker, read_frames, read_sticker, write_sticker
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


def boxes() -> np.ndarray:
    """Four frames: a box moves, stands still, and a second one takes its place."""
    frames = np.zeros((4, 20, 24, 4), np.uint8)
    frames[0, 3:9, 2:8] = frames[1, 3:9, 5:11] = frames[2, 3:9, 5:11] = (200, 90, 10, 255)
    frames[3, 10:19, 9:22] = (20, 60, 250, 255)
    return frames


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_pillow_sees_every_frame_we_write(tmp_path: Path, suffix: str) -> None:
    write_sticker(Sticker(boxes(), (40, 70, 100, 30), 3), tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as image:
        seen, durations = [], []
        for frame in ImageSequence.Iterator(image):
            seen.append(np.array(frame.convert("RGBA")))
            durations.append(frame.info["duration"])
        assert image.info["loop"] == (2 if suffix == ".gif" else 3)
    visible = boxes()[..., 3] > 0
    assert np.array_equal(np.stack(seen)[..., 3] > 0, visible)
    assert np.array_equal(np.stack(seen)[visible], boxes()[visible])
    assert durations == [40, 70, 100, 30]


@pytest.mark.parametrize(("suffix", "decoder"), [(".webm", "libvpx-vp9"), (".mov", "prores")])
def test_ffmpeg_finds_alpha_in_videos(tmp_path: Path, suffix: str, decoder: str) -> None:
    write_sticker(Sticker(boxes(), (40, 70, 100, 30)), tmp_path / f"a{suffix}")
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r")
        context.extradata = stream.codec_context.extradata
        if decoder == "prores":
            context = stream.codec_context
        frames = [f.to_ndarray(format="rgba") for packet in container.demux(stream) for f in context.decode(packet)]
    assert np.abs(np.stack(frames)[..., 3].astype(int) - boxes()[..., 3]).mean() < 2


def test_pillow_animations_are_read(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame, "RGBA") for frame in boxes()[[0, 1, 3]]]
    for suffix, options in ((".webp", {"lossless": True}), (".png", {}), (".gif", {"disposal": 2})):
        path = tmp_path / f"a{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[50, 60, 70], loop=0, **options)
        sticker = read_sticker(path)
        assert np.array_equal(sticker.frames[..., 3], boxes()[[0, 1, 3]][..., 3])
        assert (sticker.durations, sticker.loop) == ((50, 60, 70), 0)


def chunk(tag: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))


def test_apng_fractions_do_not_drift_and_a_hidden_picture_is_no_frame() -> None:
    def pixels(value: int) -> bytes:
        return zlib.compress(b"\0" + bytes([value, value, value, 255]))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0))
    data += chunk(b"acTL", struct.pack(">II", 24, 5)) + chunk(b"IDAT", pixels(99))
    for number in range(24):
        data += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * number, 1, 1, 0, 0, 1, 24, 0, 0))
        data += chunk(b"fdAT", struct.pack(">I", 2 * number + 1) + pixels(number))
    sticker = decode_bytes(data + chunk(b"IEND", b""))
    assert sticker.frames[:, 0, 0, 0].tolist() == list(range(24))
    assert sticker.duration_ms == 1000
    assert set(sticker.durations) == {41, 42}
    assert sticker.loop == 5


def write_opaque(path: Path, codec: str, times: list[int], size: tuple[int, int] = (64, 48)) -> None:
    """A video whose frame n is gray of 8 n, at the given times in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            gray = np.full((size[1], size[0], 3), 8 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("width", [18, 20, 34, 66, 68, 100, 498])
def test_opaque_video_of_any_width_is_opaque_to_its_last_column(tmp_path: Path, width: int) -> None:
    write_opaque(tmp_path / "v.mp4", "libx264", [0, 40, 80], (width, 48))
    with open_sticker(tmp_path / "v.mp4") as reader:
        frames = np.stack([frame for frame, _ in reader])
    assert (frames[..., 3] == 255).all()
    assert np.ptp(frames.astype(int), axis=2).max() <= 2  # gray from edge to edge


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".webm", "libvpx-vp9")])
def test_opaque_video_with_uneven_times(tmp_path: Path, suffix: str, codec: str) -> None:
    times = [0, 40, 80, 180, 200, 260, 300, 340, 380, 420]
    path = tmp_path / f"v{suffix}"
    write_opaque(path, codec, times)
    with open_sticker(path) as reader:
        assert reader.opaque
        frames, durations = zip(*reader, strict=True)
    assert list(durations[:9]) == np.diff(times).tolist()
    assert (np.stack(frames)[..., 3] == 255).all()
    assert np.abs(np.stack(frames)[:, 24, 32, 0].astype(int) - 8 * np.arange(10)).max() <= 4
    order = [7, 2, 7, 0]
    for source in (path, path.read_bytes()):
        picked = read_frames(source, suffix, order)
        assert np.abs(picked.astype(int) - np.stack(frames)[order]).max() <= 2
    with pytest.raises(IndexError):
        read_frames(path, suffix, [10])


def test_video_frames_are_found_without_decord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_opaque(tmp_path / "v.mp4", "libx264", list(range(0, 400, 40)))
    with_decord = read_frames(tmp_path / "v.mp4", ".mp4", [8, 3])
    monkeypatch.setitem(__import__("sys").modules, "decord", None)
    assert np.abs(read_frames(tmp_path / "v.mp4", ".mp4", [8, 3]).astype(int) - with_decord).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PNG", "WEBP"])
def test_still_images(kind: str) -> None:
    packed = io.BytesIO()
    Image.new("RGB", (30, 20), (250, 10, 10)).save(packed, format=kind)
    sticker = decode_bytes(packed.getvalue())
    assert sticker.frames.shape == (1, 20, 30, 4)
    assert np.abs(sticker.frames[0].astype(int) - (250, 10, 10, 255)).max() <= 8
    assert sticker.durations == (1000,)


def test_photos_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    packed = io.BytesIO()
    Image.new("RGB", (30, 20)).save(packed, format="JPEG", exif=exif)
    assert decode_bytes(packed.getvalue()).frames.shape == (1, 30, 20, 4)


def test_folder_of_other_peoples_pngs(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        Image.new("RGBA", (4, 3), (number, 0, 0, 9)).save(tmp_path / f"f{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    sticker = read_sticker(tmp_path)
    assert sticker.frames[:, 0, 0, 0].tolist() == [1, 2, 10]
    assert sticker.durations == (100, 100, 100)
    (tmp_path / "animation.json").write_text(json.dumps({"durations": [1, 2]}))
    with pytest.raises(UserError, match="no timing note"):
        read_sticker(tmp_path)
    (tmp_path / "animation.json").write_text(json.dumps({"durations": [1, 2, 3], "loop": 4}))
    assert (read_sticker(tmp_path).durations, read_sticker(tmp_path).loop) == ((1, 2, 3), 4)
    Image.new("RGBA", (5, 3)).save(tmp_path / "f11.png")
    (tmp_path / "animation.json").unlink()
    with pytest.raises(UserError, match="all must have one size"):
        read_sticker(tmp_path)


def test_zip_made_on_a_mac(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGBA", (4, 3), (7, 0, 0, 9)).save(picture, format="PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clip/1.png", picture.getvalue())
        archive.writestr("__MACOSX/clip/._1.png", b"resource fork")
    assert read_sticker(tmp_path / "a.zip").frames.shape == (1, 3, 4, 4)
