"""Pictures with their closed-form alpha on disk, for training the network that corrects it.

A cache is a folder of `cuts-NNNNNN.safetensors`. Each holds `cuts` `n 9 h w` uint8: picture (3), estimated background
(3), alpha with closed areas as decided, alpha with them clear, true alpha; and `noise` `n`, in 255ths.
"""

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from glassine.data.cache_files import CacheFiles, CacheKind, Content, Progress, write_cache
from glassine.data.clips import spread_rows
from glassine.data.dataset import LazyDataset
from glassine.data.sampler import SampleId, sample_generator
from glassine.utils.errors import UserError

CUTS = CacheKind("cuts", what="cut-outs", makers="closed form", verb="cache-cuts")
Cut = Callable[[np.ndarray], tuple[np.ndarray, float]]
"""A picture `h w 3` uint8 to estimated background and two alphas, `h w 5` uint8, and its noise in 255ths."""


def write_cuts(
    dataset: Dataset[dict[str, Any]],
    samples: Sequence[SampleId],
    cut: Cut,
    settings: dict[str, str],
    folder: Path,
    samples_a_file: int = 64,
    progress: Progress = lambda *_: None,
) -> int:
    """Write the missing files of a cache; returns the number of new files.

    Args:
        dataset: sample (view, row) has `clip` `1 3 h w` and `alpha` `1 1 h w` in [0, 1], `condition` and `key`.
        samples: which, as (view, row).
        cut: closed form.
        settings: how the pictures were made.
        folder: folder of the cache.
        samples_a_file: pictures per file, except the last.
        progress: called with the number of pictures done and the total.

    Raises:
        UserError: the folder contains another cache.
    """

    def make(part: Sequence[SampleId], tell: Callable[[int], None]) -> Content:
        planes, noises, about = [], [], []
        for done, sample_id in enumerate(part):
            sample = dataset[sample_id]
            picture = to_bytes(sample["clip"][0])  # 3 h w
            found, noise = cut(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
            planes.append(torch.cat([picture, torch.from_numpy(found).permute(2, 0, 1), to_bytes(sample["alpha"][0])]))
            noises.append(noise)
            about.append([sample["key"], sample["condition"]])
            tell(done + 1)
        said = {"about": json.dumps(about, ensure_ascii=False)}
        return {"cuts": torch.stack(planes), "noise": torch.tensor(noises, dtype=torch.float32)}, said

    return write_cache(CUTS, folder, {"closed form": "2"}, settings, samples, make, samples_a_file, progress)


def to_bytes(planes: Tensor) -> Tensor:
    """[0, 1] to 0..255 uint8."""
    return (planes * 255 + 0.5).clamp(0, 255).to(torch.uint8)


class CachedCuts(LazyDataset):
    """Pictures with closed-form and true alpha from caches of `glassine data cache-cuts`.

    A sample has `picture` and `behind` `3 h w`, `closed`, `opened` and `alpha` `1 h w`, all float32 in [0, 1], `noise`
    in 255ths, `key` and `condition`. In training it is mirrored, its color channels change places, and its colors are
    inverted, each at random.

    Args:
        folders: of the caches.
        training: whether samples vary.
        limit: maximum number of samples, evenly spaced; None for all.
        reduce: factor by which height and width are reduced, for a fast start of a training.
        seed: of what is random.

    Raises:
        UserError: no cache, or a damaged one.
    """

    def __init__(
        self,
        folders: str | list[str],
        training: bool = False,
        limit: int | None = None,
        reduce: int = 1,
        seed: int | None = None,
    ) -> None:
        self.folders = [folders] if isinstance(folders, str) else list(folders)
        if not self.folders or (limit is not None and limit < 1):
            raise UserError(f"folders must be named and limit at least 1, got {self.folders} and {limit}")
        if reduce < 1:
            raise UserError(f"reduce must be at least 1, got {reduce}")
        self.training, self.limit, self.reduce, self.seed = training, limit, reduce, seed

    def _open(self) -> None:
        self.files = [CacheFiles(CUTS, Path(folder)) for folder in self.folders]
        self._ends = list(accumulate(len(files) for files in self.files))
        self._rows = spread_rows(np.arange(self._ends[-1]), self.limit).tolist()
        self._about = [[json.loads(header["about"]) for header in files.headers] for files in self.files]

    def __len__(self) -> int:
        self.setup()
        return len(self._rows)

    def evaluation(self, split: str) -> "CachedCuts":
        """The same samples, unvaried; a split has a cache of its own."""
        return CachedCuts(self.folders, limit=self.limit, reduce=self.reduce, seed=self.seed)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        self.setup()
        epoch, place = (0, item) if isinstance(item, int) else item
        row = self._rows[place]
        folder = next(number for number, end in enumerate(self._ends) if row < end)
        row -= self._ends[folder - 1] if folder else 0
        number, index = self.files[folder].find(row)
        file = self.files[folder].file(number)
        planes = file.get_slice("cuts")[index].float() / 255  # 9 h w
        if self.reduce > 1:
            planes = F.avg_pool2d(planes, self.reduce)
        noise = float(file.get_slice("noise")[index])
        if self.training:
            planes = varied(planes, sample_generator(self.seed or 0, epoch, place))
        names = ("picture", "behind", "closed", "opened", "alpha")
        key, condition = self._about[folder][number][index]
        parts = dict(zip(names, planes.split((3, 3, 1, 1, 1)), strict=True))
        return {**parts, "noise": noise, "key": key, "condition": condition}


def varied(planes: Tensor, generator: torch.Generator) -> Tensor:
    """Nine planes `9 h w` in [0, 1], mirrored, with the channels in another order and inverted, each at random."""
    mirror, invert = (torch.rand(2, generator=generator) < torch.tensor([0.5, 0.3])).tolist()
    order = torch.randperm(3, generator=generator)
    colors = torch.cat([planes[:3][order], planes[3:6][order]])
    planes = torch.cat([1 - colors if invert else colors, planes[6:]])
    return planes.flip(-1) if mirror else planes
