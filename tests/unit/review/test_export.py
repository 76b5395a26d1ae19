"""What was chosen becomes training data: with votes, without held-out groups, and never by nobody."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.taught_clips import SIDE, ball
from tests.helpers.tiny_review import answers_of, tiny_review, write_answers

from glassine.data.datamodule import StickerDataModule
from glassine.data.dataset import Stickers
from glassine.data.shards import ShardWriter, StickerShards
from glassine.data.sticker import Sticker
from glassine.review.answers import Annotator, read_annotators
from glassine.review.export import Rule, export_chosen
from glassine.review.plan import ReviewKey
from glassine.utils.errors import UserError


def annotators(folder: Path, key: ReviewKey, **answers: list[dict]) -> list[Annotator]:
    files = [write_answers(folder / f"{name}.jsonl", key, name, lines) for name, lines in answers.items()]
    return read_annotators(files, key)


def jsons(shards: Path) -> dict[str, dict]:
    with tarfile.open(shards / "shard-000000.tar") as tar:
        names = [name for name in tar.getnames() if name.endswith(".json")]
        return {name.removesuffix(".json"): json.load(tar.extractfile(name)) for name in names}


def test_the_data_module_trains_on_what_was_chosen(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=4)
    given = annotators(tmp_path, key, anna=answers_of(key, lambda clip: clip.teacher == "lively"))
    exported = export_chosen(tmp_path / "review", key, given, tmp_path / "shards")
    assert (exported.chosen, exported.written, exported.teachers) == (4, 4, {"lively": 4})
    shards = StickerShards(tmp_path / "shards")
    assert [shards.key(row) for row in range(4)] == [f"p{number}-lively-0" for number in range(4)]
    assert np.array_equal(shards.read(0, range(6)), ball(0, 6.0))
    assert shards.metadata(0).description == "a red ball"
    data = StickerDataModule(Stickers(str(tmp_path / "shards"), num_frames=6, size=(SIDE, SIDE)), batch_size=2)
    batch = next(iter(data.train_dataloader()))
    assert batch["foreground"].shape[:2] == (2, 6)


def test_every_sticker_has_its_votes(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    anna = answers_of(key, lambda clip: True)
    ben = answers_of(key, lambda clip: clip.teacher == "calm")
    export_chosen(tmp_path / "review", key, annotators(tmp_path, key, anna=anna, ben=ben), tmp_path / "shards")
    votes = {name: content["votes"] for name, content in jsons(tmp_path / "shards").items()}
    assert votes["p0-lively-0"]["chosen_by"] == ["anna"]
    assert votes["p0-lively-0"]["rejected_by"] == ["ben"]
    assert votes["p0-lively-0"]["share"] == 0.5
    assert votes["p0-calm-0"]["people"] == 2
    card = json.loads((tmp_path / "shards" / "chosen.json").read_text())
    assert card["chosen_by"] == "2 people"
    assert card["recipes"]["calm"]["recipe"] == {"data": "calm", "fps": 12}


def test_the_share_and_the_number_of_votes_decide(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    anna = answers_of(key, lambda clip: True)
    ben = answers_of(key, lambda clip: clip.teacher == "calm")
    given = annotators(tmp_path, key, anna=anna, ben=ben)
    for name, rule in (("share", Rule(min_share=0.6)), ("votes", Rule(min_votes=2))):
        assert export_chosen(tmp_path / "review", key, given, tmp_path / name, rule).teachers == {"calm": 2}


def test_one_teacher_can_be_exported_alone(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    given = annotators(tmp_path, key, anna=answers_of(key, lambda clip: True))
    exported = export_chosen(tmp_path / "review", key, given, tmp_path / "calm", Rule(teachers=("calm",)))
    assert (exported.chosen, exported.teachers) == (2, {"calm": 2})
    with pytest.raises(UserError, match="teachers must be among calm, lively, got strict"):
        export_chosen(tmp_path / "review", key, given, tmp_path / "none", Rule(teachers=("strict",)))


def test_no_held_out_group_gets_in(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=4, splits={1: "test", 2: "val"})
    given = annotators(tmp_path, key, anna=answers_of(key, lambda clip: clip.teacher == "calm"))
    exported = export_chosen(tmp_path / "review", key, given, tmp_path / "shards")
    assert exported.left_out == {"of the test split": 1, "of the validation split": 1}
    with ShardWriter(tmp_path / "other") as writer:
        writer.write("a", Sticker(ball(0, 1), (80,) * 6), {"group": "ball3", "split": "test"})
        writer.write("b", Sticker(ball(0, 1), (80,) * 6), {"group": "ball0", "split": "train"})
    exported = export_chosen(tmp_path / "review", key, given, tmp_path / "kept", keep_out=[tmp_path / "other"])
    shards = StickerShards(tmp_path / "kept")
    assert [shards.group(row) for row in range(len(shards))] == ["ball0"]
    assert {shards.split(row) for row in range(len(shards))} == {"train"}
    with pytest.raises(UserError, match="no chosen clip may be trained on: of 1, 1 of the test split"):
        export_chosen(
            tmp_path / "review",
            key,
            annotators(
                tmp_path, key, ben=answers_of(key, lambda c: key.trials[c.trial].prompt == "p1" and c.teacher == "calm")
            ),
            tmp_path / "none",
        )


def test_nothing_chosen_is_told_and_nothing_is_written(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    given = annotators(tmp_path, key, anna=answers_of(key, lambda clip: False))
    with pytest.raises(UserError, match="nothing was chosen: of 4 clips judged, none"):
        export_chosen(tmp_path / "review", key, given, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
    with pytest.raises(UserError, match="nobody has answered yet"):
        export_chosen(tmp_path / "review", key, [], tmp_path / "shards")


def test_what_the_proxy_chose_is_asked_for_and_marked(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    given = annotators(tmp_path, key, proxy=answers_of(key, lambda clip: clip.teacher == "calm"))
    with pytest.raises(UserError, match="no people have answered, only the proxy: --by proxy"):
        export_chosen(tmp_path / "review", key, given, tmp_path / "shards")
    export_chosen(tmp_path / "review", key, given, tmp_path / "shards", Rule(by="proxy"))
    assert {content["votes"]["chosen_by"] for content in jsons(tmp_path / "shards").values()} == {"no people chose"}
    assert json.loads((tmp_path / "shards/chosen.json").read_text())["chosen_by"].startswith("no people chose")
    people = annotators(tmp_path, key, anna=answers_of(key, lambda clip: True))
    with pytest.raises(UserError, match="the proxy has not chosen yet"):
        export_chosen(tmp_path / "review", key, people, tmp_path / "more", Rule(by="proxy"))


def test_long_names_become_keys_that_fit_and_differ(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2)
    for trial in key.trials.values():
        object.__setattr__(trial, "prompt", "x" * 79 + trial.prompt[-1])
    given = annotators(tmp_path, key, anna=answers_of(key, lambda clip: True))
    assert export_chosen(tmp_path / "review", key, given, tmp_path / "shards").written == 4
    shards = StickerShards(tmp_path / "shards")
    assert len({shards.key(row) for row in range(4)}) == 4
