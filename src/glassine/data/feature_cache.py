"""A teacher's features on disk: images of a dataset with a frozen network's features of them, computed once.

A cache is a folder of `features-NNNNNN.safetensors`. Each holds `pictures` `n 3 h w` uint8, `features` `n c g g`
float16 and, in its header, the identity of the teacher and how the images were made.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from glassine.data.cache_files import CacheFiles, CacheKind, Content, Identity, Progress, write_cache
from glassine.data.dataset import LazyDataset
from glassine.data.sampler import SampleId
from glassine.utils.errors import UserError

FEATURES = CacheKind("features", what="features", makers="teacher", verb="cache-features")


def write_features(
    dataset: Dataset[dict[str, Any]],
    samples: Sequence[SampleId],
    teacher: Callable[[Tensor], Tensor],
    identity: Identity,
    settings: Identity,
    folder: Path,
    grid: int | None = None,
    samples_a_file: int = 256,
    batch_size: int = 8,
    progress: Progress = lambda *_: None,
) -> int:
    """Write the missing files of a cache; returns the number of new files.

    Args:
        dataset: dataset of the data module; the first frame of each sample's `clip` is used.
        samples: samples to use, as (pass, row).
        teacher: network from images `n 3 h w` in [0, 1] to features `n c g g`.
        identity: identity of the teacher.
        settings: how the images were made.
        folder: folder of the cache.
        grid: rows and columns to average the features down to; None keeps the teacher's.
        samples_a_file: samples per file, except the last.
        batch_size: images per forward pass of the teacher.
        progress: called with the number of samples done and the total.

    Raises:
        UserError: the folder contains a cache of another teacher or other images.
    """

    def make(part: Sequence[SampleId], tell: Callable[[int], None]) -> Content:
        pictures, features = [], []
        for start in range(0, len(part), batch_size):
            clips = [dataset[sample]["clip"][0] for sample in part[start : start + batch_size]]
            batch = (torch.stack(clips) * 255).round().byte()  # n 3 h w
            pictures.append(batch)
            features.append(reduced(teacher(batch.float() / 255), grid).half().cpu())  # n c g g
            tell(start + len(batch))
        return {"pictures": torch.cat(pictures), "features": torch.cat(features)}, {}

    made_of = {**settings, "grid": str(grid or "teacher")}
    return write_cache(FEATURES, folder, identity, made_of, samples, make, samples_a_file, progress)


def reduced(features: Tensor, grid: int | None) -> Tensor:
    """`n c g g` averaged to `n c grid grid`, unless they are already that small."""
    if grid is None or grid >= features.shape[-1]:
        return features
    return F.interpolate(features, (grid, grid), mode="area")


class CachedFeatures(LazyDataset):
    """The samples of a cache: `clip` `1 3 h w` in [0, 1], `teacher_features` `c g g`, `key`.

    Args:
        folder: folder of the cache.
        size: height and width that the images must have; None for any.
        split: required split; None for any.

    Attributes:
        identity: identity of the teacher.
        settings: how the images were made.

    Raises:
        UserError: when opened: no cache, an incomplete or damaged one, or one with images of another size or split.
    """

    def __init__(self, folder: Path | str, size: tuple[int, int] | None = None, split: str | None = None) -> None:
        self.folder, self.size, self.split = Path(folder), size, split

    def _open(self) -> None:
        self.files = CacheFiles(FEATURES, self.folder)
        self.identity, self.settings = self.files.identity, self.files.settings
        height, width = self.files.file(0).get_slice("pictures").get_shape()[-2:]
        if self.size is not None and (height, width) != tuple(self.size):
            raise UserError(
                f"pictures in {self.folder} must be of size {self.size[0]} x {self.size[1]}, got {height} x {width}"
            )
        split = self.settings.get("split", self.split)
        if self.split is not None and split != self.split:
            raise UserError(f"features in {self.folder} must be of split {self.split!r}, got {split!r}: cache that one")

    def __len__(self) -> int:
        self.setup()
        return len(self.files)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        self.setup()
        number, place = self.files.find(item if isinstance(item, int) else item[1])
        file = self.files.file(number)
        return {
            "clip": rearrange(file.get_slice("pictures")[place], "c h w -> 1 c h w").float() / 255,
            "teacher_features": file.get_slice("features")[place].float(),
            "key": f"{self.files.paths[number].stem}:{place}",
        }
