import pytest

from glassine.data.sources.emoji import EmojiNames, emoji_base


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
