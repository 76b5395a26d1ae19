import json
from pathlib import Path

import pytest

from glassine.data.sources.emoji import (
    EmojiNames,
    emoji_base,
    emoji_group,
    emoji_split,
    split_of_members,
    sticker_base,
    write_table,
)
from glassine.data.sticker import split_of
from glassine.utils.errors import UserError


@pytest.mark.parametrize(
    ("stems", "base"),
    [
        (["1f44b", "1f44b-1f3fb", "1f44b-1f3ff"], "1f44b"),
        (["1f3c3", "1f3c3-200d-2640-fe0f", "1f3c3-1f3fd-200d-2642-fe0f"], "1f3c3"),
        (["1f468-200d-1f33e", "1f469-1f3fe-200d-1f33e", "1f9d1-200d-1f33e"], "1f9d1-200d-1f33e"),
        (["1f3c3-200d-27a1-fe0f", "1f3c3-1f3fb-200d-2640-fe0f-200d-27a1-fe0f", "1f3c3_200d_2642"], "1f3c3"),
        (["1f466", "1f467-1f3fb", "1f9d2"], "1f9d2"),
        (["1f934", "1f478-1f3fc", "1fac5"], "1fac5"),
        (["1f46b", "1f469-1f3fb-200d-1f91d-200d-1f468-1f3ff", "1f46d-1f3fb"], "1f9d1-200d-1f91d-200d-1f9d1"),
        (["1f491", "1f469-200d-2764-fe0f-200d-1f468", "1f468-1f3fb-200d-2764-fe0f-200d-1f468-1f3fc"], "1f491"),
        (["1f91d", "1faf1-1f3fb-200d-1faf2-1f3ff"], "1f91d"),
        (["0023-fe0f-20e3", "23-20e3"], "0023-20e3"),
    ],
)
def test_variants_of_one_emoji_share_a_base(stems: list[str], base: str) -> None:
    assert {emoji_base(stem) for stem in stems} == {base}
    assert emoji_base(base) == base


def test_different_emoji_stay_apart() -> None:
    stems = ["1f600", "1f603", "1f9d1", "1f9d1-200d-1f33e", "1f9d1-200d-1f373", "2640", "2642-fe0f", "1f6b4", "1f6b5"]
    assert len({emoji_base(stem) for stem in stems}) == len(stems)


def test_names_match_whatever_the_spelling() -> None:
    names = EmojiNames.from_emojibase(
        [
            {
                "hexcode": "1F44B",
                "label": "waving hand",
                "tags": ["wave"],
                "skins": [{"hexcode": "1F44B-1F3FB", "label": "light"}],
            },
            {"hexcode": "2764-FE0F", "label": "red heart"},
            {"hexcode": "1F3F4-E0067-E007F", "label": "a flag"},
        ]
    )
    assert names.label("1f44b-1f3fb") == "light"
    assert names.tags_of("1f44b-1f3fb") == ["wave"]  # variants inherit
    assert names.label("2764") == names.label("2764-fe0f") == "red heart"
    assert names.label("1f3f4-e0067") == names.label("1f3f4-e0067_e007f") == "a flag"
    assert names.label("ffff") == ""
    assert names.tags_of("2764") == []


def test_variants_share_a_group() -> None:
    for stems in (["1f3c3", "1f3c3-1f3fd-200d-2642-fe0f"], ["1f44b", "1f44b_1f3fb"], ["2764", "2764-fe0f"]):
        assert len({emoji_group(stem) for stem in stems}) == 1


def test_what_looks_alike_shares_a_group() -> None:
    faces = {emoji_group(stem) for stem in ("1f600", "1f603", "1f62d", "1f610")}
    flags = {emoji_group(stem) for stem in ("1f1e9-1f1ea", "1f1eb-1f1f7", "1f1ef-1f1f5")}
    hearts = {emoji_group(stem) for stem in ("2764", "1f499", "1f49a")}
    assert len(faces) == len(flags) == len(hearts) == 1
    assert len(faces | flags | hearts | {emoji_group("1f355")}) == 4  # pizza looks like none of them


def test_names_are_members_and_lead_back_to_themselves() -> None:
    for stem in ("1f600", "1f1e9-1f1ea", "2764-fe0f", "1f355", "1f197"):
        group = emoji_group(stem)
        assert emoji_group(group) == group == emoji_base(group)


def test_an_emoji_that_is_not_in_the_table_is_its_own_group() -> None:
    assert emoji_group("1fffd-1f3fb") == "1fffd"


def test_the_largest_groups_are_for_training() -> None:
    for stem in ("1f600", "1f1e9-1f1ea", "1f197"):
        assert emoji_split(emoji_group(stem)) == "train"


def test_the_split_of_a_group_never_changes() -> None:
    known = {emoji_group(stem): split for stem, split in KNOWN.items()}
    assert {group: emoji_split(group) for group in known} == known


KNOWN = {"1f355": "train", "1f680": "train"}


def test_a_merge_only_moves_emoji_into_training() -> None:
    by_split: dict[str, str] = {}
    for number in range(999):
        by_split.setdefault(split_of(f"2{number:03x}"), f"2{number:03x}")
    assert split_of_members([by_split["val"], by_split["test"], by_split["train"]]) == "train"
    assert split_of_members([by_split["test"], by_split["val"]]) == "val"
    assert split_of_members([by_split["test"]]) == "test"


def test_a_table_written_is_read_back(tmp_path: Path) -> None:
    named = write_table(tmp_path / "a.json", [["b", "a"], ["c"]], {"alike_db": 34.0})
    content = json.loads((tmp_path / "a.json").read_text())
    assert named == {"a": ["a", "b"]}
    assert content == {"alike_db": 34.0, "groups": {"a": "a b"}}


def test_keys_of_all_sources_lead_to_the_emoji() -> None:
    assert sticker_base("fluent-flat-1f44b-1f3fb", "fluent-flat") == "1f44b"
    assert sticker_base("1f44b-1f3fb", "fluent") == "1f44b"
    with pytest.raises(UserError, match="code points"):
        sticker_base("wave", "folder")
