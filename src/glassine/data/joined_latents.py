"""Several caches of latents, learned from as one."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from torch.utils.data import Dataset

from glassine.data.latent_cache import CachedLatents
from glassine.data.sampler import SampleId
from glassine.errors import UserError


class JoinedLatents(Dataset[dict[str, Any]]):
    """The samples of all caches, one after the other; see :class:`~glassine.data.latent_cache.CachedLatents`.

    Args:
        caches: at least one; all made by the same VAE and text encoder.

    Attributes:
        identity: of these.
        has_motion: whether samples have `motion`: only where all caches have it, so that batches are alike.

    Raises:
        UserError: no cache, or caches of different networks.
    """

    num_damaged = 0

    def __init__(self, caches: Sequence[CachedLatents]) -> None:
        if not caches:
            raise UserError("no folder of latents came; give at least one, or null for training on clips")
        self.caches, self.identity = list(caches), caches[0].identity
        for cache in caches:
            if (cache.identity, cache.settings["tokens"]) != (self.identity, caches[0].settings["tokens"]):
                folders = f"{caches[0].folder} and {cache.folder}"
                raise UserError(f"{folders} were made by different networks; make both with the same VAE and encoder")
        self.has_motion = all(cache.has_motion for cache in caches)
        self._ends = list(accumulate(len(cache) for cache in caches))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        pass_number, row = (0, item) if isinstance(item, int) else item
        for cache, end in zip(self.caches, self._ends, strict=True):
            if row < end:
                sample = cache[pass_number, row - end + len(cache)]
                return sample if self.has_motion else {name: sample[name] for name in sample if name != "motion"}
        raise IndexError(row)

    def damage_line(self) -> str:
        """For the data module: a cache is whole or is refused."""
        return ""
