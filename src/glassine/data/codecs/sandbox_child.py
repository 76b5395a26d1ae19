"""The process that decodes AVIF and HEIC, whose decoders allocate whatever a file declares.

Run as a program by `sandbox.py`: `python sandbox_child.py KIND MEMORY_BYTES`. It imports nothing from glassine, so that
it starts in a tenth of a second. Input: the size of the file (8 bytes, little-endian) and the file; then a byte for
"go". Output: the size of a JSON note (4 bytes) and the note; then each frame's width and height (4 bytes each) and its
RGBA pixels. Errors are a line on standard error, and exit code 1.
"""

import base64
import io
import json
import os
import struct
import sys


def main() -> None:
    """Read one file, and send its metadata and frames."""
    kind, most = sys.argv[1], int(sys.argv[2])
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing else may write to the frame stream
    try:
        import resource
    except ImportError:  # Windows has no such limit
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from PIL import AvifImagePlugin, Image

    Image.MAX_IMAGE_PIXELS = None  # the caller has its own limit
    AvifImagePlugin.DEFAULT_MAX_THREADS = min(4, os.cpu_count() or 1)
    if kind == "HEIF":
        try:
            import pillow_heif as heif
        except ImportError:
            import pi_heif as heif
        heif.register_heif_opener(thumbnails=False)
    (size,) = struct.unpack("<Q", source.read(8))
    image = Image.open(io.BytesIO(source.read(size)), formats=(kind,))
    # an HEIC may contain many images, of which the primary one is used; only AVIF has animations
    frames = getattr(image, "n_frames", 1) if kind == "AVIF" else 1
    profile, exif = (image.info.get(key) or b"" for key in ("icc_profile", "exif"))
    note = {
        "frames": frames,
        "size": image.size,
        "profile": base64.b64encode(profile).decode(),
        "exif": base64.b64encode(exif[: 2**16]).decode(),
        "alpha": "A" in image.getbands(),
    }
    packed = json.dumps(note).encode()
    out.write(struct.pack("<I", len(packed)) + packed)
    if not source.read(1):
        return
    for number in range(frames):
        if frames > 1:
            image.seek(number)
        picture = image.convert("RGBA")
        out.write(struct.pack("<II", *picture.size))
        _write_all(out, picture.tobytes())


def _write_all(out: io.RawIOBase, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) or 0 :]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(1)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}"[:300].replace("\n", " "), file=sys.stderr, flush=True)
        os._exit(1)
