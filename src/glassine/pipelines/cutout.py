"""Cut stickers out of their background: opaque frames in, transparent frames out, of any size and any length.

TODO-DOC
Hold frames on their way through a pipeline: a few in memory, the rest of huge ones in a temporary file.
---
Cut an endless row of items into overlapping windows, holding one window at a time.
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
MEMORY_BYTES = 2**27  # of frames that wait: 128 of 512x512, or one of the largest that is read


@dataclass
class StoredFrame:
    """One frame that waits. `load` gives it back once or often; `drop` makes room for others."""

    store: "FrameStore"
    shape: tuple[int, ...]
    frame: Frame | None  # where it waits in memory
    slot: int = 0  # where it waits in the file

    def load(self) -> Frame:
        """The frame, `h w 4` uint8; not to be changed."""
        return self.store.read(self) if self.frame is None else self.frame

    def drop(self) -> None:
        """Forget it."""
        self.store.forget(self)


class FrameStore:
    """Frames of one size that wait; at most `memory_bytes` of them in memory, whatever their number.

    Args:
        memory_bytes: how much may wait in memory; at least one frame may.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes, self._held_bytes = memory_bytes, 0
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._slots = 0

    def put(self, frame: Frame) -> StoredFrame:
        """Keep a frame; in memory it is kept as it is, not copied."""
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
        """A frame out of the file."""
        assert self._file is not None
        frame = np.empty(stored.shape, np.uint8)
        self._file.seek(stored.slot * frame.nbytes)
        view, filled = memoryview(frame.data).cast("B"), 0
        while filled < len(view):
            got = self._file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise OSError("the temporary file of waiting frames is shorter than what was written")
            filled += got
        return frame

    def forget(self, stored: StoredFrame) -> None:
        """Make room."""
        if stored.frame is None:
            self._free.append(stored.slot)
        else:
            self._held_bytes -= stored.frame.nbytes
            stored.frame = None


T = TypeVar("T")


@dataclass(frozen=True)
class Window(Generic[T]):
    """Neighboring items, and which of them are the window's own; the others are there for context only."""

    items: list[T]
    own: slice


def overlapping_windows(items: Iterable[T], size: int, radius: int) -> Iterator[Window[T]]:
    """Windows of `size` own items with up to `radius` more on each side, fewer only where the row begins or ends.

    A network whose result for a frame depends on `radius` frames to each side gives for the own items of a window
    exactly what it gives for the whole row: at the ends it sees the same ends, elsewhere all the context there is.

    Args:
        items: any iterable; it is read no further than the window needs.
        size: own items a window, at least 1; the last window may have fewer.
        radius: items of context to each side, 0 or more.

    Each item is an own item of exactly one window. At most `size + 2 * radius` items are held.
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
LOOKAHEAD_PIXELS = 2**26  # fewer frames are looked at ahead where they are huge
# a network never says quite 0 or 1: what is this near to them is meant so, and an opaque pixel keeps its exact color


@dataclass(frozen=True)
class _Prepared:
    """One frame on its way through the network: what came, and what the network sees."""

    came: StoredFrame  # h w 4 uint8
    duration: int
    seen: NDArray[np.float32]  # 3 h' w'


class CutoutPipeline:
    """ILDiff as people call it.

    Args:
        ildiff: the network; anything with its `decode`, `temporal_radius` and `size_multiple`.
        background: red, green, blue (0 to 255) of the flat background; None finds it on the border of the first
            `LOOKAHEAD` frames and keeps it for the whole sticker, whatever the chunks.
        pixel_source: what the transparency decoder looks at: the VAE's `reconstruction`, as the papers do, or the
            `input`; None is the network's own setting.
        tta: test-time augmentation, 1, 2 or 8 passes.
        resolution: longer side, in pixels, of what the network sees.
        chunk: frames a pass; only memory and time depend on it, the result does not.
        device: where the network runs; `auto` is CUDA if there is any, else the CPU.
        config: `class_path` and `init_args` of the network, for `save_pretrained`.

    The network gives alpha; colors are the input's own, un-mixed from the background where it shines through. A frame
    that comes with transparency is laid on the background first, and the result is nowhere more visible than it was.
    """

    def __init__(
        self,
        ildiff: ILDiff,
        background: Color | None = None,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
        resolution: int = 256,
        chunk: int = 32,
        device: str = "auto",
        config: dict | None = None,
    ) -> None:
        if not 16 <= resolution <= 4096:
            raise UserError(f"resolution {resolution} came; give 16 to 4096 pixels, 256 is what the tiny network knows")
        if chunk < 1:
            raise UserError(f"chunk {chunk} came; give at least 1 frame")
        self.device = pick_device(device)
        self.ildiff = ildiff.to(self.device).eval()
        self.background, self.pixel_source, self.tta = background, pixel_source, tta
        self.resolution, self.chunk, self.config = resolution, chunk, config

    @classmethod
    def from_pretrained(
        cls,
        source: str = TINY,
        background: Color | None = None,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
        resolution: int = 256,
        chunk: int = 32,
        device: str = "auto",
    ) -> Self:
        """The pipeline with weights from a folder of `save_pretrained` or `glassine export weights`, or shipped ones.

        Raises:
            UserError: there are no weights at `source`, or they are not an ILDiff's.
        """
        network = load_bundle(source)
        if not isinstance(network, ILDiff):
            raise UserError(f"{source} holds a {type(network).__name__}; cutout needs an ILDiff, such as {TINY}")
        config = read_yaml(locate(source) / "config.yaml")
        return cls(network, background, pixel_source, tta, resolution, chunk, device, config)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.yaml` and `model.safetensors` (half precision) into `folder`, which is made if need be.

        Raises:
            ValueError: the pipeline was made from a network without its `config`.
        """
        if self.config is None:
            raise ValueError("save_pretrained needs the network's class_path and init_args; pass them as config")
        save_bundle(self.ildiff, self.config, Path(folder))

    def __call__(self, sticker: Sticker) -> Sticker:
        """Cut out a whole sticker in memory; durations and loop count stay as they are."""
        pairs = zip(sticker.frames, sticker.durations, strict=True)
        frames = np.stack([frame for frame, _ in self.stream(pairs)])
        return Sticker(frames, sticker.durations, sticker.loop)

    def stream(self, frames: Iterable[tuple[Frame, int]]) -> Iterator[tuple[Frame, int]]:
        """Cut out frame by frame: `(h w 4 uint8 straight, duration)` in and out, in order, none lost.

        All frames have one size. How many are held at once depends on `chunk`, the network's `temporal_radius` and
        `LOOKAHEAD`, never on how many come; of huge frames most wait in a temporary file.

        Raises:
            UserError: frames of another type or of changing size.
        """
        source = iter(frames)
        head = list(islice(source, 1))
        if not head:
            return
        ahead = max(1, min(LOOKAHEAD, LOOKAHEAD_PIXELS // max(1, head[0][0].size // 4)))
        head += islice(source, ahead - 1)
        background = self.background or find_background([frame for frame, _ in head])
        multiple: int = self.ildiff.size_multiple
        size = WorkingSize.of(head[0][0].shape[:2], self.resolution, multiple)
        store = FrameStore()

        def prepare(pair: tuple[Frame, int]) -> _Prepared:
            return _prepare(*pair, background, size, store)

        prepared = map(prepare, chain(_drain(head), source))  # a loop would hold a frame until the next one is there
        for window in overlapping_windows(prepared, self.chunk, self.ildiff.temporal_radius):
            alphas = self._alphas(np.stack([item.seen for item in window.items]), window.own, background)
            for item, small in zip(window.items[window.own], alphas, strict=True):
                frame = _finish(item.came.load(), small, size, background)
                item.came.drop()
                yield frame, item.duration
                del frame  # before the next one is made

    @torch.inference_mode()
    def _alphas(self, clip: NDArray[np.float32], own: slice, background: Color) -> NDArray[np.float32]:
        """Alpha of the own frames of one window, `f 3 h w` in [0, 1] to `g h w`."""
        batch = rearrange(torch.from_numpy(clip), "f c h w -> 1 f c h w").to(self.device)
        color = torch.tensor([background], device=self.device, dtype=torch.float32) / 255  # 1 3
        alpha, _ = self.ildiff.decode(batch, color, self.pixel_source, self.tta, own)
        return rearrange(alpha, "1 f 1 h w -> f h w").float().cpu().numpy()


def _prepare(frame: Frame, duration: int, background: Color, size: WorkingSize, store: FrameStore) -> _Prepared:
    expected = (*size.full, 4)
    if frame.shape != expected or frame.dtype != np.uint8:
        raise UserError(f"a frame came as {frame.dtype} {frame.shape}; all must be uint8 {expected}, as the first")
    return _Prepared(store.put(frame), duration, size.shrink(_opaque(frame, background, size), background))


def _opaque(frame: Frame, background: Color, size: WorkingSize) -> Frame:
    """What the frame looks like on the background, `h w 3` uint8; composited a strip at a time."""
    if (frame[..., 3] == 255).all():
        return frame[..., :3]
    step = size.rows_at_once
    strips = [composite_frames(frame[top : top + step], background) for top in range(0, len(frame), step)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


def _finish(came: Frame, small: NDArray[np.float32], size: WorkingSize, background: Color) -> Frame:
    """The result's frame, `h w 4` uint8, from the network's alpha (`h' w'` in [0, 1])."""
    opaque = _opaque(came, background, size)  # h w 3
    result = np.empty_like(came)
    for rows, alpha in size.enlarged_rows(small, opaque):
        levels = settle_alpha((alpha * 255).round().astype(np.uint8))  # r w
        result[rows] = unmix(opaque[rows], levels, background)
        kept = came[rows][..., 3] <= levels
        result[rows][kept] = came[rows][kept]  # nothing to take away: the pixel stays what it was
        result[rows][result[rows][..., 3] == 0] = 0
    return result


def _drain(items: list) -> Iterator:
    """The items in order, each let go of when it is taken."""
    items.reverse()
    while items:
        yield items.pop()
