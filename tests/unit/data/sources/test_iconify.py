"""Sets of drawings from Iconify's packages."""

import json
from pathlib import Path

import pytest
from tests.unit.data.sources.test_world import CIRCLE, NAMES, NAMES_ZH, tarball

from glassine.data.shards import StickerInfo
from glassine.data.sources.emoji import emoji_group
from glassine.data.sources.iconify import ICON_SETS, IconStickers, fetch
from glassine.data.sources.world import COLLECTIONS, EMOJI_SOURCES
from glassine.utils.errors import UserError

SETS = {icons.art.source: icons for icons in ICON_SETS}


def put(cache: Path, source: str, names: list[str], **more: object) -> None:
    """The tarballs that `npm pack` would have written."""
    tables = {"en/data.json": json.dumps(NAMES).encode(), "zh/data.json": json.dumps(NAMES_ZH).encode()}
    tarball(cache / "emojibase-data-17.0.0.tgz", tables)
    content = {"width": 32, "height": 16, "icons": {name: {"body": CIRCLE} for name in names}} | more
    version = SETS[source].version
    tarball(cache / f"iconify-json-{source}-{version}.tgz", {"icons.json": json.dumps(content).encode()})


def test_icons_are_drawn_and_variants_of_one_are_one_group(tmp_path: Path):
    pytest.importorskip("resvg_py")
    put(tmp_path, "vscode-icons", ["file-type-cat", "file-type-cat-dark", "folder-type-dog"])
    fetch(SETS["vscode-icons"], tmp_path)
    items = list(IconStickers(SETS["vscode-icons"], tmp_path, size=64).items())
    assert [item.key for item in items] == [
        "vscode-icons-file-type-cat",
        "vscode-icons-file-type-cat-dark",
        "vscode-icons-folder-type-dog",
    ]
    assert items[0].load().frames.shape == (1, 32, 64, 4)
    infos = [StickerInfo.from_json(item.key, item.info, (0,), 64, 32) for item in items]
    assert infos[0].group == infos[1].group != infos[2].group
    assert infos[0].split == infos[1].split
    assert "folder type dog" in infos[2].caption
    assert (infos[0].source, infos[0].license) == ("vscode-icons", "MIT")


def test_emoji_of_another_hand_are_in_the_groups_of_all_emoji(tmp_path: Path):
    names = ["grinning-face", "redheart", "grinning--face", "sparkles", "no-emoji-at-all"]
    put(tmp_path, "fxemoji", names)
    fetch(SETS["fxemoji"], tmp_path)
    items = {item.key: item for item in IconStickers(SETS["fxemoji"], tmp_path).items()}
    # `sparkles` is in no table of names here, but Unicode knows it
    assert sorted(items) == ["fxemoji-1f600", "fxemoji-2728", "fxemoji-2764"]
    assert items["fxemoji-1f600"].info["group"] == emoji_group("1f600")
    assert items["fxemoji-1f600"].info["description_zh"] == "嘿嘿"
    assert "fxemoji" in EMOJI_SOURCES
    assert "vscode-icons" not in EMOJI_SOURCES


def test_hidden_icons_are_left_out(tmp_path: Path):
    put(tmp_path, "logos", ["a"], icons={"a": {"body": CIRCLE}, "b": {"body": CIRCLE, "hidden": True}})
    fetch(SETS["logos"], tmp_path)
    assert len(IconStickers(SETS["logos"], tmp_path)) == 1


def test_a_set_that_was_not_fetched_or_is_something_else(tmp_path: Path):
    put(tmp_path, "logos", ["a"], icons=["a"])
    fetch(SETS["logos"], tmp_path)
    with pytest.raises(UserError, match="run `glassine data fetch meteocons`"):
        IconStickers(SETS["meteocons"], tmp_path)
    with pytest.raises(UserError, match="is not the package @iconify-json/logos"):
        IconStickers(SETS["logos"], tmp_path)


def test_no_source_is_in_two_collections():
    names = [name for sources in COLLECTIONS.values() for name in sources]
    assert len(names) == len(set(names))
