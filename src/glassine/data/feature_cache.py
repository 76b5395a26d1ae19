"""A teacher's features on disk: pictures of a data set beside what a frozen network makes of them, made once.

A cache is a folder of `features-NNNNNN.safetensors`. Each holds `pictures` `n 3 h w` uint8, `features` `n c g g`
float16 and, in its header, whose features they are and how the pictures were made. It is written file by file, so that
a stopped run goes on with the next one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from glassine.atomic import atomic_path
from glassine.data.sampler import SampleId
from glassine.errors import UserError

Identity = Mapping[str, str]
Progress = Callable[[int, int], None]


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
    count = -(-len(samples) // samples_a_file)
    header = {
        "identity": json.dumps(dict(identity)),
        "settings": json.dumps({**settings, "grid": str(grid or "teacher"), "samples": str(len(samples))}),
        "files": str(count),
    }
    for path in sorted(folder.glob("features-*.safetensors")):  # before anything is written
        check_header(path, read_header(path), header)
    folder.mkdir(parents=True, exist_ok=True)
    made = 0
    for number in range(count):
        path = folder / f"features-{number:06d}.safetensors"
        part = samples[number * samples_a_file : (number + 1) * samples_a_file]
        if not path.is_file():
            pictures, features = [], []
            for start in range(0, len(part), batch_size):
                clips = [dataset[sample]["clip"][0] for sample in part[start : start + batch_size]]
                batch = (torch.stack(clips) * 255).round().byte()  # n 3 h w
                pictures.append(batch)
                features.append(reduced(teacher(batch.float() / 255), grid).half().cpu())  # n c g g
                progress(number * samples_a_file + start + len(batch), len(samples))
            with atomic_path(path) as temporary:
                save_file({"pictures": torch.cat(pictures), "features": torch.cat(features)}, temporary, header)
            made += 1
        progress(number * samples_a_file + len(part), len(samples))
    return made


def reduced(features: Tensor, grid: int | None) -> Tensor:
    """`n c g g` averaged to `n c grid grid`, unless they are that small already."""
    if grid is None or grid >= features.shape[-1]:
        return features
    return F.interpolate(features, (grid, grid), mode="area")


class CachedFeatures(Dataset[dict[str, Any]]):
    """The samples of a cache: `clip` `1 3 h w` in [0, 1], `teacher_features` `c g g`, `key`.

    Args:
        folder: of the cache.
        size: height and width that the pictures must have; None for any.

    Attributes:
        identity: of the teacher.
        settings: how the pictures were made.

    Raises:
        UserError: no cache, an unfinished or a damaged one, or one of pictures of another size.
    """

    num_damaged = 0

    def __init__(self, folder: Path | str, size: tuple[int, int] | None = None) -> None:
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("features-*.safetensors"))
        if not self.paths:
            raise UserError(f"no cached features in {self.folder}: make them with `glassine data cache-features`")
        headers = [read_header(path) for path in self.paths]
        for path, header in zip(self.paths, headers, strict=True):
            check_header(path, header, headers[0])
        if len(self.paths) < int(headers[0]["files"]):
            raise UserError(
                f"{self.folder} has {len(self.paths)} of {headers[0]['files']} files: run the same "
                "`glassine data cache-features` again to finish it"
            )
        with safe_open(self.paths[0], framework="pt") as file:
            found = tuple(file.get_slice("pictures").get_shape()[-2:])
        if size is not None and found != tuple(size):
            raise UserError(
                f"{self.folder} holds pictures of {found[0]} x {found[1]} pixels, but data.size is "
                f"{size[0]} x {size[1]}: make them equal"
            )
        self.identity: dict[str, str] = json.loads(headers[0]["identity"])
        self.settings: dict[str, str] = json.loads(headers[0]["settings"])
        self._counts = [int(header["count"]) for header in headers]
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return sum(self._counts)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        row = item if isinstance(item, int) else item[1]
        number, place = divmod(row, self._counts[0])
        if number not in self._open:  # one file handle a process
            self._open[number] = safe_open(self.paths[number], framework="pt")
        file = self._open[number]
        return {
            "clip": rearrange(file.get_slice("pictures")[place], "c h w -> 1 c h w").float() / 255,
            "teacher_features": file.get_slice("features")[place].float(),
            "key": f"{self.paths[number].stem}:{place}",
        }

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files, which another process cannot use."""
        return {**self.__dict__, "_open": {}}

    def damage_line(self) -> str:
        """For the data module: a cache is whole or is refused."""
        return ""


def read_header(path: Path) -> dict[str, str]:
    """The header of a file of a cache, and its `count` of samples; UserError where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            header["count"] = str(file.get_slice("features").get_shape()[0])
            if missing := {"identity", "settings", "files"} - header.keys():
                raise KeyError(f"no {min(missing)}")
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(f"{path} is not a file of cached features or is damaged ({error}): delete it") from error
    return header


def check_header(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raise UserError where a file was made by another teacher or of other pictures."""
    for name, what in (("identity", "another teacher"), ("settings", "other pictures"), ("files", "another division")):
        if found[name] != wanted[name]:
            raise UserError(
                f"{path} holds features of {what} ({plainly(found[name])}) than this run's ({plainly(wanted[name])}): "
                "choose another folder or delete this one"
            )


def plainly(text: str) -> str:
    """A JSON dict as words."""
    return ", ".join(f"{name} {value}" for name, value in json.loads(text).items())
