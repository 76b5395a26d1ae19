import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.data.codecs import write_sticker
from glassine.data.sources.folder import FolderStickers
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    picture = Image.fromarray(np.full((6, 5, 4), 200, np.uint8))
    for name in ("cat.webp", "more/cat.png", "more/dog (1).PNG"):
        picture.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a sticker")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_files_without_a_table(folder: Path) -> None:
    source = FolderStickers(folder, domain="real")
    items = list(source.items())
    assert len(source) == len(items) == 3
    assert [item.key for item in items] == ["cat", "more-cat", "more-dog-1"]
    assert [item.info["group"] for item in items] == ["cat", "cat", "dog (1)"]
    assert items[0].info["split"] == items[1].info["split"]
    assert items[0].info["domain"] == "real"
    assert items[0].load().frames.shape == (1, 6, 5, 4)


def test_csv_table(folder: Path) -> None:
    (folder / "stickers.csv").write_text(
        "file,description,description_zh,trigger_words,ocr,domain,group\n"
        'more/cat.png,"a cat, waving",一只猫,wave; hi ;,HI,real,cats\n',
        encoding="utf-8-sig",
    )
    info = {item.key: item.info for item in FolderStickers(folder).items()}
    assert info["more-cat"]["description"] == "a cat, waving"
    assert info["more-cat"]["description_zh"] == "一只猫"
    assert info["more-cat"]["trigger_words"] == ["wave", "hi"]
    assert (info["more-cat"]["ocr"], info["more-cat"]["domain"], info["more-cat"]["group"]) == ("HI", "real", "cats")
    assert info["cat"]["description"] == ""


def test_jsonl_table_with_word_lists(folder: Path) -> None:
    table = folder / "captions.jsonl"
    rows = [{"file": "cat.webp", "trigger_words": ["a", "b"]}, {"file": "more/cat.png", "trigger_words": '["c; d"]'}]
    table.write_text("\n\n".join(json.dumps(row) for row in rows))
    info = {item.key: item.info for item in FolderStickers(folder, table).items()}
    assert info["cat"]["trigger_words"] == ["a", "b"]
    assert info["more-cat"]["trigger_words"] == ["c; d"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "file,descripton\ncat.webp,x\n", "unknown column 'descripton'; allowed are file, description"),
        ("t.csv", "description\nx\n", "no column 'file'"),
        ("t.csv", "", "no column 'file'"),
        ("t.csv", "file\ncat.webp\nbird.gif\nnotes.txt\n", "bird.gif, notes.txt"),
        ("t.csv", "file,ocr\n,x\n", "line 2 names no file"),
        ("t.csv", "file,ocr\ncat.webp,x,y\n", "more cells than columns"),
        ("t.jsonl", '{"file": "cat.webp", "mood": 1}', "unknown column 'mood'"),
        ("t.jsonl", '{"file": "cat.webp"}\n{oops', "line 2 is not JSON"),
        ("t.jsonl", "[1]", "not a JSON object"),
        ("t.xlsx", "", "give a .csv or a .jsonl"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(UserError) as error:
        FolderStickers(folder, folder / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        FolderStickers(tmp_path / "no")
    with pytest.raises(UserError, match="no media files"):
        FolderStickers(tmp_path)


def test_a_folder_of_pngs_that_we_wrote_is_one_sticker(tmp_path: Path) -> None:
    frames = np.full((3, 4, 4, 4), 255, np.uint8)
    write_sticker(Sticker(frames, (50, 60, 70)), tmp_path / "cat")
    Image.new("RGB", (4, 4)).save(tmp_path / "dog.png")
    cat, dog = FolderStickers(tmp_path).items()
    assert (cat.key, cat.info["group"], dog.key) == ("cat", "cat", "dog")
    assert cat.load().durations == (50, 60, 70)


def test_long_names_get_short_keys_that_still_differ(tmp_path: Path) -> None:
    for end in "ab":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{'x' * 150}{end}.png")
    keys = [item.key for item in FolderStickers(tmp_path).items()]
    assert len(set(keys)) == 2
    assert max(map(len, keys)) <= 80


def test_same_stem_twice_gives_two_keys(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "cat.png")
    keys = [item.key for item in FolderStickers(folder).items()]
    assert len(set(keys)) == len(keys) == 4


def test_a_table_can_say_which_files_are_the_test_set(folder: Path) -> None:
    table = folder / "stickers.csv"
    table.write_text("file,group,split\nmore/cat.png,cats,test\ncat.webp,cats,\nmore/dog (1).PNG,dogs,train\n")
    info = {item.key: item.info for item in FolderStickers(folder).items()}
    assert [info[key]["split"] for key in ("more-cat", "cat", "more-dog-1")] == ["test", "test", "train"]
    table.write_text("file,split\ncat.webp,dev\n")
    with pytest.raises(UserError, match="split must be one of train, val, test or empty, got 'dev'"):
        FolderStickers(folder)
    table.write_text("file,split\ncat.webp,train\nmore/cat.png,test\n")
    with pytest.raises(UserError, match="gives the group 'cat' to"):
        FolderStickers(folder)


def test_listed_reads_only_what_the_table_names(folder: Path) -> None:
    table = folder / "labels.csv"
    table.write_text("file,domain\nmore/cat.png,real\n")
    items = list(FolderStickers(folder, table, listed=True).items())
    assert [(item.key, item.info["domain"]) for item in items] == [("more-cat", "real")]
    with pytest.raises(UserError, match="listed needs a table"):
        FolderStickers(folder, listed=True)
