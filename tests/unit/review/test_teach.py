import json

import numpy as np
import pytest

from glassine.data.shards import ShardFormat, ShardWriter
from glassine.data.sticker import Sticker
from glassine.review.prompts import Prompt, prompt_id, prompts_of_file, prompts_of_procedural, prompts_of_shards
from glassine.review.teach import TrainedTeacher, teach
from glassine.utils.errors import UserError


def still(color: int = 200) -> np.ndarray:
    frame = np.zeros((8, 8, 4), np.uint8)
    frame[2:6, 2:6] = (color, 0, 0, 255)
    return frame


def prompt(**more) -> Prompt:
    return Prompt(**({"id": "a", "caption": "waves", "caption_zh": None, "still": still(), "group": "g"}
                     | {"split": "train", "source": "mine", "licence": "CC0"} | more))  # fmt: skip


def test_ids_of_long_keys_stay_different_and_short():
    long = [f"{'a' * 60}-{number}" for number in range(2)]
    assert prompt_id("panda-1") == "panda_1"
    assert len({prompt_id(key) for key in long}) == 2
    assert all(len(prompt_id(key)) <= 40 for key in long)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"id": "a/b"}, "prompt must be 1 to 80 letters"),
        ({"caption": " "}, "caption must not be empty"),
        ({"split": "all"}, "split must be one of train, val, test"),
        ({"still": np.full((4, 4, 4), 255, np.uint8)}, "the still of a must have transparent pixels"),
    ],
)
def test_prompts_out_of_range_are_refused(more, says):
    with pytest.raises(UserError, match=says):
        prompt(**more)


def test_stills_of_shards_are_middle_frames_with_their_group_split_and_licence(tmp_path):
    frames = np.stack([still(color) for color in (10, 20, 30)])
    with ShardWriter(tmp_path, ShardFormat(codec="png")) as writer:
        for number, split in enumerate(("train", "train", "test")):
            about = {"split": split, "group": f"g{number}", "description": "a cat", "description_zh": "猫"}
            about |= {"license": "MIT", "source": "drawn"}
            writer.write(f"key{number}", Sticker(frames, (100,) * 3), about)
        writer.write("one", Sticker(frames[:1], (100,)), {"split": "train", "group": "g9", "description": "a dog"})
    found = list(prompts_of_shards(tmp_path))
    assert [one.id for one in found] == ["key0", "key1"]
    assert found[0].still[3, 3, 0] == 20
    assert (found[0].caption, found[0].caption_zh) == ("a cat", "猫")
    assert (found[0].group, found[0].split, found[0].source, found[0].licence) == ("g0", "train", "drawn", "MIT")
    assert [one.id for one in prompts_of_shards(tmp_path, limit=1)] == ["key0"]
    assert [one.caption for one in prompts_of_shards(tmp_path, stills=True)] == ["a dog"]


def test_drawn_stills_are_of_the_split_that_was_asked_for():
    found = list(prompts_of_procedural(2, "val"))
    assert [one.split for one in found] == ["val", "val"]
    assert len({one.group for one in found}) == 2


def test_a_list_of_prompts_that_lacks_something_is_a_clear_error(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps([{"id": "a", "caption": "waves", "still": "a.png"}]))
    with pytest.raises(UserError, match="must have group"):
        list(prompts_of_file(path))
    path.write_text("3")
    with pytest.raises(UserError, match="must be a JSON list of prompts"):
        list(prompts_of_file(path))


@pytest.mark.parametrize(
    ("prompts", "teachers", "seeds", "says"),
    [
        ([], ["a"], [0], "there must be prompts of different names, got none"),
        ([prompt(), prompt()], ["a"], [0], "there must be prompts of different names, got a, a"),
        ([prompt()], ["a", "a"], [0], "there must be teachers of different names"),
        ([prompt()], ["a"], [1, 1], "seeds must be different numbers"),
    ],
)
def test_nothing_is_written_for_what_cannot_be_told_apart(tmp_path, prompts, teachers, seeds, says):
    given = [TrainedTeacher(name, "nowhere") for name in teachers]
    with pytest.raises(UserError, match=says):
        teach(prompts, given, tmp_path / "out", seeds, 4, (32, 32), 8.0, {})
    assert not (tmp_path / "out").exists()
