"""Look at a finished data set anew: do near copies of its shards' own pixels lie on two sides of a split?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from glassine.curation.duplicates import Limits, PrintStore, near_copies
from glassine.curation.ingest import SMALL
from glassine.curation.prints import make_prints, moments
from glassine.data.shards import StickerShards, resize_frames
from glassine.utils.errors import UserError


def near_copies_across_splits(dataset: Path, limits: Limits | None = None) -> tuple[int, list[str]]:
    """Compare all stickers of shards with each other; nothing that the curation wrote about them is used.

    Args:
        dataset: a folder with shards.
        limits: what counts as a near copy.

    Returns:
        How many were compared, and the near copies in different splits, named.

    Raises:
        UserError: no shards, or a damaged sticker.
    """
    shards = StickerShards(dataset)
    with tempfile.TemporaryDirectory() as folder:
        store = PrintStore(Path(folder) / "thumbs.bin")
        for row in range(len(shards)):
            durations = shards.durations(row)
            step = max(1, len(durations) // 32)  # where it is visible is looked for in so many
            places = sorted({*range(0, len(durations), step), *moments(durations)})
            try:
                frames = shards.read(row, places)
            except ValueError as error:
                raise UserError(f"{shards.name(row)} is damaged ({error}): make the shards again") from error
            scale = min(1.0, SMALL / max(frames.shape[1:3]))
            size = (max(1, round(frames.shape[1] * scale)), max(1, round(frames.shape[2] * scale)))
            small = resize_frames(frames, *size) if scale < 1 else frames
            store.add(
                make_prints(small, durations, [places.index(place) for place in moments(durations)]), len(durations) > 1
            )
        pairs = near_copies(store.finish(), limits)
        found = [
            f"{shards.key(p.left)} ({shards.split(p.left)}) and {shards.key(p.right)} ({shards.split(p.right)}): "
            f"{p.relation}"
            for p in pairs
            if shards.split(p.left) != shards.split(p.right)
        ]
    return len(shards), found
