"""Read and write stickers and videos; everything is straight RGBA."""

from glassine.data.codecs.creating import check_suffix, create_sticker
from glassine.data.codecs.guard import MAX_PIXELS, MAX_STICKER_PIXELS
from glassine.data.codecs.opening import open_bytes, open_sticker
from glassine.data.codecs.pipes import is_open_already, output_path, shown_name
from glassine.data.codecs.reader import StickerReader
from glassine.data.codecs.whole import decode_bytes, read_frames, read_sticker, write_sticker
from glassine.data.codecs.writer import StickerWriter

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
