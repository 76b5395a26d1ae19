"""Gaps between rows, and what they say of an ordering."""

import math

import pytest
import torch

from glassine.bench.gaps import judge, row_gap, signed
from glassine.bench.intervals import DISTANCE_DRAWS, gap_interval, group_weights, mean_draws
from glassine.bench.records import Cell, Record

GROUPS = [f"g{number // 2}" for number in range(40)]  # two clips of each
KEYS = [f"k{number}" for number in range(40)]


def row(level: float, noise: float = 0.1, seeds: int = 3, steps: float | None = None, **more) -> list[Record]:
    """Records of a method whose values lie around a level; what is hard for one method is hard for all."""
    hard = torch.randn(40, generator=torch.Generator().manual_seed(99))
    found = []
    for seed in range(seeds):
        own = noise * torch.randn(40, generator=torch.Generator().manual_seed(seed))
        values = (level + hard + own).tolist()
        score = sum(values) / 40
        cell = Cell("x", 40, {"psnr": score}, keys=KEYS, groups=GROUPS, items={"psnr": values})
        costs = {"parameters": 5.0} | ({} if steps is None else {"steps": steps})
        found.append(Record("m", "m", "test", 8, 2, [], seed=seed, conditions={"white": cell}, costs=costs, **more))
    return found


def test_groups_are_drawn_and_not_clips_and_in_any_order_alike():
    weights = group_weights(GROUPS, 50)
    assert weights.shape == (50, 40)
    assert torch.equal(weights[:, ::2], weights[:, 1::2])
    assert (weights.sum(1) == 40).all()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    assert torch.equal(group_weights([GROUPS[place] for place in order], 50), weights[:, order])
    apart = group_weights(["z", *GROUPS], 50, among=GROUPS)
    assert torch.equal(apart[:, 1:], weights)


def test_a_gap_is_paired_so_that_hard_stickers_do_not_widen_it():
    gap = row_gap(row(1.0), row(0.0), "psnr", ["white"])
    assert gap.interval.value == pytest.approx(1.0, abs=0.05)
    assert 0 < gap.interval.high - gap.interval.low < 0.2  # the stickers' own spread is 1
    assert (gap.items, gap.groups, gap.seeds) == (40, 20, (3, 3))
    assert signed(gap).startswith("+1.0")
    assert row_gap(row(1.0), row(0.0), "ssim", ["white"]) is None


def test_the_interval_of_a_mean_of_independent_groups_is_the_usual_one():
    values = torch.randn(200, generator=torch.Generator().manual_seed(3))
    weights = group_weights([str(number) for number in range(200)])
    found = gap_interval(float(values.mean()), [mean_draws(values, weights)], [torch.zeros(len(weights))])
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std().item() / math.sqrt(200), rel=0.1)


def test_orderings_hold_or_are_reversed_where_the_interval_leaves_nothing_out():
    def word(first, second, higher=True, **more):
        return judge(first, second, "psnr", ["white"], higher, **more).word

    assert word(row(1.0), row(0.0)) == "holds"
    assert word(row(1.0), row(0.0), higher=False) == "reversed"
    assert word(row(0.0), row(0.0, noise=0.11)) == "undecided"
    assert word(row(1.0), []) == "not measured"


def test_what_speaks_against_a_verdict_is_said():
    def reason(first, second, higher=True, **more):
        found = judge(first, second, "psnr", ["white"], higher, **more)
        assert found.word == "undecided"
        return found.reason

    good, bad = row(1.0), row(0.0)
    assert reason(good[:1], bad) == "1 seed"
    assert reason(good, row(0.0, seeds=2)) == "2 seeds"
    assert reason(row(1.0, steps=150.0), row(0.0, steps=150.0)) == "no step 0 beside it"
    start = row(0.5, seeds=1, steps=0.0)
    assert reason(row(1.0, steps=150.0), row(0.0, steps=150.0), starts=start) == "not better than step 0"
    assert reason(bad, good, higher=False, floors=row(2.0, seeds=1)) == "within the floor"
    unknown = row(0.0)
    unknown[0].conditions["white"].items = {}
    assert reason(good, unknown) == "no values for each sticker"


def test_methods_without_weights_need_no_seeds():
    for record in (flat := row(0.0, seeds=1)):
        record.costs["parameters"] = 0
    assert judge(row(1.0), flat, "psnr", ["white"], True).word == "holds"


def test_distances_are_compared_by_their_kept_draws():
    def distance(level: float, seed: int) -> Record:
        common = torch.randn(DISTANCE_DRAWS, generator=torch.Generator().manual_seed(7))
        own = 0.01 * torch.randn(DISTANCE_DRAWS, generator=torch.Generator().manual_seed(seed))
        cell = Cell("x", 40, {"kvd": level}, keys=KEYS, groups=GROUPS, draws={"kvd": (level + common + own).tolist()})
        return Record("m", "m", "test", 8, 2, [], conditions={"white": cell}, costs={"parameters": 5.0})

    near, far = [distance(1.0, seed) for seed in range(3)], [distance(1.2, seed) for seed in range(3, 6)]
    assert judge(near, far, "kvd", ["white"], False).word == "holds"
    other = distance(1.2, 9)
    other.conditions["white"].groups = ["elsewhere"] * 40
    assert judge(near, [*far[:2], other], "kvd", ["white"], False).reason == "no values for each sticker"
