from pathlib import Path

import numpy as np
import pytest

from glassine.bench import closed_areas
from glassine.bench.closed_areas import SEEN_ON, Examples, fit, gather, left_out, write_network
from glassine.bench.style_cases import find_cases
from glassine.pipelines import area_networks
from glassine.pipelines.area_networks import NETWORKS, combined, log_odds
from glassine.pipelines.area_shapes import SHAPES
from glassine.pipelines.regions import FEATURES

COUNT = len(FEATURES) + len(SHAPES)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Enough for areas as easily told as these."""
    monkeypatch.setattr(closed_areas, "STEPS", 200)


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Areas whose first shape says what they are, of three styles."""
    chance = np.random.default_rng(0)
    features = chance.normal(size=(900, COUNT)).astype(np.float32)
    holes = features[:, len(FEATURES)] + 0.2 * features[:, 0] > 0
    styles = np.array(["fluent", "noto", "rendered text"])[np.arange(900) % 3]
    stickers = np.array([str(number // 2) for number in range(900)])
    return Examples(features, holes, chance.uniform(0.01, 0.5, 900).astype(np.float32), styles, stickers)


def test_a_style_that_was_left_out_is_told_right(examples: Examples):
    told = left_out(examples, NETWORKS["white"])
    assert set(told) == {"fluent", "noto", "rendered text"}
    assert all(row["areas"] == 300 and row["network"] > 0.8 for row in told.values())


def test_what_is_written_is_what_a_cut_out_reads(examples: Examples, tmp_path: Path, monkeypatch):
    net = fit(examples)
    again = fit(examples)
    assert all(np.array_equal(net[name], again[name]) for name in net)
    write_network(net, tmp_path / "white.npz")
    monkeypatch.setattr(area_networks, "FOLDER", tmp_path)
    one = examples.features[0]
    alone = float(log_odds(net, one))
    assert combined(NETWORKS["white"], one, 0.0) == pytest.approx(alone, abs=1e-4)
    assert combined(NETWORKS["white"], one, -0.5) == pytest.approx(max(-5, alone - 0.5), abs=1e-4)


def test_several_members_are_one_network_of_their_mean(examples: Examples):
    first, both = fit(examples, members=1), fit(examples, members=2)
    width = len(first["b1"])
    assert len(both["b1"]) == 2 * width
    np.testing.assert_array_equal(both["w1"][:, :width], first["w1"])
    np.testing.assert_allclose(both["w2"][:width] * 2, first["w2"], rtol=1e-6)


def test_areas_of_damaged_stickers_are_gathered_with_their_truth():
    cases = [case for case in find_cases([], "train", 1, 2) if case.style in ("rendered holes", "rendered border")]
    examples = gather(cases, ["white+jpeg75", "gray+gif"])
    assert examples.features.shape == (len(examples.holes), COUNT)
    assert np.isfinite(examples.features).all()
    assert len(examples.holes) > 2
    assert ((examples.shares > 0) & (examples.shares < 10)).all()
    assert set(examples.styles) <= {"rendered holes", "rendered border"}


def test_areas_of_clean_stickers_on_white():
    cases = [case for case in find_cases([], "train", 1, 2) if case.style in ("rendered holes", "rendered border")]
    examples = gather(cases, SEEN_ON["white"])
    assert len(examples.holes)
    assert examples.features.shape[1] == COUNT
    assert set(left_out(examples, NETWORKS["white"])) <= {"rendered holes", "rendered border"}
