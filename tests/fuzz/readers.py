"""Small files of every kind that is read, to be mutated, and how they are read to their end."""

from __future__ import annotations

import functools
import gzip
import importlib
import io
import sys
import tempfile
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageCms

from glassine.data.codecs import open_bytes, write_sticker
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
drawings, heic, text = (
    importlib.import_module(name) for name in ("tests.helpers.drawings", "tests.helpers.heic", "mutate_text")
)

REFUSAL = UserError
CHANGES: dict[str, text.Change] = {
    "lottie": text.mutated_json,
    "tgs": text.gzipped(text.mutated_json),
    "svg": text.mutated_xml,
    "svgz": text.gzipped(text.mutated_xml),
    "animation.json": text.zipped(text.mutated_json, ".json"),
}
"""Kinds whose text is changed and stays well-formed; the others' bytes are changed as they lie in the file."""
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
    found["apng"] = [found["png"].pop(), _pillow("PNG", pictures[0], **many, disposal=2, blend=1)]
    found["png"] += [
        _pillow("PNG", rgba, **notes),
        _pillow("PNG", rgb.convert("L"), transparency=9),
        _pillow("PNG", rgb.quantize(4), bits=2),
        _pillow("PNG", Image.fromarray(frames()[0, ..., 0].astype(np.uint16) * 257)),
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
        archive.writestr("b/2.png", found["png"][0])
        archive.writestr("b/10.png", found["png"][0])
        archive.writestr("animation.json", '{"durations": [40, 50], "loop": 3}')
    found["zip"].append(packed.getvalue())
    found["webm"] += [_video(".webm", "libvpx"), _video(".webm", "libvpx-vp9")]
    found["mov"].append(_video(".mov", "png", "rgb24"))
    found["mp4"] = [_video(".mp4", "libx264"), _video(".mp4", "mpeg4")]
    found["mkv"] = [_video(".mkv", "libx264"), _video(".mkv", "mjpeg", "yuvj420p")]
    found["heic"] = [heic.heic(), heic.heic(alpha=False, quarter_turns=1)]
    found["animation.json"] = found["zip"]
    return found | _drawings()


def _drawings() -> dict[str, list[bytes]]:
    """Vector files; those whose kind says "bytes" get their bytes damaged, the others are in `CHANGES`."""
    square, layer, fixed = drawings.square(), drawings.layer, drawings.fixed
    line = {"ty": "st", "c": fixed(drawings.RED), "o": fixed(80), "w": fixed(3), "lc": 2, "lj": 2}
    line["d"] = [{"n": "d", "v": fixed(5)}, {"n": "g", "v": fixed(3)}]
    curve = {"i": [[0, 0], [5, 5], [0, 0]], "o": [[3, 0], [0, 0], [0, 9]], "v": [[0, 0], [20, 0], [9, 20]], "c": True}
    moved = {key: fixed(value) for key, value in {"p": [4, 0], "a": [0, 0], "s": [90, 90], "r": 10, "so": 100}.items()}
    colors = {"p": 2, "k": fixed([0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0.5])}
    shapes = [
        {"ty": "sh", "ks": fixed(curve)},
        {"ty": "el", "s": fixed([20, 12]), "p": fixed([3, 3])},
        {"ty": "sr", "sy": 1, "pt": fixed(5), "p": fixed([0, 0]), "r": fixed(0), "or": fixed(9), "ir": fixed(4)},
        line,
        {"ty": "gf", "t": 2, "s": fixed([0, 0]), "e": fixed([9, 9]), "g": colors, "o": fixed(70), "r": 2},
        {"ty": "tm", "s": fixed(10), "e": fixed(80), "o": fixed(0), "m": 1},
        {"ty": "rp", "c": fixed(3), "o": fixed(0), "m": 1, "tr": {**moved, "eo": fixed(50)}},
    ]
    mask = {"inv": False, "mode": "a", "pt": fixed(curve), "o": fixed(90)}
    inner = layer(square, ind=2, parent=1, tt=1, hasMask=True, masksProperties=[mask])
    rich = drawings.lottie(
        [layer(shapes), inner, {**layer([]), "ty": 0, "refId": "c", "w": 64, "h": 64, "tm": fixed(0.1)}],
        assets=[{"id": "c", "layers": [layer(square)]}],
    )
    animations = [drawings.lottie(), drawings.sliding(), rich]
    gradient = '<linearGradient id="a"><stop offset="0.2" stop-color="red"/><stop offset="1"/></linearGradient>'
    clips = '<clipPath id="b"><circle cx="9" cy="9" r="7"/></clipPath><mask id="m"><rect width="20" height="9"/></mask>'
    blur = '<filter id="f"><feGaussianBlur stdDeviation="2"/><feOffset dx="1"/></filter>'
    marks = '<pattern id="p" width="4" height="4"><rect width="2" height="2"/></pattern>'
    marks += '<symbol id="s"><path d="M0 0h9v9"/></symbol>'
    body = f"<defs>{gradient}{clips}{blur}{marks}</defs><style>.x{{fill:url(#p);stroke-dasharray:3 1}}</style>"
    body += '<g transform="rotate(9 3 3) scale(0.9)"><rect class="x" x="2" y="2" width="20" height="9" rx="2"/></g>'
    body += '<path d="M2 2c3 4 5 6 9 9a4 4 0 0 1 9 9z" fill="url(#a)" clip-path="url(#b)" filter="url(#f)"/>'
    body += '<use href="#s" x="3" mask="url(#m)"/><polyline points="1,2 9,9 3,20" stroke="#00f" stroke-width="1.5"/>'
    svgs = [drawings.svg(), drawings.svg(body, 'width="64" height="48"')]
    texts = [drawings.as_json(animation) for animation in animations]
    return {
        "lottie": texts,
        "lottie bytes": texts,
        "tgs": [gzip.compress(data, mtime=0) for data in texts],
        "tgs bytes": [gzip.compress(data, mtime=0) for data in texts],
        "dotlottie bytes": [drawings.as_dotlottie(animation) for animation in animations],
        "svg": svgs,
        "svg bytes": svgs,
        "svgz": [gzip.compress(data, mtime=0) for data in svgs],
    }


def read_all(data: bytes) -> str:
    """Read a file to its end; says what is wrong with the result, or nothing."""
    with warnings.catch_warnings(action="ignore"):  # of what is not drawn, which is right
        return _read_all(data)


def _read_all(data: bytes) -> str:
    # small: what is looked for does not hang on the size, and an SVG would be drawn with 512 pixels
    size = 64 if data.lstrip()[:1] in (b"<", b"\x1f") else None
    with open_bytes(data, max_pixels=MOST_PIXELS, size=size) as reader:
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


def count_frames(data: bytes) -> int:
    """How many frames come out of a file."""
    with open_bytes(data, max_pixels=MOST_PIXELS) as reader:
        return sum(1 for _ in reader)
