"""Read video, with alpha if the file has it, with PyAV (FFmpeg).

Decoders stop at a truncation without an error, so completeness is checked in the file's outermost boxes. Single frames
of opaque video are read with decord if it is installed.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
from av.stream import Disposition

from glassine.data.codecs.base import StickerReader
from glassine.data.codecs.guard import announced_sizes, check_size, damaged, decoding
from glassine.utils.errors import UserError

_SEGMENT = 0x18538067


def check_matroska_whole(file: BinaryIO, name: str) -> None:
    """Reject a WebM or MKV that is shorter than its segment declares. Live recordings, which declare no size, pass.

    Element sizes: RFC 8794, section 6.

    Raises:
        UserError: the file is truncated.
    """
    length = file.seek(0, 2)
    place = 0
    while place < length:
        file.seek(place)
        head = file.read(12)
        id_bytes = _leading_bytes(head[:1])
        size_bytes = _leading_bytes(head[id_bytes : id_bytes + 1])
        if not id_bytes or not size_bytes or len(head) < id_bytes + size_bytes:
            break
        field = head[id_bytes : id_bytes + size_bytes]
        size = int.from_bytes(field, "big") & ((1 << 7 * size_bytes) - 1)
        if size == (1 << 7 * size_bytes) - 1:
            return  # unknown size
        end = place + id_bytes + size_bytes + size
        if end > length:
            raise damaged(name, f"the video should have {end:,} bytes and has {length:,}")
        if int.from_bytes(head[:id_bytes], "big") == _SEGMENT:
            return
        place = end
    raise damaged(name, f"the video ends after {length:,} bytes, before its first frame")


def _leading_bytes(first: bytes) -> int:
    """Length of a variable-length number from its first byte; 0 if there is none."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def check_mp4_whole(file: BinaryIO, name: str) -> None:
    """Reject an MP4 or MOV with a top-level box that extends past the end (ISO/IEC 14496-12, section 4.2).

    Raises:
        UserError: the file is truncated.
    """
    length = file.seek(0, 2)
    place = 0
    while place + 8 <= length:
        file.seek(place)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size == 0:
            return  # the last box reaches to the end
        place += max(size, 8)
    if place > length:
        raise damaged(name, f"the video should have {place:,} bytes and has {length:,}")


def jump_to_frames(file: BinaryIO, indices: list[int]) -> np.ndarray | None:
    """Frames by index, without decoding all preceding ones.

    Decord does not support alpha, so this is for opaque videos only.

    Args:
        file: an open video file, or its content as `BytesIO`.
        indices: frame indices from 0, in the requested order.

    Returns:
        `f h w 3` uint8, or None if decord is not installed or cannot read the file or a frame; then decode it
        sequentially.
    """
    try:
        decord: Any = importlib.import_module("decord")
    except (ImportError, OSError):
        return None
    file.seek(0)
    source = file if isinstance(file, io.BytesIO) else str(file.name)
    try:
        video = decord.VideoReader(source, num_threads=1)
        return video.get_batch(indices).asnumpy()
    except (decord.DECORDError, IndexError, RuntimeError):
        return None


# FFmpeg's own VP8 and VP9 decoders drop WebM's alpha, which is in a second stream; libvpx keeps it
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_ALPHA_DATA = "matroska_block_additional"
_ALPHA_DATA_HEAD = 8  # bytes before the packet of the alpha stream
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
_HD_LINES = 720
_THREAD_PIXELS = 2**25  # over all frames decoded in parallel, with 12 bits each (8-bit 4:2:0)


class VideoReader(StickerReader):
    """WebM (VP8, VP9), MKV, MOV (ProRes 4444, PNG, ...) and MP4, as shown by players.

    Frames hidden by an edit list are skipped. Non-square pixels are made square, and colors without metadata are read
    as BT.709 from 720 lines up and as BT.601 below, as in browsers. Of several video tracks, the default one is read.

    Alpha is treated as straight, as in FFmpeg, browsers and this package; some editors export premultiplied MOV, which
    the file does not indicate: see `open_sticker`. Colors are converted from YUV to RGB, so they are not bit-exact.
    Frame times are rounded to milliseconds without drift.

    Args:
        file: file open for reading.
        name: file name for messages.
        max_pixels: largest frame to read.
        demuxer: FFmpeg's name of the container, so that no other parser sees untrusted bytes.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int, demuxer: str) -> None:
        self._file, self._name, self._max_pixels, self._demuxer = file, name, max_pixels, demuxer
        # a stream may change its size; decoders count pixels after rounding sides up to blocks
        self._options = {"max_pixels": str(2 * max_pixels + 2**14)}
        self._edits, self._hides = True, False  # whether edit lists are applied, and whether one hides anything
        with decoding(name):
            self._look()

    def _look(self) -> None:
        """Read the properties of the file from its header and first frame."""
        name, max_pixels = self._name, self._max_pixels
        with self._opened() as container:
            stream = self._stream(container)
            context = stream.codec_context
            check_size(name, context.width, context.height, max_pixels)
            told = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
            self._codec = context.name
            self._decoder = _ALPHA_DECODERS.get(context.name) if told.get("alpha_mode") == "1" else None
            loop = told.get("loop", "0")
            self.loop = int(loop) if loop.isascii() and loop.isdigit() and len(loop) < 6 else 0
            self._shape = Fraction(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1)
            deep = 1 if context.pix_fmt is None else av.VideoFormat(context.pix_fmt).padded_bits_per_pixel / 12
            held = max(1.0, deep) * context.width * context.height
            self._threads = max(1, min(os.cpu_count() or 1, int(_THREAD_PIXELS / held)))
            counted = bool(stream.frames)
            ends = counted and stream.duration is not None
            # in ms; the part of the last frame cut off by an edit list or the track's duration
            self._end = ((stream.start_time or 0) + stream.duration) * stream.time_base * 1000 if ends else None
        self.num_frames = self._count() if counted else None
        first = next(self._frames(), None)
        if first is None and counted:  # an edit list that shows nothing: show everything instead
            self._edits = False
            self.num_frames = self._count()
            first = next(self._frames(), None)
        if first is None:
            raise damaged(name, "the video has no frames")
        self._plain = first.rotation % 360 == 0 and self._shape == 1
        self._plain &= first.colorspace != _UNSPECIFIED or first.height < _HD_LINES
        self.opaque = not any(component.is_alpha for component in first.format.components)
        self.height, self.width = self._pixels(first).shape[:2]

    def _opened(self) -> Any:
        self._file.seek(0)
        options = self._options if self._edits else self._options | {"ignore_editlist": "1"}
        with decoding(self._name):
            return av.open(self._file, format=self._demuxer, metadata_errors="replace", options=options)

    def _stream(self, container: Any) -> Any:
        """The video track that players show: not a cover image, the default one, otherwise the first."""
        tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
        if not tracks:
            raise UserError(f"{self._name}: has no video track; give a file with pictures")
        known = [track for track in tracks if track.codec_context is not None]
        if not known:
            raise UserError(f"{self._name}: its video codec is unknown; convert it to WebM, MOV or MP4 first")
        return next((track for track in known if track.disposition & Disposition.default), known[0])

    def _count(self) -> int:
        """The visible frames: packets that are not hidden by an edit list."""
        with self._opened() as container, decoding(self._name):
            packets = list[bool]()  # whether each is hidden
            packets.extend(p.is_discard for p in container.demux(self._stream(container)) if p.pts is not None)
            self._hides = any(packets)
            return len(packets) - sum(packets)

    def _frames(self) -> Iterator[av.VideoFrame]:
        with self._opened() as container, decoding(self._name):
            stream = self._stream(container)
            context = stream.codec_context
            if self._decoder:
                context = av.CodecContext.create(self._decoder, "r")
                context.extradata = stream.codec_context.extradata
            context.options = self._options
            context.thread_type, context.thread_count = "AUTO", self._threads
            # the last packet, which is empty, flushes the decoder
            for packet in container.demux(stream):
                if self._decoder:
                    self._check_announced(packet)
                decoded = context.decode(packet)[::-1]
                while decoded:  # no variable for the frame, which would keep its memory until the next one arrives
                    yield _timed(decoded.pop(), stream.time_base)

    def _check_announced(self, packet: Any) -> None:
        """Reject frames of a packet and its alpha that are too large; libvpx has no limit."""
        parts = [bytes(packet)]
        if packet.has_sidedata(_ALPHA_DATA):
            parts.append(bytes(packet.get_sidedata(_ALPHA_DATA))[_ALPHA_DATA_HEAD:])
        for part in parts:
            for width, height in announced_sizes(self._codec, part):
                check_size(self._name, width, height, self._max_pixels)

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        check_size(self._name, frame.width, frame.height, self._max_pixels)
        how: dict[str, Any] = {}
        if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb:
            how["src_colorspace"] = _BT709 if frame.height >= _HD_LINES else _BT601
        # planes, since FFmpeg leaves the last columns of packed RGBA unwritten at many widths; thread as in VideoWriter
        pixels = frame.to_ndarray(format="gbrap", threads=1, **how)
        if self._shape != 1:
            pixels = self._square(pixels)
        return np.rot90(pixels, frame.rotation // 90) if frame.rotation % 360 else pixels

    def _square(self, pixels: np.ndarray) -> np.ndarray:
        """Stretch `h w 4` so that its pixels are square, with colors weighted by alpha."""
        import cv2

        height, width = pixels.shape[:2]
        size = round(width * self._shape), height
        if self._shape < 1:
            size = width, round(height / self._shape)
        check_size(self._name, *size, self._max_pixels)
        if self.opaque:
            return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR))
        alpha = pixels[..., 3:].astype(np.float32)
        mixed = cv2.resize(
            np.concatenate([pixels[..., :3] * (alpha / 255), alpha], axis=-1), size, interpolation=cv2.INTER_LINEAR
        )
        mixed[..., :3] = mixed[..., :3] / np.maximum(mixed[..., 3:] / 255, 1 / 255)
        return np.clip(mixed.round(), 0, 255).astype(np.uint8)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        clock, passed, count = Fraction(0), 0, 0
        step = Fraction(40)
        frames = self._frames()
        with decoding(self._name):
            following = next(frames, None)
            while following is not None:
                # the decoder's frame may be several times as large as the pixels, and is freed before the next one
                pixels = [np.ascontiguousarray(self._pixels(following))]
                now = _Times(following.pts, following.time_base, following.duration)
                following = None
                following = next(frames, None)
                step = _duration(now, following, step)
                if following is None and self._end is not None and now.pts is not None and now.time_base:
                    rest = Fraction(self._end) - now.pts * Fraction(now.time_base) * 1000
                    step = min(step, rest) if rest > 0 else step
                clock += step
                duration = max(1, round(clock) - passed)
                passed += duration
                height, width = pixels[0].shape[:2]
                if (height, width) != (self.height, self.width):
                    raise UserError(
                        f"{self._name}: frame {count} is {width}x{height} and the first is "
                        f"{self.width}x{self.height}; all must have one size; convert it first"
                    )
                yield pixels.pop(), duration  # ownership passes to the caller
                count += 1
            if self.num_frames and count < self.num_frames:
                raise damaged(self._name, f"only {count} of {self.num_frames} frames can be decoded")

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """See `StickerReader`; uses decord for random access if the video is opaque and decord is installed."""
        if indices and min(indices) >= 0 and self.opaque and self._plain and not self._hides:
            colors = jump_to_frames(self._file, indices)  # f h w 3
            if colors is not None and colors.shape[1:3] == (self.height, self.width):
                return np.concatenate([colors, np.full_like(colors[..., :1], 255)], axis=-1)
        return super().frames_at(indices)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Times(NamedTuple):
    """The time at which a frame is shown, from its packet."""

    pts: int | None
    time_base: Fraction | None
    duration: int


def _timed(frame: av.VideoFrame, time_base: Fraction) -> av.VideoFrame:
    frame.time_base = time_base
    return frame


def _duration(frame: _Times, following: av.VideoFrame | None, before_ms: Fraction) -> Fraction:
    """Duration of a frame in milliseconds: until the next one, otherwise as declared, otherwise as the previous one."""
    base = Fraction(frame.time_base or Fraction(1, 1000))
    if following is not None and following.pts is not None and frame.pts is not None and following.pts > frame.pts:
        return (following.pts - frame.pts) * base * 1000
    return frame.duration * base * 1000 if frame.duration else before_ms
