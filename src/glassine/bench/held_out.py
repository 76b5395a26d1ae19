"""What methods are compared on: held-out stickers under fixed conditions."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from glassine.data.clips import ProceduralClips, ShardClips, spread_rows
from glassine.data.dataset import StickerDataset
from glassine.data.shards import StickerShards
from glassine.data.sticker import SPLITS, Split
from glassine.data.transforms import evaluation_conditions
from glassine.utils.errors import UserError

GLASS = "procedural_glass"
CONDITION_TITLES = {
    "white": "white",
    "gray": "gray",
    "own_color": "own color",
    "own_color_jpeg75": "own color, JPEG 75",
    "white_gif_palette": "GIF palette on white",
    "vae_decoded": "VAE-decoded on white",
    "faded": "faded on white",
    "moving_background": "moving background",
    GLASS: "procedural glass on white",
    "procedural_line_art": "procedural line art on white",
    "procedural_flat": "procedural flat drawing on white",
    "procedural_photo": "procedural photo cut-out on white",
    "procedural_group": "procedural, several see-through things on white",
}
PROCEDURAL = "procedural_"  # the rest of such a name is a family of the procedural source


class HeldOut:
    """One animated sticker of each held-out group (its first), so that skin tones do not count sixfold.

    Args:
        root: folder of shards, or several.
        split: `test`; `val` for choosing settings.
        size: height and width in pixels.
        num_frames: frames of each clip, evenly spaced over the sticker.
        limit: most groups, evenly spread over all; None for all.
        round_trip: encodes and decodes `f 3 h w` in [0, 1]; None leaves the condition `vae_decoded` out.

    Attributes:
        name: of the folder, or of all of them.
        rows: the stickers' rows in the shards.
        conditions: names, in the table's order.

    Raises:
        UserError: no such folder, no sticker in the split, or numbers out of range.
    """

    def __init__(
        self,
        root: str | list[str],
        split: Split = "test",
        size: int = 256,
        num_frames: int = 8,
        limit: int | None = None,
        round_trip: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if size < 16 or size % 16 or num_frames < 1 or (limit is not None and limit < 1):
            raise UserError(
                f"size {size}, {num_frames} frames, limit {limit} came; give a multiple of 16, 1 or more, 1 or more"
            )
        self.split, self.size, self.num_frames = split, size, num_frames
        self.name = "+".join(Path(folder).name for folder in ([root] if isinstance(root, str) else root))
        self.shards = StickerShards(root)
        self.rows = first_of_groups(self.shards, split, limit)
        if not len(self.rows):
            raise UserError(f"{root} has no animated sticker in split {split!r}; see `glassine data info {root}`")
        self._transforms = {condition.name: condition for condition in evaluation_conditions(round_trip)}
        known = self._transforms.keys()
        self.conditions = tuple(n for n in CONDITION_TITLES if n in known or n.startswith(PROCEDURAL))

    def __len__(self) -> int:
        return len(self.rows)

    def dataset(self, condition: str) -> StickerDataset:
        """The clips of one condition, as samples of the data module.

        Raises:
            UserError: an unknown condition.
        """
        if condition not in self.conditions:
            raise UserError(f"condition {condition!r} came; choose from {', '.join(self.conditions)}")
        if condition.startswith(PROCEDURAL):
            return self.procedural(condition.removeprefix(PROCEDURAL))
        clips = ShardClips(self.shards, self.rows)
        return StickerDataset([clips], self.num_frames, (self.size, self.size), self._transforms[condition])

    def procedural(self, family: str, condition: str = "white") -> StickerDataset:
        """As many procedural stickers of a family as there are real ones, under a condition for those."""
        # the series of this split in the data module, whose training series never meets it
        clips = ProceduralClips(len(self), SPLITS.index(self.split), self.size, [family])
        return StickerDataset([clips], self.num_frames, (self.size, self.size), self._transforms[condition])

    def keys(self) -> list[str]:
        """The stickers' keys."""
        return [self.shards.key(int(row)) for row in self.rows]

    def fingerprint(self, condition: str) -> str:
        """Changes with the stickers, and with what the condition makes of the first of them."""
        sample = self.dataset(condition)[0]
        state = hashlib.blake2b(repr((self.keys(), self.size, self.num_frames)).encode(), digest_size=6)
        for name in ("clip", "alpha"):
            state.update((sample[name] * 255).round().byte().numpy().tobytes())
        return state.hexdigest()


def first_of_groups(shards: StickerShards, split: Split, limit: int | None = None) -> np.ndarray:
    """Rows of the first animated sticker of each group of a split; at most `limit`, evenly spread. `n` int64."""
    first: dict[str, int] = {}
    for row in shards.select(split, stills=False).tolist():
        first.setdefault(shards.group(row), row)
    return spread_rows(np.array(list(first.values()), np.int64), limit)


def unique_samples(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each sticker once: the data set puts the next one in the place of a damaged one."""
    return list({sample["key"]: sample for sample in samples}.values())
