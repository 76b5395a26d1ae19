"""Cut stickers out of their background: opaque frames in, transparent frames out, of any size and length.

The background is modeled first (`background_models`); alpha is closed-form where that is sure (`closed_cutout`), and
a network's elsewhere. Frames are streamed in overlapping windows (`overlapping_windows`), so that memory
does not grow with their number; while huge frames wait for their alpha they are kept in a temporary file
(`FrameStore`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from glassine.data.sticker import Sticker
from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.backgrounds import Color
from glassine.pipelines.closed_cutout import CLOSED_RESOLUTION, ClosedCutter, FrameCut
from glassine.pipelines.finishing import Opacity, finish_closed, is_transparent_already, laid_on, opaque_border_color
from glassine.pipelines.frame_store import Frame, FrameStore, drained, overlapping_windows
from glassine.pipelines.network_cutout import LOOKAHEAD, Cut, NetworkCutter, NetworkSettings, check_frame, frames_ahead
from glassine.pipelines.report import CutoutReport
from glassine.pipelines.unknown_background import Subject
from glassine.pipelines.upsampling import WorkingSize
from glassine.utils.errors import UserError

if TYPE_CHECKING:  # torch takes seconds to import, and a cut-out in closed form needs none of it
    import torch

    from glassine.models.ildiff import ILDiff, PixelSource
    from glassine.nn.view_averaging import TestTimeAugmentation
    from glassine.pipelines.subject_priors import SubjectPrior

RESOLUTION, CHUNK = 256, 32
Method = Literal["auto", "closed-form", "network"]
METHODS: tuple[Method, ...] = ("auto", "closed-form", "network")
OPACITIES: tuple[Opacity, ...] = ("auto", "opaque", "translucent")
TINY = "glassine:tiny-ildiff"
STILL_FRAMES = 48  # read ahead where only a temporal median can tell the background
POOLED, POOLED_PIXELS = 32, 2**23  # frames over which closed areas are decided at once; fewer if they are large


@dataclass(frozen=True)
class SubjectHints:
    """What tells where the sticker is on a background that fits no model; see `CutoutPipeline.stream`."""

    subject: Subject | None
    prior: SubjectPrior | None


SMALL = 48  # pixels of the longer side: the networks have not seen such stickers
MERGING, DAMAGED = 0.05, 2.5  # share of the edge, 255ths of noise: beyond both the network is better


def needs_network(cuts: list[FrameCut], size: WorkingSize) -> bool:
    """Whether ILDiff will do better than the closed form.

    On 84 stickers of seven styles (training and validation groups), undamaged files were better in closed form even
    where the sticker's edge has the background's color (24 against 22 dB); under JPEG and palettes the network had 20
    against 11 dB there, and 25 against 32 where the edge stands out.
    """
    if max(size.full) < SMALL:
        return False
    flat = all(cut.behind.kind == "flat" and not cut.behind.inset for cut in cuts)
    noise, merging = (float(np.mean([getattr(cut, name) for cut in cuts])) for name in ("noise", "merging"))
    return flat and noise > DAMAGED and merging > MERGING


class CutoutPipeline:
    """Transparent stickers from opaque ones: a background model, closed-form alpha, and ILDiff where that is unsure.

    Colors are the input's own, un-mixed from the background at soft pixels. An input frame with transparency is
    composited on the background first, and no pixel of the result is more opaque than it was.

    Args:
        ildiff: the network; any module with its `decode`, `temporal_radius` and `size_multiple`. Or a function that
            loads one, called when a sticker needs it for the first time.
        device: `auto` is CUDA if available, else the CPU.
        config: `class_path` and `init_args` of the network, needed by `save_pretrained` only.

    Attributes:
        report: on the latest sticker of `stream`; complete once its last frame is there.
    """

    def __init__(
        self,
        ildiff: ILDiff | Callable[[], tuple[ILDiff, dict]],
        device: str = "auto",
        config: dict | None = None,
    ) -> None:
        self.network = NetworkCutter(ildiff, device, config)
        self.report = CutoutReport()

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self.network.device

    @property
    def ildiff(self) -> ILDiff:
        """ILDiff, loaded on first use."""
        return self.network.ildiff

    @classmethod
    def from_pretrained(cls, source: str = TINY, device: str = "auto") -> Self:
        """The pipeline with shipped weights, or those in a folder of `save_pretrained` or `glassine export weights`.

        Shipped weights are loaded when they are needed; others at once, so that a mistake shows at once.

        Raises:
            UserError: there are no weights at `source`, or they are not an ILDiff's.
        """

        def load() -> tuple[ILDiff, dict]:
            from glassine.models.ildiff import ILDiff
            from glassine.pretrained.weights import load_bundle, locate
            from glassine.utils.class_paths import read_yaml

            network = load_bundle(source)
            if not isinstance(network, ILDiff):
                raise UserError(f"{source} must hold an ILDiff such as {TINY}, got a {type(network).__name__}")
            return network, read_yaml(locate(source) / "config.yaml")

        pipeline = cls(load, device)
        if source != TINY or device != "auto":
            _ = pipeline.ildiff if source != TINY else pipeline.device
        return pipeline

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.yaml` and `model.safetensors` (half precision) into `folder`, which is created if needed.

        Raises:
            ValueError: the pipeline was built from a network without its `config`.
        """
        from glassine.pretrained.weights import save_bundle

        network = self.ildiff
        if self.network.config is None:
            raise ValueError("save_pretrained needs the network's class_path and init_args: pass them as config")
        save_bundle(network, self.network.config, Path(folder))

    def __call__(
        self,
        sticker: Sticker,
        background: Color | None = None,
        resolution: int = RESOLUTION,
        chunk: int = CHUNK,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
        method: Method = "auto",
        opacity: Opacity = "auto",
        force: bool = False,
        subject: Subject | None = None,
        prior: SubjectPrior | None = None,
    ) -> Sticker:
        """Cut out a whole sticker in memory; durations and loop count are kept.

        Args:
            sticker: the input.
            background: see `stream`, as all other arguments.
            resolution: longer side, in pixels, of what the network sees.
            chunk: frames per forward pass.
            pixel_source: what the transparency decoder looks at.
            tta: test-time augmentation.
            method: closed form, network, or whichever is better.
            opacity: whether areas may be half-transparent.
            force: cut out a sticker that is transparent already.
            subject: where the sticker is, if its background cannot be told.
            prior: a network that finds it there.
        """
        pairs = zip(sticker.frames, sticker.durations, strict=True)
        how = (background, resolution, chunk, pixel_source, tta, method, opacity, force, subject, prior)
        frames = np.stack([frame for frame, _ in self.stream(pairs, *how)])
        return Sticker(frames, sticker.durations, sticker.loop)

    def stream(
        self,
        frames: Iterable[tuple[Frame, int]],
        background: Color | None = None,
        resolution: int = RESOLUTION,
        chunk: int = CHUNK,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
        method: Method = "auto",
        opacity: Opacity = "auto",
        force: bool = False,
        subject: Subject | None = None,
        prior: SubjectPrior | None = None,
    ) -> Iterator[tuple[Frame, int]]:
        """Cut out frame by frame: `(h w 4 uint8 straight, duration)` in and out, in order, all of one size.

        The number of frames held at once depends on `chunk`, the network's `temporal_radius` and `LOOKAHEAD`, not on
        the length of the input; most huge frames wait in a temporary file.

        Args:
            frames: the input, read as results are consumed.
            background: red, green, blue (0 to 255) of the flat background; None finds a model of the background,
                flat or not, on the border of the frames.
            resolution: longer side, in pixels, of what a network sees.
            chunk: frames per forward pass; memory and time depend on it, the result does not.
            pixel_source: what the transparency decoder looks at: the VAE's `reconstruction`, as in the papers, or the
                `input`; None is the network's own setting.
            tta: test-time augmentation, 1, 2 or 8 passes.
            method: `closed-form` needs no network; `network` is ILDiff on a flat background, as in the paper; `auto`
                is the closed form, with the network where that is unsure and the network helps.
            opacity: `opaque` makes all but edges opaque, `translucent` finds the least alpha that explains the
                picture (for glass, smoke and glows on a flat background); `auto` is `opaque` in closed form.
            force: cut out a sticker that is transparent already, which otherwise is kept as it is.
            subject: where the sticker is, for pictures whose background fits no model.
            prior: a network that finds it there (`subject_priors.load_prior`); None guesses.

        Raises:
            UserError: a setting out of range, or frames of another type or of changing size.
        """
        if not 16 <= resolution <= 4096:
            raise UserError(f"resolution must be in [16, 4096] pixels, got {resolution}")
        if chunk < 1:
            raise UserError(f"chunk must be at least 1 frame, got {chunk}")
        if method not in METHODS:
            raise UserError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        if opacity not in OPACITIES:
            raise UserError(f"opacity must be one of {', '.join(OPACITIES)}, got {opacity!r}")
        self.report = CutoutReport()
        how = NetworkSettings(resolution, chunk, pixel_source, tta)
        if method == "network":
            self.report.method = "network"
            return self.network.whole(iter(frames), background, how, self.report)
        hints = SubjectHints(subject, prior)
        return self._stream(iter(frames), background, opacity, force, hints, how if method == "auto" else None)

    def _stream(
        self,
        source: Iterator[tuple[Frame, int]],
        background: Color | None,
        opacity: Opacity,
        force: bool,
        hints: SubjectHints,
        network: NetworkSettings | None,
    ) -> Iterator[tuple[Frame, int]]:
        head = list(islice(source, 1))
        if not head:
            return
        size = WorkingSize.at_most(head[0][0].shape[:2], CLOSED_RESOLUTION)
        head += islice(source, frames_ahead(head[0][0], LOOKAHEAD) - 1)
        report = self.report
        report.was_transparent = any(int(frame[..., 3].min()) < 255 for frame, _ in head)
        if not force and is_transparent_already([frame for frame, _ in head]):
            report.method = "kept"
            for frame, duration in chain(drained(head), source):
                report.count(kept=float((frame[..., 3] > 0).mean()), fit=1.0)
                yield frame, duration
            return
        under = background or opaque_border_color([frame for frame, _ in head])
        seen = [size.reduced(laid_on(frame, under, size)) for frame, _ in head]
        track = BackgroundTrack(seen, background)
        if background is None and not track.is_found:
            head += islice(source, max(0, frames_ahead(head[0][0], STILL_FRAMES) - len(head)))
            seen = [size.reduced(laid_on(frame, under, size)) for frame, _ in head]
            track.look_for_still_picture(seen)
        del seen
        cutter, store = ClosedCutter(track, hints.subject, hints.prior), FrameStore()

        def prepare(pair: tuple[Frame, int]) -> Cut:
            frame, duration = pair
            check_frame(frame, size)
            closed = cutter.cut(size.reduced(laid_on(frame, under, size)))
            return Cut(store.put(frame), duration, closed)

        prepared = map(prepare, chain(drained(head), source))
        pooled = max(1, min(POOLED, POOLED_PIXELS // max(1, size.inner[0] * size.inner[1])))
        for window in overlapping_windows(prepared, pooled, 0):
            cuts = [item.closed for item in window.items]
            cutter.decide(cuts, report)
            # decided once: alpha must not change its kind on the way
            if not report.frames and network is not None and not cutter.asked and needs_network(cuts, size):
                report.method = "network"
            report.asked = cutter.asked
            if report.method == "network" and network is not None:
                for item, frame in self.network.block(window.items, size, under, network):
                    self._count(item.closed, frame)
                    yield frame, item.duration
                continue
            report.method = "prior" if cutter.asked else report.method
            for item in window.items:
                frame = finish_closed(item.original.load(), item.closed, size, under, opacity)
                item.original.drop()
                self._count(item.closed, frame)
                yield frame, item.duration
                del frame  # before the next one is made

    def _count(self, closed: FrameCut, frame: Frame) -> None:
        report, behind = self.report, closed.behind
        if not report.frames:
            report.background, report.color = behind.kind, behind.mean_color
        elif report.background != behind.kind or not np.allclose(report.color, behind.mean_color, atol=16):
            report.background = "changing"
        kept = float((frame[..., 3] > 0).mean())
        report.count(fit=behind.fit, noise=closed.noise, kept=kept, doubtful=closed.doubtful)
