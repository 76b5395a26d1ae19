from collections import Counter

import pytest
import torch
from torch.utils.data import Dataset

from glassine.data.sampler import ResumableLoader, ResumableSampler, sample_generator


class Echo(Dataset):
    def __len__(self) -> int:
        return 23

    def __getitem__(self, item: tuple[int, int]) -> tuple[int, int]:
        return item


def epochs(number: int, ranks: int = 1, length: int = 23, batch_size: int = 4) -> list[tuple[int, int]]:
    """What `ranks` ranks draw in some epochs, in the order of the stream."""
    stream = []
    samplers = [ResumableSampler(length, batch_size, seed=5, rank=rank, world_size=ranks) for rank in range(ranks)]
    for epoch in range(number):
        drawn = []
        for sampler in samplers:
            sampler.set_epoch(epoch)
            drawn.append(list(sampler))
        for start in range(0, len(drawn[0]), batch_size):
            for part in drawn:
                stream += part[start : start + batch_size]
    return stream


def test_every_sample_comes_once_a_pass_with_none_dropped_between_epochs() -> None:
    stream = epochs(23)  # 23 epochs of 20 samples are 20 passes of 23
    assert set(Counter(stream).values()) == {1}
    assert set(stream) == {(number, row) for number in range(20) for row in range(23)}


def test_passes_are_shuffled_differently() -> None:
    rows = [[row for number, row in epochs(3) if number == wanted] for wanted in (0, 1)]
    assert sorted(rows[0]) == sorted(rows[1])
    assert rows[0] != rows[1]


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_draw_disjoint_parts_of_the_same_stream(ranks: int) -> None:
    alone = epochs(12)
    together = epochs(4, ranks=ranks)
    assert together == alone[: len(together)]
    assert set(Counter(together).values()) == {1}


def test_resuming_goes_on_with_the_next_sample_and_on_other_ranks_and_batch_sizes() -> None:
    stream = epochs(6)
    done = 7  # batches of 4
    state = {"samples": done * 4, "batches": done}
    for ranks, batch_size in ((1, 4), (2, 2), (2, 5)):
        samplers = [ResumableSampler(23, batch_size, 5, rank, ranks, finished=lambda: done) for rank in range(ranks)]
        for sampler in samplers:
            sampler.load_state_dict(state)
        first = [sample for sampler in samplers for sample in list(sampler)[:batch_size]]
        assert first == stream[28 : 28 + ranks * batch_size]
        assert samplers[0].state_dict() == state


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_that_workers_fetched_ahead_do_not_count(workers: int) -> None:
    finished = 0
    sampler = ResumableSampler(23, 4, seed=5, finished=lambda: finished)
    loader = ResumableLoader(Echo(), batch_size=4, sampler=sampler, num_workers=workers, drop_last=True)
    batches = iter(loader)
    drawn = []
    for _ in range(3):
        numbers, rows = next(batches)
        drawn += list(zip(numbers.tolist(), rows.tolist(), strict=True))
        finished += 1
    state = loader.state_dict()
    assert state == {"samples": 12, "batches": 3}
    del batches
    resumed = ResumableLoader(Echo(), batch_size=4, sampler=ResumableSampler(23, 4, seed=5, finished=lambda: finished))
    resumed.load_state_dict(state)
    for numbers, rows in resumed:
        drawn += list(zip(numbers.tolist(), rows.tolist(), strict=True))
    assert drawn == epochs(2)[: len(drawn)]


def test_a_set_smaller_than_a_batch_still_gives_whole_batches() -> None:
    sampler = ResumableSampler(3, 8, seed=0)
    assert len(sampler) == 8
    assert Counter(row for _, row in sampler) == {0: 3, 1: 3, 2: 2} or len(list(sampler)) == 8


def test_chance_depends_on_seed_pass_and_row_alone() -> None:
    draws = {
        key: torch.rand(4, generator=sample_generator(*key)).tolist()
        for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    }
    assert len({tuple(draw) for draw in draws.values()}) == 4
    assert torch.rand(4, generator=sample_generator(0, 1, 0)).tolist() == draws[0, 1, 0]
