"""Shared code of the on-disk caches: a folder of files, each of which records its content and the networks behind it.

A cache is written file by file, so that an interrupted run resumes with the next one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from glassine.data.sampler import SampleId
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, open_plain, sole_writer
from glassine.utils.tensors import write_tensors

Identity = Mapping[str, str]
Progress = Callable[[int, int], None]
Content = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors of a file, and additional header fields."""


@dataclass(frozen=True)
class CacheKind:
    """One kind of cache.

    Attributes:
        stem: stem of its files, `STEM-NNNNNN.safetensors`; also the name of the tensor whose first axis is the samples.
        what: its content, for messages.
        makers: the networks that produce it, for messages.
        verb: the `glassine data` verb that writes it.
    """

    stem: str
    what: str
    makers: str
    verb: str

    def path(self, folder: Path, number: int) -> Path:
        """The file with this number."""
        return folder / f"{self.stem}-{number:06d}.safetensors"

    def paths(self, folder: Path) -> list[Path]:
        """The existing files."""
        return sorted(folder.glob(f"{self.stem}-*.safetensors"))

    def header(self, path: Path) -> dict[str, str]:
        """The header of a file, and its `count` of samples; raises UserError if it is damaged."""
        try:
            open_plain(path).close()  # a pipe would hang
            with safe_open(path, framework="pt") as file:
                header = dict(file.metadata() or {})
                header["count"] = str(file.get_slice(self.stem).get_shape()[0])
                if missing := {"identity", "settings", "files"} - header.keys():
                    raise KeyError(f"no {min(missing)}")
        except (SafetensorError, KeyError, IndexError, OSError) as error:
            raise UserError(f"{path} is not a file of cached {self.what} or is damaged ({error}): delete it") from error
        return header

    def check(self, path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Raise UserError if a file was made by other networks or from other images."""
        reasons = {"identity": f"another {self.makers}", "settings": "other pictures", "files": "another division"}
        for name, what in reasons.items():
            if found[name] != wanted[name]:
                raise UserError(
                    f"{path} holds {self.what} of {what} ({plainly(found[name])}) than this run's "
                    f"({plainly(wanted[name])}): choose another folder or delete this one"
                )


def write_cache(
    kind: CacheKind,
    folder: Path,
    identity: Identity,
    settings: Identity,
    samples: Sequence[SampleId],
    make: Callable[[Sequence[SampleId], Callable[[int], None]], Content],
    samples_a_file: int,
    progress: Progress = lambda *_: None,
) -> int:
    """Write the missing files of a cache; returns the number of new files.

    Args:
        kind: kind of cache.
        folder: folder of the cache.
        identity: identity of the networks that produce it.
        settings: how the images were made.
        samples: all samples, as (pass, row).
        make: computes the content for some samples; it gets a function to report progress.
        samples_a_file: samples per file, except the last.
        progress: called with the number of samples done and the total.

    Raises:
        UserError: the folder contains another cache.
    """
    count = -(-len(samples) // samples_a_file)
    header = {
        "identity": json.dumps(dict(identity)),
        "settings": json.dumps({**settings, "samples": str(len(samples))}),
        "files": str(count),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder, f"cached {kind.what}"):
        for path in kind.paths(folder):  # before anything is written
            kind.check(path, kind.header(path), header)
        return _write_missing(kind, folder, header, samples, make, samples_a_file, progress)


def _write_missing(
    kind: CacheKind,
    folder: Path,
    header: dict[str, str],
    samples: Sequence[SampleId],
    make: Callable[[Sequence[SampleId], Callable[[int], None]], Content],
    samples_a_file: int,
    progress: Progress,
) -> int:
    made = 0
    for number in range(int(header["files"])):
        path, start = kind.path(folder, number), number * samples_a_file
        part = samples[start : start + samples_a_file]
        if not path.is_file():
            tensors, said = make(part, partial(_tell, progress, start, len(samples)))
            with atomic_path(path) as temporary:
                write_tensors(tensors, temporary, header | said)
            made += 1
        progress(start + len(part), len(samples))
    return made


def _tell(progress: Progress, start: int, total: int, done: int) -> None:
    progress(start + done, total)


class CacheFiles:
    """The files of a finished cache.

    Args:
        kind: kind of cache.
        folder: folder of the cache.

    Attributes:
        identity: identity of the networks that produced it.
        settings: how the images were made.
        headers: headers of the files.

    Raises:
        UserError: no cache, an incomplete or damaged one, or files that do not belong together.
    """

    def __init__(self, kind: CacheKind, folder: Path) -> None:
        self.paths = kind.paths(folder)
        if not self.paths:
            raise UserError(f"no cached {kind.what} in {folder}: make them with `glassine data {kind.verb}`")
        self.headers = [kind.header(path) for path in self.paths]
        for path, header in zip(self.paths, self.headers, strict=True):
            kind.check(path, header, self.headers[0])
        if len(self.paths) < int(self.headers[0]["files"]):
            raise UserError(
                f"{folder} has {len(self.paths)} of {self.headers[0]['files']} files: run the same "
                f"`glassine data {kind.verb}` again to finish it"
            )
        self.identity: dict[str, str] = json.loads(self.headers[0]["identity"])
        self.settings: dict[str, str] = json.loads(self.headers[0]["settings"])
        self._counts = [int(header["count"]) for header in self.headers]
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return sum(self._counts)

    def find(self, row: int) -> tuple[int, int]:
        """The number of the file that contains a sample, and its index in it."""
        return divmod(row, self._counts[0])

    def file(self, number: int) -> Any:
        """This file, open; one handle per process."""
        if number not in self._open:
            self._open[number] = safe_open(self.paths[number], framework="pt")
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        """Drop the open files, which another process cannot use."""
        return {**self.__dict__, "_open": {}}


def plainly(text: str) -> str:
    """A JSON dict as readable text; other JSON unchanged."""
    content = json.loads(text)
    return ", ".join(f"{name} {value}" for name, value in content.items()) if isinstance(content, dict) else text
