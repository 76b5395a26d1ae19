"""The search for the file of least loss."""

import numpy as np
import pytest

from glassine.data.codecs import decode_bytes
from glassine.data.sticker import Sticker
from glassine.pipelines.pack.encoders import OneBit, encode
from glassine.pipelines.pack.fitting import CannotFitError, FitSettings, Fitter
from glassine.pipelines.pack.limits import Limits
from glassine.pipelines.pack.report import fidelity
from glassine.utils.errors import UserError


def moving(num_frames: int = 12, side: int = 48, noise: float = 0.0, ms: int = 50) -> Sticker:
    """A soft disc that goes round, with as much noise as is wanted to make it large."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    frames = np.zeros((num_frames, side, side, 4), np.uint8)
    for number, frame in enumerate(frames):
        turn = 2 * np.pi * number / num_frames
        y, x = side * (0.5 + 0.2 * np.sin(turn)), side * (0.5 + 0.2 * np.cos(turn))
        frame[..., 3] = np.clip(side / 4 - np.hypot(rows - y, columns - x), 0, 1) * 255
        grain = rng.normal(0, noise, (side, side, 3)) if noise else 0
        frame[..., :3] = np.clip(np.stack([columns * 5, rows * 5, rows * 0 + 90], axis=-1) + grain, 0, 255)
        frame[frame[..., 3] == 0] = 0
    return Sticker(frames, (ms,) * num_frames, 0)


def limits(format: str = "webp", most: int = 100_000, **rules: object) -> Limits:
    sources = {} if format == "png" else {"max_loops": "ours"}
    return Limits(format, (64, 64), "exact", most, sources=sources, **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize("format", ["webp", "apng", "gif", "webm"])
def test_what_fits_is_left_as_it_is(format):
    fitted = Fitter(moving(), FitSettings()).fit(limits(format, 1_000_000))
    assert fitted.tries == 1
    assert fitted.num_frames == 12
    assert fitted.duration_ms == 600
    assert not any("to save bytes" in told for told in fitted.done)
    if format in ("webp", "apng"):
        assert fitted.fidelity.psnr is None
        assert fitted.fidelity.alpha_error == 0
    elif format == "webm":
        assert fitted.fidelity.psnr is not None
        assert fitted.fidelity.psnr > 35


@pytest.mark.parametrize(("format", "most"), [("webp", 9_000), ("apng", 9_000), ("gif", 7_000)])
def test_a_file_that_is_too_large_is_brought_down_and_plays_as_long(format, most):
    sticker = moving(noise=25)
    whole = Fitter(sticker, FitSettings()).fit(limits(format, 10_000_000))
    assert len(whole.data) > most
    fitted = Fitter(sticker, FitSettings()).fit(limits(format, most))
    assert len(fitted.data) <= most
    assert fitted.duration_ms == sticker.duration_ms
    assert decode_bytes(fitted.data).duration_ms == sticker.duration_ms
    assert decode_bytes(fitted.data).loop == 0
    assert any("to save bytes" in told for told in fitted.done)


def test_the_order_says_what_is_lowered_first():
    sticker = moving(num_frames=30, noise=25, ms=20)  # 50 a second
    size = len(Fitter(sticker, FitSettings()).fit(limits(most=10_000_000)).data)
    rules = limits(most=int(size * 0.8))
    frames_first = Fitter(sticker, FitSettings(order=("frames", "quality", "size"))).fit(rules)
    quality_first = Fitter(sticker, FitSettings(order=("quality", "frames", "size"))).fit(rules)
    size_first = Fitter(sticker, FitSettings(order=("size", "frames", "quality"))).fit(rules)
    assert (frames_first.step.fps, frames_first.step.quality, frames_first.step.scale) == (20, None, 1)
    assert (quality_first.step.fps, quality_first.step.scale) == (None, 1)
    assert quality_first.step.quality == 90
    assert (size_first.step.fps, size_first.step.quality, size_first.step.scale) == (None, None, 0.85)


def test_what_is_left_out_of_the_order_is_kept():
    with pytest.raises(CannotFitError, match="at most 300 bytes, got"):
        Fitter(moving(noise=25), FitSettings(order=("frames",))).fit(limits(most=300))


def test_an_order_of_other_words_is_refused():
    with pytest.raises(UserError, match="order must name each of frames, quality, size at most once, got speed"):
        FitSettings(order=("speed",))  # type: ignore[arg-type]


def test_repeats_and_the_crop_are_told_and_lose_nothing():
    sticker = moving(6)
    doubled = Sticker(sticker.frames.repeat(2, axis=0), (25,) * 12, 0)
    fitted = Fitter(doubled, FitSettings()).fit(limits())
    assert fitted.num_frames == 6
    assert fitted.fidelity.psnr_in_time is None
    assert any("6 of 12 frames repeat the one before" in told for told in fitted.done)
    assert any("cropped to the visible area" in told for told in fitted.done)


def test_line_gets_whole_seconds_enough_frames_and_few_plays():
    rules = limits("apng", min_frames=5, max_frames=20, whole_seconds=True, max_loops=4, loops_ms=4000)
    fitted = Fitter(moving(3, ms=300), FitSettings()).fit(rules)
    assert fitted.num_frames == 5
    assert fitted.duration_ms == 1000
    assert fitted.loop == 4


def test_a_still_is_the_first_frame():
    fitted = Fitter(moving(), FitSettings()).fit(limits("png"))
    assert fitted.num_frames == 1
    assert fitted.fidelity.psnr is None


def test_a_still_of_one_that_fades_in_is_a_frame_that_shows_it():
    sticker = moving()
    sticker.frames[:3, ..., 3] = 0
    fitted = Fitter(sticker, FitSettings()).fit(limits("png"), still=True)
    assert decode_bytes(fitted.data).frames[..., 3].any()
    assert fitted.done[0].startswith("frame 4 only")


@pytest.mark.parametrize("format", ["webp", "apng", "gif"])
def test_one_that_begins_empty_begins_later_in_its_loop(format):
    sticker = moving()
    sticker.frames[:3, ..., 3] = 0
    sticker.frames[3, ..., 3] = np.minimum(sticker.frames[3, ..., 3], 90)  # a GIF keeps nothing of it
    fitted = Fitter(sticker, FitSettings()).fit(limits(format))
    frames = decode_bytes(fitted.data).frames
    assert frames[0, ..., 3].any()
    assert not frames[-1, ..., 3].any()
    assert fitted.duration_ms == sticker.duration_ms
    assert any("the loop begins after" in one for one in fitted.done)


def test_an_opaque_sticker_is_refused_where_the_background_must_be_clear():
    opaque = Sticker(np.full((1, 8, 8, 4), 255, np.uint8), (100,), 0)
    with pytest.raises(UserError, match="cut it out first"):
        Fitter(opaque, FitSettings()).fit(limits("png", transparent=True))


def test_gif_edges_take_the_matte_or_keep_their_color():
    frames = np.zeros((1, 1, 4, 4), np.uint8)
    frames[0, 0] = [(200, 0, 0, 255), (200, 0, 0, 160), (200, 0, 0, 60), (200, 0, 0, 10)]
    plain = OneBit().apply(frames)[0, 0]
    assert plain.tolist() == [[200, 0, 0, 255], [200, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 0]]
    matte = OneBit(matte=(255, 255, 255)).apply(frames)[0, 0]
    assert matte.tolist() == [[200, 0, 0, 255], [220, 95, 95, 255], [242, 195, 195, 255], [0, 0, 0, 0]]
    with pytest.raises(UserError, match="threshold must be 1 to 255, got 0"):
        OneBit(threshold=0)


def test_an_encoder_that_is_stopped_early_says_how_large_it_would_be():
    sticker = moving(noise=25)
    whole = encode(sticker, limits(), None, OneBit(), 10_000_000)
    stopped = encode(sticker, limits(), None, OneBit(), whole.size // 4)
    assert stopped.data is None
    assert 0.5 < stopped.size / whole.size < 2


def test_fidelity_counts_left_out_frames_in_time_only():
    sticker = moving(10)
    rare = Sticker(sticker.frames[::2], (100,) * 5, 0)
    file = encode(rare, limits(), None, OneBit(), 10_000_000)
    assert file.data is not None
    found = fidelity(file.data, sticker)
    assert found.psnr is None
    assert found.psnr_in_time is not None
    assert found.psnr_in_time < 40


def test_alpha_error_is_the_mean_difference():
    sticker = Sticker(np.full((1, 4, 4, 4), 200, np.uint8), (1000,), 0)
    other = sticker.frames.copy()
    other[..., 3] = 251
    file = encode(Sticker(other, (1000,), 0), limits("png"), None, OneBit(), 10_000)
    assert file.data is not None
    assert fidelity(file.data, sticker).alpha_error == pytest.approx(0.2, abs=1e-6)
