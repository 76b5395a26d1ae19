"""Read and write stickers and videos; everything is straight RGBA."""

from glassine.data.codecs.base import StickerReader, StickerWriter
from glassine.data.codecs.guard import MAX_PIXELS, MAX_STICKER_PIXELS
from glassine.data.codecs.io import (
    check_suffix,
    create_sticker,
    decode_bytes,
    open_bytes,
    open_sticker,
    read_frames,
    read_sticker,
    write_sticker,
)
from glassine.data.codecs.pipes import is_open_already, output_path, shown_name

__all__ = [
    "MAX_PIXELS",
    "MAX_STICKER_PIXELS",
    "StickerReader",
    "StickerWriter",
    "check_suffix",
    "create_sticker",
    "decode_bytes",
    "is_open_already",
    "open_bytes",
    "open_sticker",
    "output_path",
    "read_frames",
    "read_sticker",
    "shown_name",
    "write_sticker",
]
