import math

import pytest
import torch

from glassine.bench.intervals import mean_interval, ratio_interval


def test_the_interval_of_a_share_is_that_of_the_binomial():
    values = torch.tensor([1.0] * 150 + [0.0] * 50)
    found = mean_interval(values)
    assert found.value == 0.75
    half = 1.96 * math.sqrt(0.75 * 0.25 / 200)
    assert found.low == pytest.approx(0.75 - half, abs=0.012)
    assert found.high == pytest.approx(0.75 + half, abs=0.012)
    assert mean_interval(values) == found  # seeded
    narrow = mean_interval(values, level=0.5)
    assert found.low < narrow.low < 0.75 < narrow.high < found.high


def test_a_ratio_is_drawn_in_pairs():
    under = torch.rand(50, generator=torch.Generator().manual_seed(0)) + 0.1
    found = ratio_interval(0.4 * under, under)
    assert found == pytest.approx((0.4, 0.4, 0.4), rel=1e-6)
    apart = ratio_interval(0.4 * under.flip(0), under)
    assert apart.value == pytest.approx(0.4)
    assert apart.low < 0.39 < 0.41 < apart.high


def test_nothing_gives_nan_and_nonsense_is_refused():
    assert all(math.isnan(end) for end in mean_interval(torch.zeros(0)))
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 95"):
        mean_interval(torch.ones(3), level=95)
    with pytest.raises(ValueError, match="must be n and n"):
        ratio_interval(torch.ones(3), torch.ones(2))
