"""Shards: tar files of stickers that plain `tar`, webdataset and Ray Data read, with an index for random access."""

from .build import BuildReport, build_shards
from .contact_sheet import contact_sheet
from .frame_codecs import FRAME_CODECS, decode_frame, encode_frame
from .index import INDEX_SUFFIX, IndexedSample, ShardIndex, build_index, index_path, load_index, rebuild_index
from .info import StickerInfo
from .reader import StickerShards, find_tars
from .regroup import regroup_shards
from .resample import cap_fps, fit_size, resize_frames
from .writer import EncodedSticker, ShardFormat, ShardWriter, encode_sticker

__all__ = [
    "FRAME_CODECS",
    "INDEX_SUFFIX",
    "BuildReport",
    "EncodedSticker",
    "IndexedSample",
    "ShardFormat",
    "ShardIndex",
    "ShardWriter",
    "StickerInfo",
    "StickerShards",
    "build_index",
    "build_shards",
    "cap_fps",
    "contact_sheet",
    "decode_frame",
    "encode_frame",
    "encode_sticker",
    "find_tars",
    "fit_size",
    "index_path",
    "load_index",
    "rebuild_index",
    "regroup_shards",
    "resize_frames",
]
