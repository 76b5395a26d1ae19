"""Clips that were made for a table, as files that people can compare: `glassine study build` takes the folders."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from glassine.bench.generation.test_set import CaptionedClip
from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.pipelines.text_to_sticker import to_bytes
from glassine.utils.files import atomic_path

DURATION = 125  # milliseconds


def write_clips(made: Tensor, wanted: Sequence[CaptionedClip], folder: Path) -> None:
    """Write `KEY.webp` of each clip, equal names for what several methods made of the same, and `prompts.json`.

    Args:
        made: clips `n f 3 h w`, or straight RGBA `n f 4 h w`, in [0, 1].
        wanted: what they were made for, n.
        folder: of the method; is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for frames, one in zip(to_bytes(made), wanted, strict=True):
        if frames.shape[-1] == 3:
            frames = np.pad(frames, [(0, 0)] * 3 + [(0, 1)], constant_values=255)
        write_sticker(Sticker(frames, (DURATION,) * len(frames)), folder / f"{file_name(one.key)}.webp")
    prompts = {file_name(one.key): one.caption.partition("\t")[2] or one.caption for one in wanted}
    with atomic_path(folder / "prompts.json") as path:
        path.write_text(json.dumps(prompts, ensure_ascii=False, indent=1), encoding="utf-8")


def file_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", name)
