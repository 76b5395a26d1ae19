"""Read video, with alpha where the file has it, through PyAV (FFmpeg)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np

from glassine.data.codecs.guard import check_size, damaged, decoding
from glassine.data.codecs.reader import StickerReader
from glassine.data.codecs.video_random import jump_to_frames
from glassine.errors import UserError

# FFmpeg's own VP8 and VP9 decoders drop the alpha that WebM keeps in a second stream; libvpx's keep it
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class VideoReader(StickerReader):
    """WebM (VP8, VP9), MKV, MOV (ProRes 4444, PNG, ...) and MP4.

    Alpha is taken as straight, as FFmpeg, browsers and this package write it; some editors export premultiplied MOV,
    which no field of the file tells: see `open_sticker`. Colours go from YUV to RGB, so they are not exact to the bit.
    Frame times are rounded to milliseconds without drift.

    Args:
        file: open for reading.
        name: how messages call it.
        max_pixels: largest frame that is read.
        demuxer: FFmpeg's name of the container, so that no other parser sees foreign bytes.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int, demuxer: str) -> None:
        self._file, self._name, self._max_pixels, self._demuxer = file, name, max_pixels, demuxer
        with self._opened() as container:
            if not container.streams.video:
                raise UserError(f"{name}: has no video track; give a file with pictures")
            stream = container.streams.video[0]
            context = stream.codec_context
            if context is None:
                raise UserError(f"{name}: its video codec is unknown; convert it to WebM, MOV or MP4 first")
            check_size(name, context.width, context.height, max_pixels)
            self.num_frames = stream.frames or None
            told = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
            self._decoder = _ALPHA_DECODERS.get(context.name) if told.get("alpha_mode") == "1" else None
            loop = told.get("loop", "0")
            self.loop = int(loop) if loop.isascii() and loop.isdigit() else 0
        first = next(self._frames(), None)
        if first is None:
            raise damaged(name, "the video has no frames")
        self._upright = first.rotation % 360 == 0
        self.opaque = not any(component.is_alpha for component in first.format.components)
        self.height, self.width = self._pixels(first).shape[:2]

    def _opened(self) -> Any:
        self._file.seek(0)
        with decoding(self._name):
            return av.open(self._file, format=self._demuxer, metadata_errors="replace")

    def _frames(self) -> Iterator[av.VideoFrame]:
        with self._opened() as container, decoding(self._name):
            stream = container.streams.video[0]
            context = stream.codec_context
            if self._decoder:
                context = av.CodecContext.create(self._decoder, "r")
                context.extradata = stream.codec_context.extradata
            # a stream may grow on the way; decoders count pixels after rounding sides up to their blocks
            context.options = {"max_pixels": str(2 * self._max_pixels + 2**14)}
            context.thread_type = "AUTO"
            # the last packet, which is empty, makes the decoder hand out what it held back
            for packet in container.demux(stream):
                for frame in context.decode(packet):
                    frame.time_base = stream.time_base
                    yield frame

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        check_size(self._name, frame.width, frame.height, self._max_pixels)
        # planes, since FFmpeg leaves the last columns of packed RGBA unwritten at many widths; thread as in VideoWriter
        pixels = frame.to_ndarray(format="gbrap", threads=1)
        return np.rot90(pixels, frame.rotation // 90) if frame.rotation % 360 else pixels

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        clock, passed, count = Fraction(0), 0, 0
        step = Fraction(40)
        frames = self._frames()
        with decoding(self._name):
            now = next(frames, None)
            for following in itertools.chain(frames, [None]):
                if now is None:
                    break
                step = _duration(now, following, step)
                clock += step
                duration = max(1, round(clock) - passed)
                passed += duration
                pixels = self._pixels(now)
                if pixels.shape[:2] != (self.height, self.width):
                    raise UserError(
                        f"{self._name}: frame {count} is {pixels.shape[1]}x{pixels.shape[0]} and the first is "
                        f"{self.width}x{self.height}; all must have one size; convert it first"
                    )
                yield np.ascontiguousarray(pixels), duration
                now, count = following, count + 1
            if self.num_frames and count < self.num_frames:
                raise damaged(self._name, f"only {count} of {self.num_frames} frames can be decoded")

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """As in `StickerReader`; jumps with decord where the video is opaque and decord is installed."""
        if indices and min(indices) >= 0 and self.opaque and self._upright:
            colours = jump_to_frames(self._file, indices)  # f h w 3
            if colours is not None and colours.shape[1:3] == (self.height, self.width):
                return np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=-1)
        return super().frames_at(indices)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _duration(frame: av.VideoFrame, following: av.VideoFrame | None, before_ms: Fraction) -> Fraction:
    """Milliseconds for which a frame stands: until the next one, else as told, else as the one before it."""
    base = Fraction(frame.time_base or Fraction(1, 1000))
    if following is not None and following.pts is not None and frame.pts is not None and following.pts > frame.pts:
        return (following.pts - frame.pts) * base * 1000
    return frame.duration * base * 1000 if frame.duration else before_ms
