from collections import Counter

from glassine.data.sticker import split_of


def test_the_split_of_a_group_never_changes() -> None:
    # fixed for ever: a checkpoint trained on one machine is scored on another
    known = {"1f600": "train", "1f9d1": "train", "1f603": "val", "1f604": "val", "1f606": "val", "1f60a": "test"}
    assert {group: split_of(group) for group in known} == known


def test_shares_are_eighty_ten_ten() -> None:
    counts = Counter(split_of(f"group {i}") for i in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.8) < 0.01
    assert abs(counts["val"] / 20_000 - 0.1) < 0.01
    assert abs(counts["test"] / 20_000 - 0.1) < 0.01


def test_chinese_group_names_work() -> None:
    assert split_of("小猫") == split_of("小猫")
