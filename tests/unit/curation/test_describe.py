import json
from pathlib import Path

import pytest
from tests.helpers.small_crawl import sticker

from glassine.curation.choosing import (
    domain_questions,
    labelled_shards,
    load_answers,
    page_plan,
    save_answers,
    word_questions,
)
from glassine.curation.dataset import CuratedStickers
from glassine.curation.describe import Measured, describe_measured
from glassine.curation.domain import calibration
from glassine.curation.sft import export_sft
from glassine.curation.splits import Splits, TestSet, check_sides, choose_candidates, first_choice
from glassine.data.shards import ShardFormat, ShardWriter, StickerShards
from glassine.data.sticker import split_of
from glassine.utils.errors import UserError

MOVES = {"en": "shakes left and right", "zh": "左右摇晃", "kinds": ["shakes left and right"]}


def row(key: str = "ab", words: tuple[str, ...] = ("cat",), group: str = "", domain: str = "cartoon", **more) -> dict:
    measures = {"colors": ["red", "white"], "transparent": 0.4}
    return {
        "key": key, "sha": key * 4, "group": group or key, "domain": domain, "words": dict.fromkeys(words, 1),
        "frames": 6, "motion": MOVES, "measures": measures, **more,
    }  # fmt: skip


def test_a_description_says_name_colors_motion_and_text():
    said = describe_measured(row(ocr='say "hi"'))
    assert said["description"] == "cat: a red and white sticker that shakes left and right, with the text \"say 'hi'\"."
    assert said["description_zh"] == 'cat：以红色和白色为主的贴纸，左右摇晃，上有文字“say "hi"”。'
    assert said["parts"]["name_from"] == "trigger words"
    assert describe_measured(row(description="A cat.", words=("猫",)))["description"].startswith("A cat: a red")
    assert describe_measured(row(words=("猫",)))["description_zh"].startswith("猫：")


def test_one_letter_is_no_text():
    assert 'with the text "hi"' in describe_measured(row(ocr="hi"))["description"]
    assert "text" not in describe_measured(row(ocr="D"))["description"]


def test_what_has_no_name_gets_words_that_are_near_marked_as_such():
    said = describe_measured(row(words=()), ["dog", "puppy"])
    assert said["description"].endswith(", perhaps of dog, puppy.")
    assert said["parts"]["near_words"] == ["dog", "puppy"]
    assert "perhaps" not in describe_measured(row(), ["dog"])["description"]


def test_the_shipped_network_finds_words_among_those_of_the_crawl():
    describer = Measured(least=-1.0)
    describer.prepare({"cat": 3, "rocket": 1, "!!": 9})
    found = describer.describe([sticker(0)], [row(words=())])[0]["parts"]["near_words"]
    assert sorted(found) == ["cat", "rocket"]


def test_candidates_are_of_the_most_frequent_words_and_near_copies_are_offered_once():
    rows = [row(f"{n:02x}", ("hello",) if n < 6 else ("bye",), group=f"g{n // 2}") for n in range(10)]
    rows.append(row("ff", ("hello",), domain="real"))
    test = TestSet("VSD-C", "cartoon", words=1)
    found = choose_candidates(rows, test, most=2)
    assert [one["word"] for one in found] == ["hello"]
    assert found[0]["count"] == 6
    assert found[0]["candidates"] == ["00", "02"]  # 01 is a near copy of 00
    assert choose_candidates(rows[::-1], test, most=2) == found
    assert first_choice(found) == {"hello": "00"}


def test_near_copies_of_test_stickers_are_test_and_the_rest_follows_the_groups_name():
    frozen = [{"name": "VSD-C", "stickers": [{"sha256": "aa" * 4}, {"sha256": "zz"}]}]
    splits = Splits(frozen)
    rows = [row("aa", group="g"), row("bb", group="g"), row("cc", group="other")]
    for one in rows:
        splits.meet(one)
    assert splits.of(rows[0]) == ("test", ["VSD-C"])
    assert splits.of(rows[1]) == ("test", [])
    assert splits.of(rows[2])[0] == ("train" if split_of("other") == "train" else "val")
    assert splits.missing == ["zz"]


def test_near_copies_on_two_sides_are_named():
    rows = [{"key": "a", "split": "train"}, {"key": "b", "split": "test"}, {"key": "c", "split": "train"}]
    pairs = [{"one": "a", "other": "c", "relation": "copy"}, {"one": "a", "other": "b", "relation": "mirrored"}]
    assert check_sides(rows, pairs) == ["a (train) and b (test): mirrored"]


def test_calibration_knows_a_boastful_classifier():
    honest = calibration([0.9] * 10, [True] * 9 + [False])
    assert honest["accuracy"] == 0.9
    assert honest["expected_calibration_error"] == pytest.approx(0, abs=1e-9)
    assert calibration([1.0] * 10, [True] * 5 + [False] * 5)["expected_calibration_error"] == pytest.approx(0.5)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    how = ShardFormat(codec="png")
    with ShardWriter(tmp_path / "ds" / "shards", how) as writer:
        for number in range(4):
            about = {"domain": ("real", "cartoon")[number % 2], "split": "train", "description": f"blob {number}"}
            writer.write(f"{number:016x}", sticker(number, 6 if number else 1), about)
    rows = [{"key": f"{number:016x}", "domain_score": number / 4} for number in range(4)]
    (tmp_path / "ds" / "stickers.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return tmp_path / "ds"


def test_what_a_classifier_is_least_sure_of_is_asked_first_and_labels_become_shards(dataset: Path, tmp_path: Path):
    questions = domain_questions(dataset, 2)
    assert [one.name[-1] for one in questions] == ["2", "1"]
    plan = page_plan("x", questions, {one.clip: f"{one.clip}.webp" for one in questions})
    assert plan["questions"][0]["options"][0] == {"value": "cartoon", "clip": ""}
    path = tmp_path / "answers.json"
    answers = {questions[0].name: "real", questions[1].name: "unsure"}
    assert save_answers(path, questions, answers, "me") == 2
    assert load_answers(path) == (answers, "me")
    assert labelled_shards(dataset, answers, tmp_path / "labels") == 1
    assert StickerShards(tmp_path / "labels").metadata(0).domain == "real"
    with pytest.raises(UserError, match="among what is asked"):
        save_answers(path, questions, {questions[0].name: "<b>"}, "me")
    with pytest.raises(UserError, match="is missing"):
        word_questions(dataset, "VSD-R")


def test_a_training_takes_one_domain(dataset: Path):
    stickers = CuratedStickers(0.5, root=str(dataset), domains=["cartoon"], num_frames=2, size=(32, 32), stills=True)
    assert len(stickers) == 2
    assert {stickers[place]["domain"] for place in range(2)} == {"cartoon"}
    with pytest.raises(UserError, match="domain 'drawn'"):
        CuratedStickers(root=str(dataset), domains=["drawn"]).setup()
    with pytest.raises(UserError, match=r"keyframes must be in \[0, 1\], got 2"):
        CuratedStickers(2, root=str(dataset))


@pytest.mark.parametrize("form", ["llava", "messages"])
def test_labels_become_fine_tuning_data(dataset: Path, tmp_path: Path, form: str):
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps({"key": f"{n:016x}", "description": f"a blob {n}"}) + "\n" for n in range(2)))
    assert export_sft(dataset, labels, tmp_path / "sft", form) == 2
    text = next((tmp_path / "sft").glob("train.*")).read_text()
    found = json.loads(text) if form == "llava" else [json.loads(one) for one in text.splitlines()]
    assert "a blob 0" in json.dumps(found[0])
    assert "a blob 1" in json.dumps(found[1])
    assert {path.suffix for path in (tmp_path / "sft" / "media").iterdir()} == {".png", ".gif"}
    with pytest.raises(UserError, match="new or an empty folder"):
        export_sft(dataset, labels, tmp_path / "sft", form)
