"""Cut stickers out of their background: opaque frames in, transparent frames out, of any size and length.

Frames are streamed through the network in overlapping windows (`overlapping_windows`), so that memory does not grow
with their number; while huge frames wait for their alpha they are kept in a temporary file (`FrameStore`).
"""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Generic, Self, TypeVar

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from glassine.data.alpha import composite_frames
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff, PixelSource
from glassine.models.transparency import TestTimeAugmentation
from glassine.pipelines.backgrounds import Color, find_background, settle_alpha, unmix
from glassine.pipelines.upsampling import WorkingSize
from glassine.pretrained.weights import load_bundle, locate, save_bundle
from glassine.utils.class_paths import read_yaml
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError

Frame = NDArray[np.uint8]
MEMORY_BYTES = 2**26  # of frames that wait: 64 of 512x512; those of 33 megapixels wait on the disk
RESOLUTION, CHUNK = 256, 32


@dataclass
class StoredFrame:
    """A frame in a `FrameStore`. `load` returns it any number of times; `drop` releases it."""

    store: "FrameStore"
    shape: tuple[int, ...]
    frame: Frame | None  # if it is held in memory
    slot: int = 0  # its place in the file otherwise

    def load(self) -> Frame:
        """The frame, `h w 4` uint8; treat it as read-only."""
        return self.store.read(self) if self.frame is None else self.frame

    def drop(self) -> None:
        """Release the frame."""
        self.store.forget(self)


class FrameStore:
    """Frames of one size, at most `memory_bytes` of them in memory and the others in a temporary file.

    Args:
        memory_bytes: limit; at least one frame is held in memory.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes, self._held_bytes = memory_bytes, 0
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._slots = 0

    def put(self, frame: Frame) -> StoredFrame:
        """Store a frame; in memory it is not copied."""
        if not self._held_bytes or self._held_bytes + frame.nbytes <= self._memory_bytes:
            self._held_bytes += frame.nbytes
            return StoredFrame(self, frame.shape, frame)
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the store)
        slot = self._free.pop() if self._free else self._slots
        self._slots = max(self._slots, slot + 1)
        self._file.seek(slot * frame.nbytes)
        data = memoryview(np.ascontiguousarray(frame).data).cast("B")
        while data:
            data = data[self._file.write(data) :]
        return StoredFrame(self, frame.shape, None, slot)

    def read(self, stored: StoredFrame) -> Frame:
        """Read a frame from the file."""
        assert self._file is not None
        frame = np.empty(stored.shape, np.uint8)
        self._file.seek(stored.slot * frame.nbytes)
        view, filled = memoryview(frame.data).cast("B"), 0
        while filled < len(view):
            got = self._file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise OSError("the temporary file of frames is shorter than what was written")
            filled += got
        return frame

    def forget(self, stored: StoredFrame) -> None:
        """Release a frame's memory or its place in the file."""
        if stored.frame is None:
            self._free.append(stored.slot)
        else:
            self._held_bytes -= stored.frame.nbytes
            stored.frame = None


T = TypeVar("T")


@dataclass(frozen=True)
class Window(Generic[T]):
    """Neighboring items and the slice of them that the window is for; the others are context."""

    items: list[T]
    own: slice


def overlapping_windows(items: Iterable[T], size: int, radius: int) -> Iterator[Window[T]]:
    """Windows of `size` items with `radius` items of context on each side, fewer at the ends of the sequence.

    For the own items of a window, a network with a receptive field of `radius` frames to each side returns exactly what
    it returns for the whole sequence. Each item is an own item of exactly one window.

    Args:
        items: any iterable; it is read no further than the window needs, and at most `size + 2 * radius` are held.
        size: own items per window, at least 1; the last window may have fewer.
        radius: items of context on each side, 0 or more.
    """
    source = iter(items)
    held: deque[T] = deque(islice(source, size + radius))
    before = 0
    while len(held) > before:
        end = min(before + size, len(held))
        yield Window(list(held), slice(before, end))
        for _ in range(max(end - radius, 0)):  # keep the next window's context
            held.popleft()
        before = min(end, radius)
        held.extend(islice(source, before + size + radius - len(held)))


TINY = "glassine:tiny-ildiff"
LOOKAHEAD = 8
LOOKAHEAD_PIXELS = 2**26  # fewer frames are read ahead if they are huge


@dataclass(frozen=True)
class Prepared:
    """One frame on its way through the network: the input, its duration, and what the network sees."""

    original: StoredFrame  # h w 4 uint8
    duration: int
    seen: NDArray[np.float32]  # 3 h' w'


class CutoutPipeline:
    """ILDiff: transparent stickers from opaque ones.

    The network predicts alpha; colors are the input's own, un-mixed from the background at soft pixels. An input frame
    with transparency is composited on the background first, and no pixel of the result is more opaque than it was.

    Args:
        ildiff: the network; any module with its `decode`, `temporal_radius` and `size_multiple`.
        device: `auto` is CUDA if available, else the CPU.
        config: `class_path` and `init_args` of the network, needed by `save_pretrained` only.
    """

    def __init__(self, ildiff: ILDiff, device: str = "auto", config: dict | None = None) -> None:
        self.device = pick_device(device)
        self.ildiff = ildiff.to(self.device).eval()
        self.config = config

    @classmethod
    def from_pretrained(cls, source: str = TINY, device: str = "auto") -> Self:
        """The pipeline with shipped weights, or those in a folder of `save_pretrained` or `glassine export weights`.

        Raises:
            UserError: there are no weights at `source`, or they are not an ILDiff's.
        """
        network = load_bundle(source)
        if not isinstance(network, ILDiff):
            raise UserError(f"{source} must hold an ILDiff such as {TINY}, got a {type(network).__name__}")
        return cls(network, device, read_yaml(locate(source) / "config.yaml"))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.yaml` and `model.safetensors` (half precision) into `folder`, which is created if needed.

        Raises:
            ValueError: the pipeline was built from a network without its `config`.
        """
        if self.config is None:
            raise ValueError("save_pretrained needs the network's class_path and init_args: pass them as config")
        save_bundle(self.ildiff, self.config, Path(folder))

    def __call__(
        self,
        sticker: Sticker,
        background: Color | None = None,
        resolution: int = RESOLUTION,
        chunk: int = CHUNK,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
    ) -> Sticker:
        """Cut out a whole sticker in memory; durations and loop count are kept.

        Args:
            sticker: the input.
            background: see `stream`, as all other arguments.
            resolution: longer side, in pixels, of what the network sees.
            chunk: frames per forward pass.
            pixel_source: what the transparency decoder looks at.
            tta: test-time augmentation.
        """
        pairs = zip(sticker.frames, sticker.durations, strict=True)
        frames = np.stack([frame for frame, _ in self.stream(pairs, background, resolution, chunk, pixel_source, tta)])
        return Sticker(frames, sticker.durations, sticker.loop)

    def stream(
        self,
        frames: Iterable[tuple[Frame, int]],
        background: Color | None = None,
        resolution: int = RESOLUTION,
        chunk: int = CHUNK,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
    ) -> Iterator[tuple[Frame, int]]:
        """Cut out frame by frame: `(h w 4 uint8 straight, duration)` in and out, in order, all of one size.

        The number of frames held at once depends on `chunk`, the network's `temporal_radius` and `LOOKAHEAD`, not on
        the length of the input; most huge frames wait in a temporary file.

        Args:
            frames: the input, read as results are consumed.
            background: red, green, blue (0 to 255) of the flat background; None estimates it from the border of the
                first `LOOKAHEAD` frames and keeps it for the whole sticker.
            resolution: longer side, in pixels, of what the network sees.
            chunk: frames per forward pass; memory and time depend on it, the result does not.
            pixel_source: what the transparency decoder looks at: the VAE's `reconstruction`, as in the papers, or the
                `input`; None is the network's own setting.
            tta: test-time augmentation, 1, 2 or 8 passes.

        Raises:
            UserError: a setting out of range, or frames of another type or of changing size.
        """
        if not 16 <= resolution <= 4096:
            raise UserError(f"resolution must be in [16, 4096] pixels, got {resolution}")
        if chunk < 1:
            raise UserError(f"chunk must be at least 1 frame, got {chunk}")
        return self._stream(iter(frames), background, resolution, chunk, pixel_source, tta)

    def _stream(
        self,
        source: Iterator[tuple[Frame, int]],
        background: Color | None,
        resolution: int,
        chunk: int,
        pixel_source: PixelSource | None,
        tta: TestTimeAugmentation,
    ) -> Iterator[tuple[Frame, int]]:
        head = list(islice(source, 1))
        if not head:
            return
        ahead = max(1, min(LOOKAHEAD, LOOKAHEAD_PIXELS // max(1, head[0][0].size // 4)))
        head += islice(source, ahead - 1)
        color = background or find_background([frame for frame, _ in head])
        size = WorkingSize.of(head[0][0].shape[:2], resolution, self.ildiff.size_multiple)
        store = FrameStore()

        def prepare(pair: tuple[Frame, int]) -> Prepared:
            return _prepare(*pair, color, size, store)

        prepared = map(prepare, chain(_drain(head), source))  # a loop would hold a frame until the next one is there
        for window in overlapping_windows(prepared, chunk, self.ildiff.temporal_radius):
            clip = np.stack([item.seen for item in window.items])
            alphas = self._alphas(clip, window.own, color, pixel_source, tta)
            for item, small in zip(window.items[window.own], alphas, strict=True):
                frame = _finish(item.original.load(), small, size, color)
                item.original.drop()
                yield frame, item.duration
                del frame  # before the next one is made

    @torch.inference_mode()
    def _alphas(
        self,
        clip: NDArray[np.float32],
        own: slice,
        background: Color,
        pixel_source: PixelSource | None,
        tta: TestTimeAugmentation,
    ) -> NDArray[np.float32]:
        """Alpha of the own frames of one window, `f 3 h w` in [0, 1] to `g h w`."""
        batch = rearrange(torch.from_numpy(clip), "f c h w -> 1 f c h w").to(self.device)
        color = torch.tensor([background], device=self.device, dtype=torch.float32) / 255  # 1 3
        alpha, _ = self.ildiff.decode(batch, color, pixel_source, tta, own)
        return rearrange(alpha, "1 f 1 h w -> f h w").float().cpu().numpy()


def _prepare(frame: Frame, duration: int, background: Color, size: WorkingSize, store: FrameStore) -> Prepared:
    expected = (*size.full, 4)
    if frame.shape != expected or frame.dtype != np.uint8:
        raise UserError(f"all frames must be uint8 {expected} as the first, got {frame.dtype} {frame.shape}")
    return Prepared(store.put(frame), duration, size.shrink(_opaque(frame, background, size), background))


def _opaque(frame: Frame, background: Color, size: WorkingSize) -> Frame:
    """What the frame looks like on the background, `h w 3` uint8; composited a strip at a time."""
    if (frame[..., 3] == 255).all():
        return frame[..., :3]
    step = size.rows_at_once
    strips = [composite_frames(frame[top : top + step], background) for top in range(0, len(frame), step)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


def _finish(original: Frame, small: NDArray[np.float32], size: WorkingSize, background: Color) -> Frame:
    """The result's frame, `h w 4` uint8, from the network's alpha (`h' w'` in [0, 1])."""
    opaque = _opaque(original, background, size)  # h w 3
    result = np.empty_like(original)
    for rows, alpha in size.enlarged_rows(small, opaque):
        levels = settle_alpha((alpha * 255).round().astype(np.uint8))  # r w
        result[rows] = unmix(opaque[rows], levels, background)
        kept = original[rows][..., 3] <= levels
        result[rows][kept] = original[rows][kept]  # no more transparent than before: keep the pixel
        result[rows][result[rows][..., 3] == 0] = 0
    return result


def _drain(items: list) -> Iterator:
    """The items in order; each is released once it is taken, which keeps memory small."""
    items.reverse()
    while items:
        yield items.pop()
