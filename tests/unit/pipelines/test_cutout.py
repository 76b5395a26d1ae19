"""Huge pictures are cut out in strips and wait in a file, and come out as small ones do."""

import weakref

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.sam import TimmImageEncoder
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.pipelines import cutout as cutout_module
from glassine.pipelines import upsampling
from glassine.pipelines.cutout import CutoutPipeline, FrameStore, overlapping_windows
from glassine.pipelines.upsampling import WorkingSize, guided_rows, guided_upsampling
from glassine.utils.errors import UserError

RED = (200, 30, 40)


class ByColor(nn.Module):
    """A network's stand-in: alpha is the distance from the background, over the frames around."""

    temporal_radius = 2
    size_multiple = 16

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def decode(
        self, clip: Tensor, background: Tensor, pixel_source: str | None, tta: str, own: slice
    ) -> tuple[Tensor, Tensor]:
        self.seen.append(tuple(clip.shape))
        distance = (clip - background[:, None, :, None, None]).abs().amax(2, keepdim=True)  # b f 1 h w
        padded = nn.functional.pad(distance, (0, 0, 0, 0, 0, 0, 2, 2))
        weights = (0.1, 0.2, 4.0, 0.2, 0.1)
        alpha = sum(w * padded[:, i : i + clip.shape[1]] for i, w in enumerate(weights))
        return alpha.clamp(0, 1)[:, own], clip[:, own]


def moving_square(frames: int = 9, height: int = 48, width: int = 64, background=(255, 255, 255)) -> Sticker:
    pixels = np.full((frames, height, width, 4), 255, np.uint8)
    pixels[..., :3] = background
    for number, frame in enumerate(pixels):
        left = 4 + number * 3 % max(width - 24, 1)
        frame[8:-8, left : left + 16, :3] = RED
        frame[8:-8, left + 16 : left + 18, :3] = np.add(RED, background) // 2
    return Sticker(pixels, tuple(30 + 10 * i for i in range(frames)), loop=3)


class ByNetwork(CutoutPipeline):
    """The pipeline with the network alone, whose plumbing is tested here."""

    def stream(self, *arguments, **settings):
        return super().stream(*arguments[:6], **{**settings, "method": "network"})


def cutout(network: nn.Module | None = None) -> CutoutPipeline:
    return ByNetwork(network or ByColor(), device="cpu")  # type: ignore[arg-type]


def test_the_square_stays_and_the_background_goes():
    sticker = moving_square()
    result = cutout()(sticker, resolution=64)
    assert (result.durations, result.loop, result.frames.shape) == (sticker.durations, 3, sticker.frames.shape)
    np.testing.assert_array_equal(result.frames[0, 20, 8], (*RED, 255))
    assert not result.frames[0, 2].any()


def test_colors_of_opaque_pixels_are_the_inputs_bit_for_bit():
    sticker = moving_square()
    sticker.frames[:, 10:30, 6:12, :3] = np.random.default_rng(0).integers(0, 120, (9, 20, 6, 3))
    result = cutout()(sticker, resolution=64).frames
    opaque = result[..., 3] == 255
    assert opaque.sum() > 500
    np.testing.assert_array_equal(result[opaque], sticker.frames[opaque])


def test_chunks_give_what_the_whole_clip_gives():
    sticker = moving_square(frames=11)
    whole = cutout()(sticker, resolution=64, chunk=100).frames
    for chunk in (1, 2, 3, 7, 11):
        np.testing.assert_array_equal(cutout()(sticker, resolution=64, chunk=chunk).frames, whole)


def small_ildiff(depth: int) -> ILDiff:
    torch.manual_seed(0)
    encoder = TimmImageEncoder("mobilenetv3_small_050", stage=2)
    adapter = LayoutAdapter(encoder, depth=depth, width=8, zero_init=False)
    decoder = TransparencyDecoder(block_out_channels=(8, 8, 16), attention_scales=1, layers_per_block=1, patch_size=2)
    nn.init.normal_(decoder.latent_conv_in.weight)  # as after training: what the adapter says matters
    return ILDiff(SmallVAE(width=8, decoder_width=8, blocks=1), decoder, adapter, pixel_source="input")


@pytest.mark.parametrize("depth", [0, 3])
def test_a_networks_chunks_give_what_the_whole_clip_gives(depth):
    pipeline = cutout(small_ildiff(depth))
    sticker = moving_square(frames=9, height=32, width=32)
    whole = pipeline(sticker, resolution=32, chunk=100).frames.astype(int)
    assert whole[..., 3].std() > 1
    for chunk in (1, 4):
        alpha = pipeline(sticker, resolution=32, chunk=chunk).frames[..., 3]
        difference = np.abs(alpha.astype(int) - whole[..., 3])
        # another batch size may round the last bit of a sum otherwise, here and there across a threshold
        assert (difference > 0).mean() < 0.002


def test_memory_does_not_grow_with_length():
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames(count: int):
        nonlocal alive, most
        for _ in range(count):
            frame = np.full((16, 16, 4), 255, np.uint8)
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            yield frame, 40

    peaks = []
    for count in (60, 600):
        most = 0
        assert sum(1 for _ in cutout().stream(frames(count), chunk=4, resolution=16)) == count
        peaks.append(most)
        assert alive == 0
    assert peaks[0] == peaks[1] <= 2 * (4 + 2 * 2) + 8


def test_results_come_before_the_input_ends():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield np.full((16, 16, 4), 255, np.uint8), 40

    results = cutout().stream(endless(), chunk=4, resolution=16)
    next(results)
    assert read <= 8


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 90), (31, 17), (64, 64), (150, 149)])
@pytest.mark.parametrize("frames", [1, 2])
def test_any_size_and_length(height, width, frames):
    pixels = np.full((frames, height, width, 4), 255, np.uint8)
    pipeline = cutout()
    result = pipeline(Sticker(pixels, (40,) * frames), resolution=64)
    assert result.frames.shape == pixels.shape
    assert not result.frames.any()  # nothing but background
    assert all(side % 16 == 0 for side in pipeline.ildiff.seen[0][-2:])  # type: ignore[operator,union-attr]


def test_nothing_in_nothing_out():
    assert list(cutout().stream([])) == []


def test_a_background_that_is_given_is_not_looked_for():
    sticker = moving_square(background=(10, 90, 200))
    found, given = (cutout()(sticker, ground, 64).frames for ground in (None, (10, 90, 200)))
    np.testing.assert_array_equal(found, given)
    assert cutout()(sticker, (255, 255, 255), 64).frames[0, 2, 2, 3] == 255


@pytest.mark.parametrize(("said", "level"), [(0.01, 0), (0.03, 8), (0.96, 245), (0.98, 255)])
def test_nearly_invisible_and_nearly_opaque_are_meant_so(said, level):
    class Almost(ByColor):
        def decode(self, clip, background, pixel_source, tta, own):
            return torch.full_like(clip[:, own, :1], said), clip[:, own]

    sticker = moving_square(frames=1)
    result = cutout(Almost())(sticker, resolution=64).frames
    assert set(result[..., 3].ravel()) == {level}
    if level == 255:
        np.testing.assert_array_equal(result, sticker.frames)


def test_soft_pixels_lose_the_backgrounds_color():
    sticker = moving_square()
    truth = 128

    class Known(ByColor):
        def decode(self, clip, background, pixel_source, tta, own):
            alpha = torch.where((clip[:, :, 1:2] > 0.3) & (clip[:, :, 1:2] < 0.9), truth / 255, 1.0)
            return torch.where(clip[:, :, 1:2] > 0.9, 0.0, alpha)[:, own], clip[:, own]

    result = cutout(Known())(sticker, resolution=64).frames
    soft = result[result[..., 3] == truth]
    assert len(soft)
    assert np.abs(soft[:, :3].astype(int) - RED).max() <= 2


def test_what_comes_transparent_stays_so_and_keeps_its_colors():
    sticker = moving_square()
    sticker.frames[:, :4] = (0, 255, 0, 0)
    sticker.frames[:, 20, 8, 3] = 90  # half transparent inside
    result = cutout()(sticker, (255, 255, 255), 64).frames
    assert (result[..., 3] <= sticker.frames[..., 3]).all()
    assert not result[:, :4].any()
    assert result[0, 20, 8].tolist() == [*RED, 90]


def test_frames_of_another_size_are_refused():
    frames = [(np.full((8, size, 4), 255, np.uint8), 40) for size in (8, 8, 9)]
    with pytest.raises(UserError, match=r"\(8, 9, 4\)"):
        list(cutout().stream(frames, resolution=64))


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"resolution": 8}, r"in \[16, 4096\] pixels, got 8"), ({"chunk": 0}, "at least 1 frame, got 0")],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        cutout()(moving_square(), **setting)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(UserError, match=device):
        CutoutPipeline(ByColor(), device)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 2, 5, 16])
@pytest.mark.parametrize("radius", [0, 1, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 2, 5, 6, 23])
def test_each_item_is_own_once_with_all_the_context_there_is(length, size, radius):
    owned = []
    for window in overlapping_windows(range(length), size, radius):
        own = window.items[window.own]
        assert 1 <= len(own) <= size
        first, last = max(own[0] - radius, 0), min(own[-1] + radius, length - 1)
        assert window.items == list(range(first, last + 1))
        owned += own
    assert owned == list(range(length))


def test_an_endless_row_is_read_only_as_far_as_needed():
    read = []

    def endless():
        number = 0
        while True:
            read.append(number)
            yield number
            number += 1

    windows = overlapping_windows(endless(), size=4, radius=2)
    assert next(windows).items == [0, 1, 2, 3, 4, 5]
    assert next(windows).items == [2, 3, 4, 5, 6, 7, 8, 9]
    assert read == list(range(10))


class Seen(torch.nn.Module):
    """A network whose alpha is how little a pixel is like white; looks at one frame to each side."""

    temporal_radius, size_multiple = 1, 8

    def decode(self, clip, color, pixel_source, tta, own):
        alpha = (1 - clip.mean(dim=2, keepdim=True))[:, own]
        return alpha, None


def frames(count: int, height: int = 150, width: int = 230) -> list[tuple[np.ndarray, int]]:
    rows, columns = np.mgrid[:height, :width]
    made = []
    for number in range(count):
        frame = np.full((height, width, 4), 255, np.uint8)
        inside = np.hypot(rows - 70, columns - 60 - 20 * number) < 50
        frame[inside, :3] = (200, 40, 60)
        frame[inside & (rows % 9 < 3), :3] = (30, 120, 220)
        frame[:4, :, 3] = 128  # some of it is transparent already
        made.append((frame, 40 + number))
    return made


@pytest.mark.parametrize("resolution", [64, 512])
def test_strips_give_what_the_whole_gives(monkeypatch, resolution):
    pipeline = CutoutPipeline(Seen(), device="cpu")
    settings = {"background": (255, 255, 255), "resolution": resolution, "chunk": 2}
    whole = list(pipeline.stream(iter(frames(5)), **settings))
    monkeypatch.setattr(upsampling, "WHOLE_PIXELS", 4000)
    monkeypatch.setattr(cutout_module, "FrameStore", lambda: FrameStore(150 * 230 * 4 * 2))
    strips = list(pipeline.stream(iter(frames(5)), **settings))
    assert [ms for _, ms in strips] == [ms for _, ms in whole] == [40, 41, 42, 43, 44]
    for (one, _), (other, _) in zip(strips, whole, strict=True):
        assert np.abs(one[..., 3].astype(int) - other[..., 3]).max() <= 1
        same = one[..., 3] == other[..., 3]
        assert same.mean() > 0.98
        np.testing.assert_array_equal(one[same], other[same])


def test_guided_rows_are_those_of_the_whole():
    generator = np.random.default_rng(0)
    alpha = generator.random((20, 31), np.float32)
    guide = generator.integers(0, 256, (133, 217, 3), np.uint8)
    whole = guided_upsampling(alpha, guide.astype(np.float32) / 255)
    for step in (1, 7, 50, 500):
        rows = list(guided_rows(alpha, guide, step))
        assert [r.start for r, _ in rows] == list(range(0, 133, step))
        assert np.abs(np.concatenate([part for _, part in rows]) - whole).max() < 0.002


def test_a_store_keeps_frames_that_do_not_fit_in_memory():
    store = FrameStore(3 * 400)
    made = [np.full((10, 10, 4), number, np.uint8) for number in range(8)]
    stored = [store.put(frame) for frame in made]
    assert sum(item.frame is not None for item in stored) == 3
    for number in (7, 0, 4, 7):
        assert (stored[number].load() == number).all()
    stored[5].drop()
    stored[1].drop()
    again = [store.put(np.full((10, 10, 4), 90 + n, np.uint8)) for n in range(2)]
    assert [int(item.load()[0, 0, 0]) for item in again] == [90, 91]
    assert all((stored[n].load() == n).all() for n in (0, 2, 3, 4, 6, 7))


def test_a_huge_size_is_worked_on_in_strips():
    assert WorkingSize.of((2048, 2048), 256, 8).rows_at_once == 2048
    assert WorkingSize.of((4096, 8192), 256, 8).rows_at_once == 128


def jpeg_on_own_color() -> Sticker:
    """A shaded disc on its own color, after JPEG: its edge is lost to the closed form."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    away = np.hypot(x - 32, y - 32)
    frame = np.full((64, 64, 3), (60, 190, 240), np.float32)
    grain = np.random.default_rng(0).normal(0, 4, (64, 64, 1))
    frame[away < 20] = (frame - np.clip(20 - away, 0, 20)[..., None] + grain)[away < 20]
    frame[(away < 12) & (y > 32)] = (10, 20, 40)
    data = cv2.imencode(".jpg", frame.clip(0, 255).astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, 75))[1]
    opaque = np.dstack([np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), np.full((64, 64), 255, np.uint8)])
    return Sticker(np.stack([opaque] * 3), (40,) * 3)


def test_the_network_is_asked_only_where_the_closed_form_fails():
    network = ByColor()
    pipeline = CutoutPipeline(network, device="cpu")  # type: ignore[arg-type]
    pipeline(moving_square(), resolution=64)
    assert (pipeline.report.method, network.seen) == ("closed-form", [])
    pipeline(jpeg_on_own_color(), resolution=64)
    assert pipeline.report.method == "network"
    assert len(network.seen) == 1
    pipeline(jpeg_on_own_color(), resolution=64, method="closed-form")
    assert len(network.seen) == 1


def test_undamaged_edges_are_exact_in_closed_form():
    sticker = moving_square()
    sticker.frames[:, 8:-8, 17:22] = sticker.frames[:, :1, :1]
    sticker.frames[:, 8:-8, 16, :3] = np.add(RED, 255) // 2  # one pixel of mixture
    result = CutoutPipeline(ByColor(), device="cpu")(sticker, chunk=4).frames[:1]  # type: ignore[arg-type]
    soft = result[(result[..., 3] > 0) & (result[..., 3] < 255)]
    assert len(soft)
    assert np.abs(soft[:, 3].astype(int) - 127).max() <= 1
    assert np.abs(soft[:, :3].astype(int) - RED).max() <= 2


@pytest.mark.parametrize(("settings", "said"), [({"method": "magic"}, "method"), ({"opacity": "half"}, "opacity")])
def test_settings_that_do_not_exist_are_named(settings, said):
    with pytest.raises(UserError, match=f"{said} must be one of"):
        CutoutPipeline(ByColor(), device="cpu").stream([], **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("quality", [None, 75])
def test_gradients_of_many_stops_leave_nothing_behind(quality):
    """A stripe stayed where the colors turn; after JPEG specks of the whole background stayed."""
    y, x = np.mgrid[0:160, 0:160]
    along, stops = 0.8 * x + 0.6 * y, ((250, 80, 120), (255, 220, 90), (90, 220, 160), (80, 90, 240))
    places = np.linspace(0, along.max(), len(stops))
    picture = np.stack([np.interp(along, places, channel) for channel in np.transpose(stops)], axis=-1)
    picture, truth = picture.round().astype(np.uint8), np.zeros((160, 160), np.uint8)
    for radius, color in ((55, (20, 20, 20)), (50, (130, 60, 170))):
        cv2.circle(picture, (80, 80), radius, color, -1, cv2.LINE_AA)
    cv2.circle(truth, (80, 80), 55, (255,), -1, cv2.LINE_AA)
    if quality is not None:
        data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    frame = np.dstack([picture, np.full((160, 160), 255, np.uint8)])
    sticker = Sticker(frame[None], (40,))
    alpha = CutoutPipeline.from_pretrained(device="cpu")(sticker, method="closed-form").frames[0, ..., 3]
    assert 10 * np.log10(255**2 / np.square(alpha.astype(float) - truth).mean()) > 38
