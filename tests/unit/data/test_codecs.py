"""What is written comes back: pixels, timing and loop count, for each format."""

import itertools
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from glassine.data.codecs import create_sticker, decode_bytes, open_sticker, read_frames, read_sticker, write_sticker
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

LOSSLESS = [".webp", ".png", ".apng", ".zip", ""]
LOSSY = [".webm", ".mov"]
DURATIONS = (40, 70, 100, 100, 30, 210, 20)


def moving_disc(height: int = 47, width: int = 61, soft: float = 5.0) -> np.ndarray:
    """Seven frames of a soft disc; frames 2, 3 are equal, and 5, 6 too; it moves back, so pixels vanish."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    frames = []
    for center in (0.3, 0.4, 0.5, 0.5, 0.45, 0.4, 0.4):
        alpha = np.clip((0.3 * height - np.hypot(rows - height / 2, columns - width * center)) / soft, 0, 1)
        frame = np.stack([np.full_like(rows, 200), columns / width * 255, rows / height * 255, alpha * 255], axis=-1)
        frames.append(np.where(frame[..., 3:] >= 1, frame, 0).astype(np.uint8))
    return np.stack(frames)


def composite_error_db(got: np.ndarray, true: np.ndarray) -> float:
    """PSNR over composites on black and on white, so that colors of invisible pixels do not count."""
    errors = []
    for background in (0.0, 255.0):
        blend = [f[..., :3] * (f[..., 3:] / 255) + background * (1 - f[..., 3:] / 255) for f in (got, true)]
        errors.append(np.mean((blend[0] - blend[1]) ** 2))
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9)))


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("loop", [0, 1, 3])
def test_lossless_formats_keep_every_bit(tmp_path: Path, suffix: str, loop: int) -> None:
    frames = moving_disc()
    frames[0, 0, 0] = (12, 34, 56, 0)  # the color of an invisible pixel
    write_sticker(Sticker(frames, DURATIONS, loop), tmp_path / f"disc{suffix}")
    back = read_sticker(tmp_path / f"disc{suffix}")
    assert np.array_equal(back.frames, frames)
    assert (back.durations, back.loop) == (DURATIONS, loop)


@pytest.mark.parametrize(("suffix", "color_db", "alpha_db"), [(".webm", 38, 45), (".mov", 55, 55), (".avif", 38, 45)])
@pytest.mark.parametrize("loop", [0, 3])
def test_video_keeps_alpha_and_timing(tmp_path: Path, suffix: str, color_db: float, alpha_db: float, loop: int) -> None:
    frames = moving_disc()
    write_sticker(Sticker(frames, DURATIONS, loop), tmp_path / f"disc{suffix}")
    back = read_sticker(tmp_path / f"disc{suffix}")
    assert (back.durations, back.loop) == (DURATIONS, loop)
    assert composite_error_db(back.frames, frames) > color_db
    alpha_error = np.mean((back.frames[..., 3].astype(float) - frames[..., 3]) ** 2)
    assert 10 * np.log10(255**2 / alpha_error) > alpha_db


@pytest.mark.parametrize("suffix", LOSSY)
def test_video_of_hard_edges_draws_no_dark_rim(tmp_path: Path, suffix: str) -> None:
    frames = np.zeros((2, 32, 32, 4), np.uint8)
    frames[:, 8:23, 9:25] = (250, 200, 150, 255)
    write_sticker(Sticker(frames, (50, 50)), tmp_path / f"box{suffix}")
    back = read_sticker(tmp_path / f"box{suffix}").frames.astype(int)
    visible = frames[..., 3] == 255
    assert np.abs(back[visible][:, :3] - (250, 200, 150)).max() <= 6


def test_lossy_webp_keeps_alpha_exactly(tmp_path: Path) -> None:
    frames = moving_disc()
    write_sticker(Sticker(frames, DURATIONS), tmp_path / "disc.webp", quality=80)
    back = read_sticker(tmp_path / "disc.webp")
    assert np.array_equal(back.frames[..., 3], frames[..., 3])
    assert back.durations == DURATIONS
    assert composite_error_db(back.frames, frames) > 30
    lossless = tmp_path / "lossless.webp"
    write_sticker(Sticker(frames, DURATIONS), lossless)
    assert lossless.stat().st_size > 0


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".avif", ".zip", ".webm", ".mov", ""])
def test_one_pixel_and_one_frame(tmp_path: Path, suffix: str) -> None:
    write_sticker(Sticker(np.full((1, 1, 1, 4), 255, np.uint8), (100,)), tmp_path / f"dot{suffix}")
    back = read_sticker(tmp_path / f"dot{suffix}")
    assert back.frames.shape == (1, 1, 1, 4)
    assert back.durations == (
        (1000,) if suffix in (".webp", ".png", ".avif") else (100,)
    )  # a plain picture has no time
    assert back.frames.min() >= 250


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".avif", ".zip", ".webm", ".mov", ""])
def test_any_frames_in_any_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"disc{suffix}"
    write_sticker(Sticker(moving_disc(), DURATIONS), path)
    whole = read_sticker(path).frames
    assert np.array_equal(read_frames(path, suffix, [4, 0, 4]), whole[[4, 0, 4]])
    assert read_frames(path, suffix, []).shape == (0, *whole.shape[1:])
    for outside in (7, -1):
        with pytest.raises(IndexError, match="there is no frame"):
            read_frames(path, suffix, [outside])
    if suffix:
        data = path.read_bytes()
        assert np.array_equal(read_frames(data, suffix, [2, 5]), whole[[2, 5]])
        assert np.array_equal(decode_bytes(data, suffix).frames, whole)


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".avif", ".zip", ".webm", ".mov", ""])
def test_a_reader_tells_its_size_and_starts_over(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"disc{suffix}"
    write_sticker(Sticker(moving_disc(), DURATIONS, 2), path)
    with open_sticker(path) as reader:
        assert (reader.width, reader.height, reader.loop, reader.opaque) == (61, 47, 2, False)
        assert reader.num_frames in (7, None)
        assert reader.durations in (DURATIONS, None)
        first = [frame for frame, _ in itertools.islice(reader, 3)]
        again = list(reader)
    assert [duration for _, duration in again] == list(DURATIONS)
    assert np.array_equal(np.stack(first), np.stack([frame for frame, _ in again[:3]]))


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".zip", ".webm"])
def test_memory_does_not_grow_with_length(tmp_path: Path, suffix: str) -> None:
    count, side = 60, 96
    raw_bytes = side * side * 4
    path = tmp_path / f"long{suffix}"
    tracemalloc.start()
    try:
        with create_sticker(path, side, side, quality=40) as writer:
            for number in range(count):
                frame = np.zeros((side, side, 4), np.uint8)
                frame[number : number + 20, 10:60] = (number, 90, 30, 255)
                writer.append(frame, 50)
        with open_sticker(path) as reader:
            assert sum(1 for _ in reader) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < count * raw_bytes / 2


def test_writer_refuses_other_sizes_and_no_frames(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"must be uint8 \(4, 5, 4\)"),
        create_sticker(tmp_path / "a.webp", 5, 4) as writer,
    ):
        writer.append(np.zeros((5, 4, 4), np.uint8), 40)
    with pytest.raises(UserError, match="at least one frame, got none"), create_sticker(tmp_path / "a.webp", 5, 4):
        pass
    with pytest.raises(UserError, match=r"16,383"):
        create_sticker(tmp_path / "a.webp", 16_384, 4)
    assert not list(tmp_path.iterdir())


def test_premultiplied_files_are_read_straight_when_told(tmp_path: Path) -> None:
    frames = np.full((1, 4, 4, 4), (100, 50, 0, 128), np.uint8)
    write_sticker(Sticker(frames, (40,)), tmp_path / "a.png")
    assert read_sticker(tmp_path / "a.png").frames[0, 0, 0].tolist() == [100, 50, 0, 128]
    assert read_sticker(tmp_path / "a.png", alpha_mode="premultiplied").frames[0, 0, 0].tolist() == [199, 100, 0, 128]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_pngs_keep_their_brightness(tmp_path: Path, channels: int) -> None:
    levels = np.array([0, 0x1234, 0x8000, 0xFFFF], np.uint16)
    pixels = np.repeat(np.tile(levels, (2, 1))[..., None], channels, axis=2)
    pixels[..., 3:] = 0xFFFF
    cv2.imwrite(str(tmp_path / "deep.png"), pixels)
    colors = read_sticker(tmp_path / "deep.png").frames[0, 0]
    assert colors[:, 0].tolist() == [0, 0x12, 0x80, 0xFF]
    assert (colors[:, 3] == 255).all()


@pytest.mark.parametrize("width", [17, 20, 34, 66, 100])
@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_video_with_alpha_keeps_its_last_columns_at_any_width(tmp_path: Path, suffix: str, width: int) -> None:
    frames = np.full((3, 18, width, 4), (200, 60, 90, 255), np.uint8)
    frames[:, :, : width // 2, 3] = 0
    write_sticker(Sticker(frames, (40,) * 3), tmp_path / f"a{suffix}")
    read = read_sticker(tmp_path / f"a{suffix}").frames.astype(int)
    assert np.abs(read[:, :, -width // 3 :] - (200, 60, 90, 255)).max() < 12
    assert read[:, :, : width // 3, 3].max() < 12
