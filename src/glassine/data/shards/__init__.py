"""Shards: tar files of stickers, readable by plain `tar`, webdataset and Ray Data, with an index for random access."""

from glassine.data.shards.build import BuildReport, build_shards, contact_sheet, regroup_shards
from glassine.data.shards.frames import FRAME_CODECS, cap_fps, decode_frame, encode_frame, fit_size, resize_frames
from glassine.data.shards.index import (
    INDEX_SUFFIX,
    IndexedSample,
    ShardIndex,
    build_index,
    index_path,
    load_index,
    rebuild_index,
)
from glassine.data.shards.info import StickerInfo
from glassine.data.shards.reader import StickerShards, find_tars, shard_folders
from glassine.data.shards.writer import EncodedSticker, ShardFormat, ShardWriter, encode_sticker

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
    "shard_folders",
]
