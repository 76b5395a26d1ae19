"""The proxy chooses by thresholds, answers as a person does, and says why it rejected a clip."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.taught_clips import SIDE, ball
from tests.helpers.tiny_review import tiny_review

from glassine.data.shards import ShardWriter
from glassine.data.sticker import Sticker
from glassine.review.answers import read_annotators
from glassine.review.measures import Measures
from glassine.review.proxy import choose
from glassine.review.thresholds import Thresholds, leaving_out
from glassine.utils.errors import UserError

LAX = Thresholds(0, 1, 1000, 100, 2, -1, 0)
EVALUATORS = ("glassine:tiny-clip", "glassine:tiny-video")


def test_thresholds_name_what_rejects_a_clip():
    measures = {"motion": 0.01, "flicker": 2.0, "loop_gap": float("nan"), "caption_drop": 0.0}
    assert LAX.rejections(measures) == []
    assert Thresholds(min_motion=0.02, max_motion=0.1).rejections(measures)[0] == "min_motion (0.01 is below 0.02)"
    assert Thresholds(max_flicker=1).rejections(measures) == ["max_flicker (2 is above 1)"]
    with pytest.raises(UserError, match="min_motion must be at most max_motion"):
        Thresholds(min_motion=1, max_motion=0.5)
    with pytest.raises(UserError, match="max_flicker must be a number"):
        Thresholds(max_flicker=float("nan"))


def test_thresholds_that_leave_out_the_worst_leave_out_no_more():
    measured = [{"motion": 0.01 * number, "flicker": float(-number), "loop_gap": float("nan")} for number in range(11)]
    bounds = leaving_out(0.2, measured)
    why = [bounds.rejections(one) for one in measured]
    assert [len(one) for one in why] == [2, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert why[0] == ["min_motion (0 is below 0.02)", "max_flicker (0 is above -2)"]
    assert leaving_out(0.2, measured[:1]).rejections(measured[0]) == []
    with pytest.raises(UserError, match=r"must be in \(0, 1\), got 1"):
        leaving_out(1, measured)


def test_clips_are_compared_with_each_other_where_a_share_is_given(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2, calm=1.0, lively=6.0)
    chosen = choose(tmp_path / "review", key, Thresholds(min_motion=0.9, max_motion=1), worst=0.34)
    assert 1 <= chosen.chosen < 4  # the given thresholds would leave none
    about = json.loads((tmp_path / "review" / "proxy.json").read_text())
    assert about["worst"] == 0.34
    assert about["thresholds"]["min_motion"] > 0
    assert "min_distance" not in about["thresholds"]  # nothing to judge it by


def test_the_measures_see_what_they_are_about():
    measure = Measures(*EVALUATORS, 6, (SIDE, SIDE))
    still = ball(0, 6)[0]

    def of(frames: np.ndarray) -> dict[str, float]:
        return measure(frames, still, "a red ball", "ball")

    moving, held = of(ball(0, 6)), of(np.repeat(still[None], 6, axis=0))
    assert moving["motion"] > held["motion"] == 0
    assert held["loop_gap"] == 0
    assert held["still_agreement"] == pytest.approx(1, abs=1e-4)
    assert held["caption_drop"] == pytest.approx(0, abs=1e-4)
    blinking = ball(0, 6)
    blinking[1::2, :, :, 3] //= 3
    assert of(blinking)["flicker"] > moving["flicker"]
    drifting = np.stack([np.roll(still, 2 * frame, axis=1) for frame in range(6)])
    assert of(drifting)["loop_gap"] > 2 * moving["loop_gap"]
    other = ball(0, 6)
    other[3:] = 255 - other[3:]
    other[3:, ..., 3] = 255
    assert of(other)["still_agreement"] < moving["still_agreement"]


def test_it_answers_in_the_form_of_a_person_with_its_reasons(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2, calm=0.0, lively=6.0)
    chosen = choose(tmp_path / "review", key, Thresholds(0.001, 1, 1000, 100, 2, -1, 0))
    (proxy,) = read_annotators([tmp_path / "review" / "answers" / "proxy.jsonl"], key)
    assert proxy.name == "proxy"
    assert chosen.chosen == 2
    assert chosen.reasons == {"min_motion": 2}
    for trial, answer in proxy.answers.items():
        assert [key.clips[clip].teacher for clip in answer.chosen or ()] == ["lively"]
        (rejected,) = (answer.reasons or {}).items()
        assert rejected == (
            next(clip for clip in key.trials[trial].clips if key.clips[clip].teacher == "calm"),
            ("min_motion (0 is below 0.001)",),
        )
    about = json.loads((tmp_path / "review" / "proxy.json").read_text())
    assert about["thresholds"]["min_motion"] == 0.001
    assert about["clips"]["p0-lively-0"]["motion"] > 0
    assert choose(tmp_path / "review", key, LAX).chosen == 4  # an earlier choice is replaced
    (again,) = read_annotators([tmp_path / "review" / "answers" / "proxy.jsonl"], key)
    assert again.unusable == 0


def test_a_near_copy_of_training_data_is_rejected_but_not_for_its_own_still(tmp_path: Path):
    key = tiny_review(tmp_path, prompts=2, lively=6.0)
    with ShardWriter(tmp_path / "train") as writer:
        for name, number in (("copy", 0), ("ball1", 1)):
            writer.write(name, Sticker(ball(number, 6), (83,) * 6), {"group": name, "split": "train"})
    strict = Thresholds(0, 1, 1000, 100, 2, -1, min_distance=1e-3)
    chosen = choose(tmp_path / "review", key, strict, [tmp_path / "train"])
    about = json.loads((tmp_path / "review" / "proxy.json").read_text())
    assert chosen.reasons == {"min_distance": 1}
    assert about["clips"]["p0-lively-0"]["distance"] < 1e-3 < about["clips"]["p1-lively-0"]["distance"]


def test_training_data_without_animations_is_refused(tmp_path: Path):
    with ShardWriter(tmp_path / "train") as writer:
        writer.write("a", Sticker(ball(0, 6), (83,) * 6), {"group": "a", "split": "test"})
    with pytest.raises(UserError, match="animated stickers of the split train, got none"):
        Measures(*EVALUATORS, 6, (SIDE, SIDE), [tmp_path / "train"])


def test_colors_that_nobody_sees_do_not_count():
    measure = Measures(*EVALUATORS, 6, (SIDE, SIDE))
    clip = ball(0, 6)
    hidden = clip.copy()
    hidden[3:][hidden[3:, ..., 3] == 0] = [90, 200, 10, 0]
    plain, colored = (measure(one, clip[0], "a red ball", "ball") for one in (clip, hidden))
    assert colored == pytest.approx(plain)
