import numpy as np
import pytest
import torch
from tests.unit.data.test_thumbnails import write
from tests.unit.models.test_sticker_clip import ENCODER

from glassine.__main__ import main
from glassine.bench.prompts import lines, middle_frames, names_network, score_prompts
from glassine.bench.records import read_record
from glassine.data.shards import StickerShards
from glassine.data.sticker import Sticker
from glassine.data.thumbnails import Thumbnails
from glassine.models.sticker_clip import ClipEncoder, StickerNames
from glassine.utils.errors import UserError


@pytest.fixture
def world(tmp_path):
    root = write(tmp_path / "s", groups=6)
    torch.manual_seed(0)
    network = StickerNames(ClipEncoder(**ENCODER), 8).eval()
    network.set_names([f"g{group}" for group in range(6)])
    return network, StickerShards(root), Thumbnails(root, str(tmp_path / "t"), size=16)


def test_a_record_says_how_many_of_what_and_how_well(world, tmp_path):
    asked = []

    def make(prompt, seeds):
        asked.append((prompt, tuple(seeds)))
        chance = np.random.default_rng(len(asked))
        return [Sticker(chance.integers(0, 255, (3, 16, 16, 4), np.uint8), (100,) * 3) for _ in seeds]

    arguments = {"count": 4, "seeds": (5, 6), "prompt": "{}, flat", "backgrounds": ("white", "black")}
    record = score_prompts(make, *world, tmp_path / "records", "noise", "somewhere", **arguments)
    assert sorted(prompt for prompt, _ in asked) == sorted(f"thing {group[1:]}, flat" for group in record.stickers)
    assert {seeds for _, seeds in asked} == {(5, 6)}
    read = read_record(next((tmp_path / "records").glob("*.json")))
    assert read == record
    assert read.settings["candidates"] == 6
    assert list(read.conditions) == ["white", "black"]
    cell = read.conditions["white"]
    assert cell.stickers == 8
    assert 0 <= cell.scores["top1_low"] <= cell.scores["top1"] <= cell.scores["top1_high"] <= 1
    shown = "\n".join(lines(record))
    assert "4 names, as many groups, of 6 that the evaluator knows; seeds 5 6;" in shown
    assert "on black, sharpness: " in shown


def test_the_middle_frame_is_judged():
    frames = np.zeros((5, 2, 2, 4), np.uint8)
    frames[2] = 255
    assert middle_frames([Sticker(frames, (10,) * 5)]).min() == 1


def test_what_cannot_be_scored_is_refused(world, tmp_path, capsys):
    with pytest.raises(UserError, match="prompt must contain"):
        score_prompts(lambda *_: [], *world, tmp_path, "none", "", 2, prompt="a cat")
    with pytest.raises(UserError, match="evaluator must be a StickerNames"):
        names_network("glassine:tiny-clip")
    assert main(["benchmark", "prompts", "--evaluator", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
