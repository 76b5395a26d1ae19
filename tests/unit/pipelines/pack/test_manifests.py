"""Names, emoji and manifests."""

import json

import pytest
import yaml

from glassine.pipelines.pack.limits import platform
from glassine.pipelines.pack.manifests import (
    Labels,
    PackName,
    file_stems,
    identifier,
    is_emoji,
    manifest,
    read_labels,
    slug,
)
from glassine.utils.errors import UserError

FILES, LABELS = ["01.webp", "02.webp"], [Labels(("😀", "🎉"), "a smile"), Labels(("👍🏽",))]


@pytest.mark.parametrize("text", ["😀", "❤️", "👍🏽", "👨‍👩‍👧", "🇩🇪", "1️⃣", "🏴\U000e0067\U000e0062\U000e007f", "⭐"])
def test_emoji_are_known(text):
    assert is_emoji(text)


@pytest.mark.parametrize("text", ["a", "😀😀", "", "smile", "1", "é", "漢"])
def test_other_text_is_not(text):
    assert not is_emoji(text)


def test_the_table_of_emoji_is_read(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text('﻿file,emoji,text\ncat.webp,😀 🎉,"a cat, waving"\n\ndog,👍\n', encoding="utf-8")
    assert read_labels(path) == {"cat.webp": Labels(("😀", "🎉"), "a cat, waving"), "dog": Labels(("👍",))}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cat,smile\n", "line 1: emoji must be separated"),
        ("file,emoji\ncat\n", "line 2: a line must be file,emoji"),
        ("cat,😀\ncat,😀\n", "line 2: cat occurs twice"),
        ('cat,"😀\n', "must be a CSV"),
    ],
)
def test_tables_of_another_form_are_refused(tmp_path, text, says):
    path = tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        read_labels(path)


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no file at"):
        read_labels(tmp_path / "map.csv")
    (tmp_path / "map.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_labels(tmp_path / "map.csv")


def test_files_are_numbered_or_named_as_the_platform_takes_them():
    stems = ["Happy Cat!", "happy-cat", "日本", "x"]
    assert file_stems(stems, platform("line")) == ["01", "02", "03", "04"]
    assert file_stems(stems, platform("slack")) == ["happy_cat", "happy_cat2", "sticker", "x"]
    assert file_stems(stems, platform("twitch")) == ["happyCat", "happyCat2", "sticker", "xxx"]
    assert file_stems(stems, platform("discord"))[3] == "xx"
    assert len(slug("a" * 300, platform("discord"))) == 30
    rule = platform("mastodon").sticker_name
    assert rule is not None
    assert [name for name in file_stems(stems * 30, platform("mastodon")) if rule.problem(name)] == []


def test_identities_are_plain():
    assert identifier("Café & Cats!") == "Cafe-Cats"
    assert identifier("日本").startswith("pack-65e5")


def test_whatsapps_manifest():
    name, text = manifest(platform("whatsapp"), "animated", PackName("Cats", "Ann"), FILES, LABELS, FILES[0]) or (
        "",
        "",
    )
    assert name == "contents.json"
    (pack,) = json.loads(text)["sticker_packs"]
    assert (pack["name"], pack["publisher"], pack["tray_image_file"]) == ("Cats", "Ann", "tray.png")
    assert pack["animated_sticker_pack"] is True
    assert pack["stickers"][0] == {"image_file": "01.webp", "emojis": ["😀", "🎉"], "accessibility_text": "a smile"}


def test_telegrams_and_signals_manifests():
    name, text = manifest(platform("telegram"), "static", PackName("Cats & co", "Ann"), FILES, LABELS, FILES[0]) or (
        "",
        "",
    )
    assert name == "sticker_set.json"
    data = json.loads(text)
    assert (data["name"], data["title"]) == ("Cats_co", "Cats & co")
    assert data["stickers"][1] == {"sticker": "02.webp", "format": "static", "emoji_list": ["👍🏽"]}
    name, text = manifest(platform("signal"), "static", PackName("Cats", "Ann"), FILES, LABELS, FILES[1]) or ("", "")
    assert yaml.safe_load(text) == {
        "pack": {"title": "Cats", "author": "Ann", "cover": "02.webp"},
        "stickers": {"01.webp": "😀", "02.webp": "👍🏽"},
    }


def test_emoji_sites_need_no_manifest():
    assert manifest(platform("slack"), "animated", PackName(), FILES, LABELS, FILES[0]) is None
