"""Alpha by ILDiff on a flat background: of whole stickers, as in the paper, or of blocks that have no closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.background_models import NEAR, border_of
from glassine.pipelines.backgrounds import Color, find_background
from glassine.pipelines.closed_cutout import FrameCut, vote
from glassine.pipelines.finishing import finish, laid_on
from glassine.pipelines.frame_store import Frame, FrameStore, StoredFrame, drained, overlapping_windows
from glassine.pipelines.insets import largest_difference
from glassine.pipelines.report import CutoutReport
from glassine.pipelines.upsampling import WorkingSize
from glassine.utils.errors import UserError

if TYPE_CHECKING:  # torch takes seconds to import, and a cut-out in closed form needs none of it
    import torch

    from glassine.models.ildiff import ILDiff, PixelSource
    from glassine.nn.view_averaging import TestTimeAugmentation

LOOKAHEAD = 8
LOOKAHEAD_PIXELS = 2**26  # fewer frames are read ahead if they are huge
Load = Callable[[], "tuple[ILDiff, dict]"]


def frames_ahead(first: Frame, most: int) -> int:
    """Number of frames to read before anything is decided, 1 to `most`, fewer if they are large."""
    return max(1, min(most, LOOKAHEAD_PIXELS // max(1, first.size // 4)))


@dataclass(frozen=True)
class NetworkSettings:
    """How the network is used; see `CutoutPipeline.stream`."""

    resolution: int
    chunk: int
    pixel_source: PixelSource | None
    tta: TestTimeAugmentation


@dataclass(frozen=True)
class Prepared:
    """One frame on its way through the network: the input, its duration, and what the network sees."""

    original: StoredFrame  # h w 4 uint8
    duration: int
    seen: NDArray[np.float32]  # 3 h' w'


@dataclass(frozen=True)
class Cut:
    """One frame with its closed form: the input, its duration, and alpha at the working size."""

    original: StoredFrame  # h w 4 uint8
    duration: int
    closed: FrameCut


class NetworkCutter:
    """ILDiff, loaded when it is needed.

    Args:
        network: any module with ILDiff's `decode`, `temporal_radius` and `size_multiple`; or a function that loads one
            with its `class_path` and `init_args`.
        device: `auto` is CUDA if available, else the CPU.
        config: of the network, if it was not loaded.
    """

    def __init__(self, network: ILDiff | Load, device: str, config: dict | None) -> None:
        self._device_name, self.config = device, config
        self._device: torch.device | None = None
        self._network: ILDiff | None = None
        self._load: Load | None = None
        if hasattr(network, "decode"):  # a network, or what stands in for one
            self._network = cast("ILDiff", network).to(self.device).eval()
        else:
            self._load = cast("Load", network)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        if self._device is None:
            from glassine.utils.devices import pick_device

            self._device = pick_device(self._device_name)
        return self._device

    @property
    def ildiff(self) -> ILDiff:
        """The network, loaded on first use."""
        if self._network is None:
            assert self._load is not None
            network, self.config = self._load()
            self._network = network.to(self.device).eval()
        return self._network

    def whole(
        self,
        source: Iterator[tuple[Frame, int]],
        background: Color | None,
        how: NetworkSettings,
        report: CutoutReport,
    ) -> Iterator[tuple[Frame, int]]:
        """Cut out a sticker by the network alone; `report` is filled in."""
        head = list(islice(source, 1))
        if not head:
            return
        head += islice(source, frames_ahead(head[0][0], LOOKAHEAD) - 1)
        color = background or find_background([frame for frame, _ in head])
        report.was_transparent = any(int(frame[..., 3].min()) < 255 for frame, _ in head)
        report.color = color
        size = WorkingSize.of(head[0][0].shape[:2], how.resolution, self.ildiff.size_multiple)
        store = FrameStore()

        def prepare(pair: tuple[Frame, int]) -> Prepared:
            frame, duration = pair
            check_frame(frame, size)
            return Prepared(store.put(frame), duration, size.shrink(laid_on(frame, color, size), color))

        prepared = map(prepare, chain(drained(head), source))  # a loop would hold a frame until the next one is there
        for window in overlapping_windows(prepared, how.chunk, self.ildiff.temporal_radius):
            clip = np.stack([item.seen for item in window.items])
            alphas = self.alphas(clip, window.own, color, how)
            for item, small in zip(window.items[window.own], alphas, strict=True):
                original = item.original.load()
                frame = finish(original, small, size, color)
                fit = float((largest_difference(border_of(original), np.asarray(color)) <= NEAR).mean())
                report.count(fit=fit, kept=float((frame[..., 3] > 0).mean()))
                del original
                item.original.drop()
                yield frame, item.duration
                del frame  # before the next one is made

    def block(
        self, items: list[Cut], closed_size: WorkingSize, under: Color, how: NetworkSettings
    ) -> Iterator[tuple[Cut, Frame]]:
        """The network's alpha for one block of frames on a flat background, closed areas as wholes."""
        size = WorkingSize.of(closed_size.full, how.resolution, self.ildiff.size_multiple)
        colors: list[Color] = []
        alphas: list[NDArray[np.float32]] = []
        for window in overlapping_windows(items, how.chunk, self.ildiff.temporal_radius):
            color = window.items[window.own.start].closed.behind.mean_color
            clip = np.stack([size.shrink(laid_on(i.original.load(), under, size), color) for i in window.items])
            alphas += list(self.alphas(clip, window.own, color, how))
            colors += [color] * (len(alphas) - len(colors))
        inner = [np.ascontiguousarray(small[: size.inner[0], : size.inner[1]]) for small in alphas]
        answers = vote([item.closed for item in items], inner)
        for item, small, color, solid in zip(items, alphas, colors, answers, strict=True):
            frame = finish(item.original.load(), small, size, color, (item.closed, solid))
            item.original.drop()
            yield item, frame
            del frame

    def alphas(
        self, clip: NDArray[np.float32], own: slice, background: Color, how: NetworkSettings
    ) -> NDArray[np.float32]:
        """Alpha of the own frames of one window, `f 3 h w` in [0, 1] to `g h w`."""
        import torch

        from glassine.utils.devices import fast_autocast

        # 61 dB from float32 on a real sticker, in two thirds of the time
        with torch.inference_mode(), fast_autocast(self.device):
            batch = torch.from_numpy(clip)[None].to(self.device)  # 1 f c h w
            color = torch.tensor([background], device=self.device, dtype=torch.float32) / 255  # 1 3
            alpha, _ = self.ildiff.decode(batch, color, how.pixel_source, how.tta, own)
            return alpha[0, :, 0].float().cpu().numpy()  # g h w


def check_frame(frame: Frame, size: WorkingSize) -> None:
    """Raise UserError if a frame differs in size or type from the first."""
    expected = (*size.full, 4)
    if frame.shape != expected or frame.dtype != np.uint8:
        raise UserError(f"all frames must be uint8 {expected} as the first, got {frame.dtype} {frame.shape}")
