from pathlib import Path

import numpy as np
import pytest
from tests.helpers.small_crawl import sticker

from glassine.curation.copies_accuracy import COPIES, copies_accuracy, known_stickers, make_copy, print_copies
from glassine.curation.duplicates import Limits
from glassine.data.shards import ShardFormat, ShardWriter

pytest.importorskip("pdqhash")


def test_copies_of_known_stickers_are_counted_as_found_missed_or_wrong(tmp_path: Path) -> None:
    prints = print_copies([sticker(seed, frames=2) for seed in (1, 2, 3)])
    count = copies_accuracy(prints, ["a", "b", "c"], tmp_path)
    assert count.recall() == count.precision == 1
    assert count.made == count.found == dict.fromkeys(COPIES, 3)
    assert not count.missed
    strict = copies_accuracy(prints, ["a", "b", "c"], tmp_path, Limits(mean=0.5))
    assert strict.recall("background") < 1
    assert ("background", 0) in strict.missed
    twice = copies_accuracy([*prints[:6], *prints[:6]], ["a", "b"], tmp_path)
    assert twice.precision < 0.6
    assert not copies_accuracy([*prints[:6], *prints[:6]], ["a", "a"], tmp_path).wrong


def test_a_copy_is_what_it_is_called() -> None:
    one, chance = sticker(4, frames=2), np.random.default_rng(0)
    made = {kind: make_copy(kind, one, chance).frames for kind in COPIES}
    assert made["resized"].shape == (2, 40, 40, 4)
    assert np.array_equal(made["mirrored"][:, :, ::-1], one.frames)
    assert (made["recompressed"][..., 3] == 255).all()
    assert (made["recompressed"][:, 0, 0, :3] > 245).all()
    assert len(np.unique(made["re-encoded"][0].reshape(-1, 4), axis=0)) <= 65


def test_known_stickers_are_one_a_group(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "shards", ShardFormat(codec="png")) as writer:
        for number in range(6):
            writer.write(f"s{number}", sticker(number, frames=7), {"group": f"g{number // 2}", "description": "a blob"})
    found = list(known_stickers([tmp_path / "shards"], 2))
    assert [group for _, group in found] == ["g0", "g2"]
    assert all(one.num_frames == 6 for one, _ in found)
