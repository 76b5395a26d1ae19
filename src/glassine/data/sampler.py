"""A sampler that resumes with the next sample, across ranks, worker prefetching and changed batch sizes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

SampleId = tuple[int, int]
"""Epoch (a pass over the data) and row: all randomness of a sample derives from (seed, epoch, row)."""


class ResumableSampler(DistributedSampler[Any]):
    """Training order as one endless stream: epoch 0 over all samples shuffled, then epoch 1 reshuffled, and so on.

    The stream is split into global batches of `batch_size * world_size` samples; rank r takes the r-th part of each.
    Epochs follow each other without a gap, so no sample is dropped at the end of one and none is repeated to fill a
    batch: every sample occurs exactly once per epoch. The state is a single number, the number of processed samples of
    the stream. Batches prefetched by workers do not count: `finished` returns how many the trainer has actually
    finished. A run may resume with another batch size or number of ranks; the stream is the same.

    It is a `DistributedSampler` so that Lightning does not replace it; `set_epoch` only matters without `finished`.

    Args:
        length: number of samples, at least 1.
        batch_size: per rank.
        seed: seed of the order.
        rank: this process, from 0.
        world_size: number of processes.
        finished: returns the batches finished since the very first, counted by the trainer and restored from a
            checkpoint; None without a trainer: epoch e of `set_epoch` then starts after e times `len(self)` samples.

    Yields:
        :data:`SampleId`, `len(self)` of them per iteration.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        finished: Callable[[], int] | None = None,
    ) -> None:
        if length < 1 or batch_size < 1:
            raise ValueError(f"length and batch_size must be at least 1, got {length} and {batch_size}")
        super().__init__(_Rows(length), num_replicas=world_size, rank=rank, seed=seed)
        self.length = length
        self.batch_size = batch_size
        self.finished = finished
        self._origin = {"samples": 0, "batches": 0}

    @property
    def global_batch(self) -> int:
        """Samples of one batch over all ranks."""
        return self.batch_size * self.num_replicas

    def __len__(self) -> int:
        """Samples of one epoch on this rank: full batches only, at least one; the remainder starts the next epoch."""
        return max(1, self.length // self.global_batch) * self.batch_size

    def position(self) -> int:
        """Processed samples of the stream, over all ranks."""
        if self.finished is None:
            return self._origin["samples"] + self.epoch * len(self) * self.num_replicas
        return self._origin["samples"] + (self.finished() - self._origin["batches"]) * self.global_batch

    def state_dict(self) -> dict[str, int]:
        """`samples` done and `batches` finished; the same on every rank."""
        return {"samples": self.position(), "batches": self.finished() if self.finished is not None else 0}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Resume after the processed samples."""
        self._origin = {"samples": int(state_dict["samples"]), "batches": int(state_dict["batches"])}

    def __iter__(self) -> Iterator[SampleId]:
        # not lazily: workers prefetch immediately, and the position must be the current one
        first = self.position() + self.rank * self.batch_size
        batches = len(self) // self.batch_size
        return self._stream(first, batches)

    def _stream(self, first: int, batches: int) -> Iterator[SampleId]:
        epoch, order = -1, np.empty(0, np.int64)
        for batch in range(batches):
            start = first + batch * self.global_batch
            for place in range(start, start + self.batch_size):
                if place // self.length != epoch:
                    epoch = place // self.length
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
                yield epoch, int(order[place % self.length])


class _Rows(Dataset[int]):
    """`DistributedSampler` requires an object with a length."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> int:
        return row


class ResumableLoader(DataLoader[Any]):
    """A `DataLoader` whose state is that of its sampler; Lightning saves and restores it with the checkpoint."""

    def state_dict(self) -> dict[str, int]:
        """See :meth:`ResumableSampler.state_dict`; empty if a trainer has replaced the sampler."""
        return self.sampler.state_dict() if isinstance(self.sampler, ResumableSampler) else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Resume after the processed samples."""
        if state_dict and isinstance(self.sampler, ResumableSampler):
            self.sampler.load_state_dict(state_dict)


def sample_generator(seed: int, epoch: int, row: int) -> torch.Generator:
    """A fresh generator for one sample; the same three numbers give the same randomness on every machine."""
    words = np.random.SeedSequence((seed, epoch, row)).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))
