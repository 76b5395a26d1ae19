"""Cut stickers out of their background: opaque frames in, transparent frames out, of any size and any length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Self

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from glassine.data.alpha import composite_frames
from glassine.data.sticker import Sticker
from glassine.descriptions import read_yaml
from glassine.errors import UserError
from glassine.hardware import pick_device
from glassine.models.ildiff import ILDiff, PixelSource
from glassine.models.test_time_augmentation import TestTimeAugmentation
from glassine.pipelines.alpha_levels import settle_alpha
from glassine.pipelines.chunks import overlapping_windows
from glassine.pipelines.flat_background import Colour, find_background
from glassine.pipelines.frame_store import FrameStore, StoredFrame
from glassine.pipelines.unmix import unmix
from glassine.pipelines.working_size import WorkingSize
from glassine.pretrained.weights import load_bundle, locate, save_bundle

Frame = NDArray[np.uint8]
TINY = "glassine:tiny-ildiff"
LOOKAHEAD = 8
LOOKAHEAD_PIXELS = 2**26  # fewer frames are looked at ahead where they are huge
# a network never says quite 0 or 1: what is this near to them is meant so, and an opaque pixel keeps its exact colour


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

    The network gives alpha; colours are the input's own, un-mixed from the background where it shines through. A frame
    that comes with transparency is laid on the background first, and the result is nowhere more visible than it was.
    """

    def __init__(
        self,
        ildiff: ILDiff,
        background: Colour | None = None,
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
        background: Colour | None = None,
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
        prepared = (_prepare(frame, ms, background, size, store) for frame, ms in chain(_drain(head), source))
        for window in overlapping_windows(prepared, self.chunk, self.ildiff.temporal_radius):
            alphas = self._alphas(np.stack([item.seen for item in window.items]), window.own, background)
            for item, small in zip(window.items[window.own], alphas, strict=True):
                frame = _finish(item.came.load(), small, size, background)
                item.came.drop()
                yield frame, item.duration

    @torch.inference_mode()
    def _alphas(self, clip: NDArray[np.float32], own: slice, background: Colour) -> NDArray[np.float32]:
        """Alpha of the own frames of one window, `f 3 h w` in [0, 1] to `g h w`."""
        batch = rearrange(torch.from_numpy(clip), "f c h w -> 1 f c h w").to(self.device)
        colour = torch.tensor([background], device=self.device, dtype=torch.float32) / 255  # 1 3
        alpha, _ = self.ildiff.decode(batch, colour, self.pixel_source, self.tta, own)
        return rearrange(alpha, "1 f 1 h w -> f h w").float().cpu().numpy()


def _prepare(frame: Frame, duration: int, background: Colour, size: WorkingSize, store: FrameStore) -> _Prepared:
    expected = (*size.full, 4)
    if frame.shape != expected or frame.dtype != np.uint8:
        raise UserError(f"a frame came as {frame.dtype} {frame.shape}; all must be uint8 {expected}, as the first")
    return _Prepared(store.put(frame), duration, size.shrink(_opaque(frame, background, size), background))


def _opaque(frame: Frame, background: Colour, size: WorkingSize) -> Frame:
    """What the frame looks like on the background, `h w 3` uint8; composited a strip at a time."""
    if (frame[..., 3] == 255).all():
        return frame[..., :3]
    step = size.rows_at_once
    strips = [composite_frames(frame[top : top + step], background) for top in range(0, len(frame), step)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


def _finish(came: Frame, small: NDArray[np.float32], size: WorkingSize, background: Colour) -> Frame:
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
