"""Write WebM (VP9) and MOV (ProRes 4444) with straight alpha with PyAV (FFmpeg)."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

from glassine.data.codecs.base import StickerWriter
from glassine.utils.errors import UserError

_BT709 = 1
_LIMITED_RANGE = 1


class VideoWriter(StickerWriter):
    """Base class for WebM and MOV: millisecond timestamps, BT.709 colors, and the loop count as a tag.

    Colors of invisible pixels are replaced with surrounding ones, since codecs share color between neighbors and would
    produce a dark rim. Other programs may ignore the loop count.
    """

    longest_side = 16_384
    container_format: str
    container_options: Mapping[str, str]
    codec: str
    pixel_format: str

    @abc.abstractmethod
    def _codec_options(self) -> dict[str, str]:
        """The encoder options."""

    def _start(self, path: Path) -> None:
        self._durations: dict[int, int] = {}  # ms by start time, of frames still inside the encoder
        self._time = 0
        self._container = av.open(str(path), "w", format=self.container_format, options=dict(self.container_options))
        self._container.metadata["loop"] = str(self.loop)
        stream = cast(VideoStream, self._container.add_stream(self.codec, rate=25, options=self._codec_options()))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pixel_format
        context.time_base = stream.time_base = Fraction(1, 1000)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        context.thread_count = 0
        self._stream = stream

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        # one thread: at widths not divisible by 16, FFmpeg's threads write past the ends of their rows into each
        # other's
        picture = av.VideoFrame.from_ndarray(bled(frame), format="rgba").reformat(
            format=self.pixel_format, dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE, threads=1
        )
        picture.pts, picture.time_base = self._time, Fraction(1, 1000)
        self._durations[self._time] = duration_ms
        self._time += duration_ms
        self._mux(picture)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(picture):
                packet.duration = self._durations.pop(packet.pts or 0)
                self._container.mux(packet)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            reason = " ".join(str(error).split())
            raise UserError(f"cannot write {self.path}: the encoder refused ({reason}); try another format") from error

    def _finish(self) -> None:
        self._mux(None)
        self._container.close()

    def _abandon(self) -> None:
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            return  # the file is removed anyway, and the first error is the one to show


class WebmWriter(VideoWriter):
    """VP9 with alpha in a second stream, `yuva420p`; lossy in color and alpha.

    Args:
        path: see `StickerWriter`.
        width: see `StickerWriter`.
        height: see `StickerWriter`.
        loop: see `VideoWriter`.
        quality: 0 to 100, default 75; the encoder's crf is 63 at 0 and 0 at 100 (Telegram's limits need about 35).
    """

    container_format, codec, pixel_format = "webm", "libvpx-vp9", "yuva420p"
    container_options: Mapping[str, str] = MappingProxyType({})

    def __init__(self, path: Path, width: int, height: int, loop: int, quality: int | None) -> None:
        super().__init__(path, width, height, loop)
        self.quality = 75 if quality is None else quality

    def _codec_options(self) -> dict[str, str]:
        crf = round((100 - self.quality) * 0.63)
        # alternative reference frames cannot carry alpha; "b 0" leaves the quality to crf
        return {"crf": str(crf), "b": "0", "auto-alt-ref": "0", "row-mt": "1", "cpu-used": "3"}


class MovWriter(VideoWriter):
    """ProRes 4444: 10-bit color at full resolution, nearly lossless; alpha is within 1, 0 and 255 exact."""

    container_format, codec, pixel_format = "mov", "prores_ks", "yuva444p10le"
    container_options = MappingProxyType({"movflags": "use_metadata_tags", "video_track_timescale": "1000"})

    def _codec_options(self) -> dict[str, str]:
        return {"profile": "4", "alpha_bits": "16", "vendor": "apl0", "qscale": "2"}


def bled(frame: np.ndarray) -> np.ndarray:
    """Fill invisible pixels with surrounding colors; `h w 4` uint8."""
    if frame[..., 3].all():
        return frame
    # imported late: torch takes seconds, which reading files should not cost
    import torch

    from glassine.data.alpha import pad_color

    pixels = torch.from_numpy(frame).permute(2, 0, 1).float() / 255  # 4 h w
    color = pad_color(pixels[:3], pixels[3:], factor=2.0, keep_visible=True)  # 3 h w
    filled = frame.copy()
    filled[..., :3] = (color * 255).round().permute(1, 2, 0).byte().numpy()
    return filled
