"""A teacher's features on disk: pictures of a data set beside what a frozen network makes of them, made once.

A cache is a folder of `features-NNNNNN.safetensors`. Each holds `pictures` `n 3 h w` uint8, `features` `n c g g`
float16 and, in its header, whose features they are and how the pictures were made.
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
    """Write what is still missing of a cache; returns how many files were made.

    Args:
        dataset: of the data module; the first frame of each sample's `clip` is the picture.
        samples: which samples of it, by pass and row.
        teacher: pictures `n 3 h w` in [0, 1] to features `n c g g`.
        identity: of the teacher.
        settings: how the pictures were made.
        folder: of the cache.
        grid: rows and columns that the features are reduced to, by area; None keeps the teacher's.
        samples_a_file: samples of each file but the last.
        batch_size: pictures that the teacher is shown at a time.
        progress: called with the samples done, and of how many.

    Raises:
        UserError: the folder holds a cache of another teacher or of other pictures.
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
    """`n c g g` averaged to `n c grid grid`, unless they are that small already."""
    if grid is None or grid >= features.shape[-1]:
        return features
    return F.interpolate(features, (grid, grid), mode="area")


class CachedFeatures(LazyDataset):
    """The samples of a cache: `clip` `1 3 h w` in [0, 1], `teacher_features` `c g g`, `key`.

    Args:
        folder: of the cache.
        size: height and width that the pictures must have; None for any.
        split: which they must be of; None for any.

    Attributes:
        identity: of the teacher.
        settings: how the pictures were made.

    Raises:
        UserError: when it is opened: no cache, an unfinished or a damaged one, or one of pictures of another size or
            split.
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
