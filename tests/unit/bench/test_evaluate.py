"""Scoring: what methods are given, what is kept, and what a missing weight leads to."""

import json

import numpy as np
import pytest
import torch
from tests.helpers.tiny_transparent import tiny_codec

from glassine.bench.alpha_methods import with_failure_scores
from glassine.bench.evaluate import AlphaEvaluator, evaluate
from glassine.bench.methods import AlphaMethod, Sources, make_methods
from glassine.bench.protocols import GLASS, AlphaEvalSet
from glassine.bench.records import read_records
from glassine.data.shards import ShardWriter
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.vae import RoundTrip
from glassine.utils.errors import UserError

SIZE = 48
GROUPS = {"disc": "test", "ring": "test", "bar": "test", "other": "val", "trained": "train"}


def sticker(kind: str, shade: int) -> Sticker:
    """A colored shape with a soft edge that moves over four frames."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    frames = np.zeros((4, SIZE, SIZE, 4), np.uint8)
    for number, frame in enumerate(frames):
        radius = np.hypot(y - SIZE / 2, x - SIZE / 2 - number)
        inside = {"disc": 15 - radius, "ring": 6 - abs(radius - 12), "bar": 6 - abs(y - SIZE / 2)}.get(
            kind, 10 - radius
        )
        frame[..., :3] = np.stack([np.full_like(y, 200), shade + 2 * y, 30 + 3 * x], axis=-1)
        frame[..., 3] = np.clip(inside, 0, 1) * 255
    return Sticker(frames, (100,) * 4)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Shards with two variants of a sticker in each group, and one still."""
    folder = tmp_path_factory.mktemp("shards")
    with ShardWriter(folder) as writer:
        for group, split in GROUPS.items():
            for variant in range(2):
                about = {"group": group, "split": split, "source": "test"}
                writer.write(f"{group}-{variant}", sticker(group, 60 * variant), about)
        still = Sticker(sticker("disc", 0).frames[:1], (100,))
        writer.write("still", still, {"group": "still", "split": "test", "source": "test"})
    return str(folder)


@pytest.fixture
def eval_set(root):
    return AlphaEvalSet(root, size=SIZE, num_frames=2)


class Spy:
    """A method that notes what it is given and answers with the truth or its opposite."""

    def __init__(self, right: bool = True, fail_at: int | None = None) -> None:
        self.right, self.fail_at, self.seen = right, fail_at, []

    def __call__(self, clip, background, true_alpha):
        self.seen.append((clip, background))
        if self.fail_at is not None and len(self.seen) >= self.fail_at:
            raise KeyboardInterrupt
        return true_alpha if self.right else 1 - true_alpha

    def method(self, **more) -> AlphaMethod:
        return AlphaMethod("spy", "spy", function=self, **more)


def test_one_animated_sticker_of_each_eval_set_group(root, eval_set):
    assert eval_set.keys() == ["disc-0", "ring-0", "bar-0"]
    assert AlphaEvalSet(root, "val", SIZE).keys() == ["other-0"]
    assert AlphaEvalSet(root, size=SIZE, limit=2).keys() == ["disc-0", "bar-0"]


def test_every_condition_shows_the_same_truth_on_another_picture(root):
    eval_set = AlphaEvalSet(root, size=SIZE, num_frames=2, round_trip=lambda clip: clip * 0.9)
    samples = {
        name: eval_set.dataset(name)[0] for name in eval_set.conditions if not name.startswith(("procedural", "faded"))
    }
    colors = {"white", "gray", "own_color", "own_color_jpeg75", "white_gif_palette", "vae_decoded"}
    assert colors | {"moving_background"} == set(samples)
    for sample in samples.values():
        torch.testing.assert_close(sample["alpha"], samples["white"]["alpha"])
    assert len({eval_set.fingerprint(name) for name in eval_set.conditions}) == len(eval_set.conditions)
    assert eval_set.dataset("faded")[0]["alpha"].max() == pytest.approx(0.5, abs=0.01)
    assert "vae_decoded" not in AlphaEvalSet(root, size=SIZE).conditions


def test_glass_is_half_transparent_and_as_many_as_there_are_stickers(eval_set):
    glass = eval_set.dataset(GLASS)
    assert len(glass) == len(eval_set)
    alpha = glass[0]["alpha"]
    assert ((alpha > 0.1) & (alpha < 0.9)).float().mean() > 0.02


def test_scores_of_the_truth_and_of_its_opposite(eval_set, tmp_path):
    right, wrong = Spy(), Spy(right=False)
    methods = [right.method(), AlphaMethod("wrong", "wrong", function=wrong)]
    one, other = evaluate(methods, eval_set, tmp_path, ["white", "gray"], data="shapes")
    assert one.conditions["white"].scores["psnr_mean"] == 60
    assert one.conditions["white"].scores["psnr_share_under_20db"] == 0
    assert one.conditions["white"].scores["composite_psnr"] > 30
    assert other.conditions["gray"].scores["psnr_share_under_20db"] == 1
    assert other.conditions["gray"].scores["mad"] > 900
    assert one.conditions["white"].psnr == {"disc-0": 60, "ring-0": 60, "bar-0": 60}
    assert one.costs["ms_per_frame"] > 0


def test_no_method_is_told_the_background(eval_set, tmp_path):
    spy = Spy()
    evaluate([spy.method()], eval_set, tmp_path, ["gray"])
    assert spy.seen
    assert all(background is None and clip.shape == (1, 2, 3, SIZE, SIZE) for clip, background in spy.seen)


def test_a_method_for_some_conditions_is_scored_there_alone(eval_set, tmp_path):
    everywhere, there = Spy().method(), AlphaMethod("some", "some", function=Spy(), conditions=("gray",))
    one, other = evaluate([everywhere, there], eval_set, tmp_path, ["white", "gray"])
    assert set(one.conditions) == {"white", "gray"}
    assert set(other.conditions) == {"gray"}


def test_what_is_measured_is_kept_until_weights_or_settings_change(eval_set, tmp_path):
    def calls(method_of, **more) -> int:
        spy = Spy()
        evaluate([method_of(spy)], eval_set, tmp_path, ["white"], **more)
        return len(spy.seen)

    first = calls(lambda spy: spy.method(weights="w", digest="a"))
    assert first >= len(eval_set)
    assert calls(lambda spy: spy.method(weights="w", digest="a")) == 0
    assert calls(lambda spy: spy.method(weights="w", digest="a"), again=True) == first
    assert calls(lambda spy: spy.method(weights="w", digest="b")) == first
    assert calls(lambda spy: spy.method(weights="w", digest="b", settings={"band": 3})) == first
    assert len(list(tmp_path.iterdir())) == 1


def test_signs_of_failure_of_a_network_are_added_to_cells_that_lack_them(eval_set, tmp_path):
    codec = tiny_codec()
    network = ILDiff(codec.vae, codec.decoder, adapter=None).eval()
    plain = Spy().method(weights="w", digest="a")
    (before,) = evaluate([plain], eval_set, tmp_path, ["white"])
    assert "harmlessness" not in before.conditions["white"].scores
    (after,) = evaluate([with_failure_scores(plain, network)], eval_set, tmp_path, ["white"])
    cell = after.conditions["white"]
    assert cell.scores["psnr_mean"] == before.conditions["white"].scores["psnr_mean"]
    clip = eval_set.dataset("white")[0]["clip"]  # f 3 h w
    with torch.inference_mode():
        rebuilt = RoundTrip(codec.vae)(clip)
    expected = -10 * (rebuilt.clamp(0, 1) - clip).square().mean().log10()
    assert cell.items["harmlessness"][0] == pytest.approx(float(expected), abs=0.3)  # clips are kept in 8 bits
    assert all(0 < value < 60 for value in cell.items["decoder_rgb"])


def test_costs_are_measured_again_on_another_machine_and_scores_are_not(eval_set, tmp_path, monkeypatch):
    machine = {"cpu": "abacus", "cores": 1, "gpu": "none"}
    monkeypatch.setattr("glassine.utils.devices.hardware", lambda: machine)
    evaluate([Spy().method()], eval_set, tmp_path, ["white"])
    machine["cpu"], again = "slide rule", Spy()
    evaluate([again.method()], eval_set, tmp_path, ["white"])
    (record,) = read_records(tmp_path)
    assert record.costs_on == "slide rule, 1 cores"
    assert len({float(clip.sum()) for clip, _ in again.seen}) == 1  # one clip for its time, none for its scores


def test_a_stopped_run_goes_on_with_the_condition_it_was_at(eval_set, tmp_path):
    warm_up = 6  # the measurement of speed
    with pytest.raises(KeyboardInterrupt):
        evaluate([Spy(fail_at=warm_up + len(eval_set) + 1).method()], eval_set, tmp_path, ["white", "gray"])
    (record,) = read_records(tmp_path)
    assert list(record.conditions) == ["white"]
    spy = Spy()
    (record,) = evaluate([spy.method()], eval_set, tmp_path, ["white", "gray"])
    assert len(spy.seen) == len(eval_set)
    assert list(record.conditions) == ["white", "gray"]


def test_a_row_without_weights_says_so_and_has_no_number(eval_set, tmp_path):
    methods = make_methods(["threshold", "ildiff"], Sources([str(tmp_path / "nowhere")]))
    _, record = evaluate(methods, eval_set, tmp_path / "results", ["white"])
    assert "nowhere" in record.missing
    assert not record.conditions
    with pytest.raises(UserError, match="nowhere"):
        methods[1].alpha(torch.zeros(1, 1, 3, 8, 8))


def test_simple_methods_do_well_on_white_and_grab_cut_uses_the_box(eval_set, tmp_path):
    names = ["threshold", "flood_fill", "color_projection", "grab_cut"]
    records = evaluate(make_methods(names), eval_set, tmp_path, ["white"])
    means = {record.method: record.conditions["white"].scores["psnr_mean"] for record in records}
    assert means["color_projection"] > means["threshold"] > 15
    assert means["grab_cut"] > 10


def test_records_name_no_folder_of_this_machine(eval_set, root, tmp_path):
    evaluate(make_methods(["threshold"]), eval_set, tmp_path, ["white"], data="shapes")
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    assert root not in text
    assert json.loads(text)["hardware"]["cores"] >= 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 50}, "multiple of 16, .* got 50, 8"),
        ({"limit": 0}, "got 256, 8 and 0"),
        ({"split": "val", "num_frames": 0}, "got 256, 0"),
    ],
)
def test_numbers_out_of_range_are_refused(root, wrong, says):
    with pytest.raises(UserError, match=says):
        AlphaEvalSet(root, **wrong)


def test_unknown_names_are_refused(eval_set, tmp_path):
    with pytest.raises(UserError, match=r"condition must be one of white, .* got 'sepia'"):
        evaluate([], eval_set, tmp_path, ["sepia"])
    with pytest.raises(UserError, match=r"method must be one of threshold, .* got 'magic'"):
        make_methods(["magic"])


def test_a_size_that_a_network_cannot_take_is_refused(eval_set, tmp_path):
    with pytest.raises(UserError, match="size must be a multiple of 64 for spy, got 48"):
        evaluate([Spy().method(size_multiple=64)], eval_set, tmp_path)


def test_the_methods_of_a_call_are_timed_in_turns(eval_set, tmp_path):
    order = []

    def named(name: str) -> AlphaMethod:
        def alpha(clip: torch.Tensor, *_: object) -> torch.Tensor:
            order.append(name)
            return clip[:, :, :1]

        return AlphaMethod(name, name, function=alpha)

    evaluate([named("a"), named("b")], eval_set, tmp_path, [])
    assert order == ["a", "b"] * 6  # once to warm up, then five rounds
    assert all(record.costs["ms_per_frame"] > 0 for record in read_records(tmp_path))
    evaluate([named("a"), named("b")], eval_set, tmp_path, [])
    assert len(order) == 12  # measured already


def test_a_new_metric_fills_the_cells_that_lack_it_and_old_records_have_the_metrics_they_hold(
    eval_set, tmp_path, monkeypatch
):
    (record,) = evaluate([Spy().method()], eval_set, tmp_path, ["white"])
    (path,) = tmp_path.iterdir()
    content = json.loads(path.read_text())
    assert content["conditions"]["white"].pop("metrics") == list(record.conditions["white"].scores)
    path.write_text(json.dumps(content))  # as records were written before they named their metrics
    same = Spy()
    evaluate([same.method()], eval_set, tmp_path, ["white"])
    assert not same.seen
    names = AlphaEvaluator.metric_names
    monkeypatch.setattr(AlphaEvaluator, "metric_names", lambda self: [*names(self), "fuzz"])
    more = Spy()
    evaluate([more.method()], eval_set, tmp_path, ["white"])
    assert len(more.seen) == len(eval_set)
