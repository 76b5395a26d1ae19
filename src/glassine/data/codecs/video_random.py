"""Jump to single frames of an opaque video with decord, where it is installed."""

from __future__ import annotations

import importlib
import io
from typing import Any, BinaryIO

import numpy as np


def jump_to_frames(file: BinaryIO, indices: list[int]) -> np.ndarray | None:
    """Frames by number, without decoding all that come before.

    Decord knows no alpha, so this is for opaque videos alone.

    Args:
        file: an open video file, or its content as `BytesIO`.
        indices: frame numbers from 0, in the order wanted.

    Returns:
        `f h w 3` uint8, or None where decord is not installed or cannot read the file or a frame; decode it in
        sequence then.
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
