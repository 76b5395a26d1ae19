"""Small files of every kind that is read, to be mutated, and how they are read to their end."""

from __future__ import annotations

import functools
import io
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageCms

from glassine.data.codecs import open_bytes, write_sticker
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

REFUSAL = UserError
MOST_PIXELS = 2**22  # as a caller may set it; small, so that a lie about the size is told from a large picture


def frames(count: int = 4, height: int = 20, width: int = 26) -> np.ndarray:
    """A soft box that moves over a clear ground."""
    rows, columns = np.mgrid[:height, :width]
    pictures = []
    for number in range(count):
        alpha = np.clip(300 - 40 * np.hypot(rows - height / 2, columns - 8 - 2 * number), 0, 255)
        pictures.append(np.stack([columns * 9, rows * 12, columns * 0 + 40 * number, alpha], axis=-1))
    return np.stack(pictures).astype(np.uint8)


def _pillow(kind: str, image: Image.Image, **how: object) -> bytes:
    packed = io.BytesIO()
    image.save(packed, format=kind, **how)
    return packed.getvalue()


def _video(suffix: str, codec: str, pixels: str = "yuv420p") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
            stream.codec_context.time_base = Fraction(1, 1000)
            for number in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * number, np.uint8), format="rgb24")
                frame.pts, frame.time_base = 40 * number, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


@functools.cache
def all_seeds() -> dict[str, list[bytes]]:
    """Kind to files; the writers' own and those of other programs."""
    found: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".gif", ".webp", ".png", ".avif", ".zip", ".webm", ".mov"):
            path = Path(folder) / f"a{suffix}"
            write_sticker(Sticker(frames(), (40, 70, 100, 30), 2), path)
            found[suffix[1:]] = [path.read_bytes()]
    rgba = Image.fromarray(frames()[1], "RGBA")
    rgb = rgba.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    notes = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), "exif": exif.tobytes()}
    pictures = [Image.fromarray(frame, "RGBA") for frame in frames()]
    many = {"save_all": True, "append_images": pictures[1:], "duration": 60, "loop": 0}
    found["gif"] += [
        _pillow("GIF", pictures[0], **many, disposal=3),
        _pillow("GIF", rgb.quantize(16), interlace=1),
    ]
    found["webp"] += [
        _pillow("WEBP", rgba, quality=70, **notes),
        _pillow("WEBP", rgb, quality=70),
        _pillow("WEBP", rgba, lossless=True),
        _pillow("WEBP", pictures[0], **many, quality=60),
    ]
    found["png"] += [
        _pillow("PNG", rgba, **notes),
        _pillow("PNG", rgb.convert("L"), transparency=9),
        _pillow("PNG", rgb.quantize(4), bits=2),
        _pillow("PNG", Image.fromarray(frames()[0, ..., 0].astype(np.uint16) * 257)),
        _pillow("PNG", pictures[0], **many, disposal=2, blend=1),
    ]
    found["avif"] += [_pillow("AVIF", rgb, **notes), _pillow("AVIF", rgba, quality=40)]
    found["jpeg"] = [
        _pillow("JPEG", rgb, **notes),
        _pillow("JPEG", rgb, progressive=True),
        _pillow("JPEG", rgb.convert("CMYK")),
    ]
    found["bmp"] = [_pillow("BMP", rgb), _pillow("BMP", rgba), _pillow("BMP", rgb.quantize(16))]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/2.png", found["png"][1])
        archive.writestr("b/10.png", found["png"][1])
        archive.writestr("animation.json", '{"durations": [40, 50], "loop": 3}')
    found["zip"].append(packed.getvalue())
    found["webm"] += [_video(".webm", "libvpx"), _video(".webm", "libvpx-vp9")]
    found["mov"].append(_video(".mov", "png", "rgb24"))
    found["mp4"] = [_video(".mp4", "libx264"), _video(".mp4", "mpeg4")]
    found["mkv"] = [_video(".mkv", "libx264"), _video(".mkv", "mjpeg", "yuvj420p")]
    return found


def read_all(data: bytes) -> str:
    """Read a file to its end; says what is wrong with the result, or nothing."""
    with open_bytes(data, max_pixels=MOST_PIXELS) as reader:
        count = 0
        for frame, duration in reader:
            count += 1
            if frame.shape != (reader.height, reader.width, 4) or frame.dtype != np.uint8 or not frame.flags.writeable:
                return "wrong frame"
            if duration < 1 or type(duration) is not int:
                return "wrong duration"
            if count > 500:  # an honest file may be long; that is not what is looked for
                return ""
        if reader.num_frames is not None and count != reader.num_frames:
            return "silent drop"
        return "" if count else "no frame"
