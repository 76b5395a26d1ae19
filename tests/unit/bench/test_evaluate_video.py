"""Evaluation of generated clips: test sets, scores of opaque and transparent clips, and what is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.helpers.small_shards import small_shards
from tests.helpers.tiny_evaluator import save_evaluator
from tests.helpers.tiny_generator import tiny_generator
from tests.helpers.tiny_transparent import tiny_codec, tiny_motion_unet, tiny_transparent
from torchvision.models.optical_flow import raft_small

from glassine.__main__ import main
from glassine.bench import video_methods
from glassine.bench.evaluate_video import AnimationEvaluator, alpha_items, item_keys, write_clips
from glassine.bench.evaluators import Evaluators, EvaluatorSources, dynamic_degrees
from glassine.bench.intervals import DISTANCE_DRAWS
from glassine.bench.loading import Loaded
from glassine.bench.protocols import RATE, WHITE, CaptionedClip, CaptionedSet, VideoEvalSet
from glassine.bench.records import read_records
from glassine.bench.report import ANIMATION_RESULTS
from glassine.bench.study import animation
from glassine.bench.video_methods import (
    VideoSampler,
    cut_out_after,
    from_captions,
    reference_method,
    through_codec,
    training_clips,
    true_clips,
)
from glassine.data.clips import ProceduralClips
from glassine.data.codecs import read_sticker
from glassine.data.dataset import StickerDataset
from glassine.data.frame_sampling import frames_at
from glassine.data.sticker import SPLITS, Sticker
from glassine.data.transforms import EvalCondition
from glassine.models.sampling import SamplerConfig
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.study.plan import find_prompts, read_prompts
from glassine.study.site import match_items
from glassine.utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory) -> AnimationEvaluator:
    networks = Evaluators(save_evaluator(tmp_path_factory.mktemp("evaluator")), CPU)
    return AnimationEvaluator(VideoEvalSet({"stickers": CaptionedSet("procedural", count=4, size=32)}), networks)


def test_true_clips_are_their_own_truth_and_the_codec_is_scored_against_them(evaluator, monkeypatch):
    wanted = evaluator.eval_set.sets["stickers"]
    maker = true_clips(CPU)
    scores = evaluator.scores(wanted, maker.clips(wanted.clips), maker, wanted.clips).scores
    assert scores["fvd_glassine_native_8f_white"] > 1e-6  # one half from the other, not each from itself
    assert scores["fvd_glassine_native_8f_white_n_real"] == scores["fvd_glassine_native_8f_white_n_fake"] == 2
    assert scores["alpha_motion"] > 0
    assert "psnr_mean" not in scores
    monkeypatch.setattr(video_methods, "load_network", lambda *_: Loaded(tiny_codec(), "tiny"))
    codec = through_codec(CPU)
    rebuilt = codec.clips(wanted.clips)
    assert rebuilt.shape == (4, 8, 4, 32, 32)
    assert evaluator.scores(wanted, rebuilt, codec, wanted.clips).scores["psnr_mean"] < 40  # untrained
    monkeypatch.setattr(video_methods, "load_network", lambda *_: Loaded(torch.nn.Linear(1, 1), "tiny"))
    with pytest.raises(UserError, match="must be a TransparencyVAE, got a Linear"):
        through_codec(CPU)


def test_a_network_of_fewer_frames_plays_its_loop_again(evaluator, monkeypatch):
    class FourFrames:
        model = torch.nn.Linear(1, 1)
        model.usual_frames = 4  # type: ignore[assignment]

        def __call__(self, prompts: list[str], *_: object, **__: object) -> list[Sticker]:
            frames = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 4), dtype=np.uint8)
            return [Sticker(frames, (100,) * 4) for _ in prompts]

    monkeypatch.setattr(TextToStickerPipeline, "from_pretrained", lambda *_, **__: FourFrames())
    wanted = evaluator.eval_set.sets["stickers"]
    made = cut_out_after(CPU).clips(wanted.clips)
    assert made.shape == (4, 8, 4, 32, 32)
    assert torch.equal(made[:, :4], made[:, 4:])
    assert not torch.equal(made[:, 0], made[:, 1])


def test_a_network_that_animates_makes_transparent_clips(evaluator):
    wanted = evaluator.eval_set.sets["stickers"]
    network = tiny_transparent(tiny_motion_unet())
    maker = VideoSampler(lambda *asked: from_captions(network, *asked[:2], SamplerConfig(2, 2.0)), 1, "x")
    made = maker.clips(wanted.clips)
    assert made.shape == (4, 8, 4, 32, 32)
    assert evaluator.scores(wanted, made, maker, wanted.clips).scores.keys() > {
        "alpha_overlap",
        "dynamic_degree_farneback_moving_gray",
    }


def alpha_means(alpha: torch.Tensor, reference: int) -> dict[str, float]:
    return {name: float(torch.nanmean(values)) for name, values in alpha_items(alpha, reference).items()}


def test_alpha_that_stands_still_agrees_with_the_base_image_and_does_not_flicker():
    still = torch.rand(2, 1, 1, 8, 8).expand(-1, 4, -1, -1, -1)
    scores = alpha_means(still, 2)
    assert scores == {"alpha_overlap": 1, "alpha_levels": 0, "alpha_motion": 0, "alpha_flicker": 0}
    assert alpha_means(torch.rand(2, 4, 1, 8, 8), 2)["alpha_flicker"] > 50


def test_the_base_image_is_not_compared_with_itself_and_may_be_the_first_frame():
    alpha = torch.zeros(1, 4, 1, 8, 8)
    alpha[:, 0] = 1
    assert alpha_means(alpha, 0)["alpha_overlap"] == 0
    first = tiny_transparent(tiny_motion_unet(reference_frame="first"))
    assert first.needs_base
    assert [first.reference_index(8), VideoSampler(torch.zeros, 1, "x").reference(8)] == [0, 4]


def test_raft_joins_where_its_weights_are_given(tmp_path):
    path = tmp_path / "raft_small.pth"
    torch.save(raft_small(weights=None).state_dict(), path)
    plain, more = dynamic_degrees(None), dynamic_degrees(str(path))
    assert [flow.names[0] for flow in plain] == ["dynamic_degree_farneback_moving_gray"]
    assert [flow.names[0] for flow in more][1:] == ["dynamic_degree_raft_small_moving_gray"]


def test_scores_of_what_ships_are_kept_until_its_weights_or_settings_change(evaluator, tmp_path):
    folder = tmp_path / ANIMATION_RESULTS
    animation([], ["true"], evaluator, tmp_path)
    (record,) = read_records(folder)
    same = true_clips(CPU)

    def opened(sampler):
        return evaluator.open(reference_method("true", sampler).new_record(evaluator.eval_set), folder)

    assert opened(same) == record
    assert not opened(replace(same, digest="x")).conditions
    anew = opened(replace(same, settings={"x": 1}))
    assert (anew.conditions, anew.settings) == ({}, record.settings | {"x": 1})
    assert "Published" in (tmp_path / "animation.md").read_text()


def test_a_metric_that_a_record_lacks_makes_its_cell_stale(evaluator, tmp_path):
    record = evaluator.evaluate(reference_method("true", true_clips(CPU)), true_clips(CPU), tmp_path)
    assert {"kvd_glassine_native_8f_black", "alpha_motion"} <= set(record.conditions["stickers"].metrics)
    assert not evaluator.missing(record, ["stickers"])
    record.conditions["stickers"].metrics.remove("alpha_motion")
    assert evaluator.missing(record, ["stickers"]) == ["stickers"]


def test_mistakes_are_one_line(tmp_path, capsys):
    assert main(["benchmark", "tables", "--to", str(tmp_path)]) == 2
    assert "must hold records in results/, got none" in capsys.readouterr().err
    assert main(["benchmark", "animation", "--clips", "0", "--to", str(tmp_path)]) == 2
    assert "steps, clips must be at least 1, got 200, 0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> EvaluatorSources:
    return save_evaluator(tmp_path_factory.mktemp("evaluator"))


@pytest.fixture(scope="module")
def test_set() -> CaptionedSet:
    return CaptionedSet("procedural", count=6, size=32, num_frames=8)


def test_the_real_clips_score_better_than_noise(sources, test_set):
    evaluators, real = Evaluators(sources), test_set.stacked()
    captions = [one.caption for one in test_set.clips]
    same = evaluators.score(real, real, captions).scores
    noise = evaluators.score(real, torch.rand(real.shape, generator=torch.Generator().manual_seed(0)), captions).scores
    assert abs(same["fvd_glassine_native_8f_white"]) < 1e-6
    assert noise["fvd_glassine_native_8f_white"] > 0.01
    assert same["fvd_glassine_native_8f_white_n_fake"] == len(captions)
    assert not [name for name in same if name.split("_")[1] != "glassine"]  # never by the name of another network


def test_test_stickers_are_the_same_each_time_and_not_those_of_validation(test_set):
    again, other = (
        CaptionedSet("procedural", count=6, size=32),
        CaptionedSet("procedural", split="val", count=6, size=32),
    )
    assert again.fingerprint() == test_set.fingerprint()
    assert other.fingerprint() != test_set.fingerprint()
    with pytest.raises(UserError, match="test set must be one of stickers, procedural"):
        CaptionedSet("cats")


def test_a_clip_is_made_for_every_caption_by_a_seed_of_its_own(test_set):
    network = tiny_generator()
    asked = []

    def make(wanted, seeds, sampling: SamplerConfig) -> torch.Tensor:
        asked.extend(seeds)
        return from_captions(network, wanted, seeds, SamplerConfig(2, sampling.guidance_scale, sampling.solver))

    made = VideoSampler(make, 1, "x").clips(test_set.clips, batch=4)
    assert made.shape == test_set.stacked().shape
    assert asked == list(range(6))


def test_clips_of_two_methods_can_be_compared_by_people(tmp_path):
    wanted = [CaptionedClip(key, f"Cartoon\t{key}", (), torch.rand(2, 3, 8, 8), torch.rand(2, 4, 8, 8)) for key in "ab"]
    for method, channels in (("ours", 4), ("theirs", 3)):
        write_clips(torch.rand(2, 2, channels, 8, 8), wanted, tmp_path / method)
    items = match_items({name: tmp_path / name for name in ("ours", "theirs")})
    assert [item.name for item in items] == ["a", "b"]
    assert read_prompts(find_prompts([tmp_path / "ours"]), ["a", "b"]) == {"a": "a", "b": "b"}
    assert json.loads((tmp_path / "theirs" / "prompts.json").read_text())["b"] == "b"
    assert (read_sticker(tmp_path / "theirs" / "a.webp").frames[..., 3] == 255).all()


def test_a_set_has_one_sticker_of_each_group_and_as_many_groups_as_there_are(tmp_path):
    groups = {"aa": "one", "ab": "one", "ba": "two", "ca": "three", "da": "four"}
    splits = {key: "train" if key == "da" else "test" for key in groups}
    small_shards(tmp_path, groups, splits)
    found = CaptionedSet("stickers", str(tmp_path), size=32, num_frames=4)
    assert [one.key for one in found.clips] == ["aa", "ba", "ca"]
    assert found.groups == ["one", "two", "three"]
    assert [one.key for one in found.training_clips(9)] == ["da"]
    assert len(CaptionedSet("stickers", str(tmp_path), count=2, size=32).clips) == 2


def test_several_seeds_are_made_where_there_are_few_captions_and_true_clips_are_not_repeated(test_set):
    eval_set = VideoEvalSet({"stickers": test_set}, least=15)
    wanted = eval_set.wanted("stickers")
    assert len(wanted) == 18
    assert item_keys(wanted)[::6] == [test_set.clips[0].key + end for end in ("", "#1", "#2")]
    assert len(eval_set.wanted("stickers", seeded=False)) == 6


def test_motion_of_true_clips_is_measured_at_the_rate_of_made_ones():
    spread = CaptionedSet("procedural", count=2, size=32, num_frames=4, paced=True)
    sampler = true_clips(CPU)
    paced = sampler.at_rate(sampler.clips(spread.clips), spread.clips)
    dataset = StickerDataset(
        [ProceduralClips(2, SPLITS.index("test"), 32)], 24, (32, 32), EvalCondition("white", WHITE)
    )
    whole = dataset[0]
    seconds = 24 / float(whole["fps"])  # of the whole sticker
    chosen = frames_at([1000 * seconds / 24] * 24, 4, RATE)
    assert torch.allclose(paced[0, :, 3:], whole["alpha"][chosen], atol=0.02)
    assert not torch.equal(paced[0], spread.clips[0].rgba)


def test_training_clips_are_the_floor_of_distances_at_the_number_of_made_clips(evaluator, tmp_path):
    more = AnimationEvaluator(VideoEvalSet(evaluator.eval_set.sets, least=6), evaluator.evaluators)
    sampler = training_clips(CPU)
    record = more.evaluate(reference_method("train", sampler), sampler, tmp_path)
    cell = record.conditions["stickers"]
    assert cell.scores["kvd_glassine_native_8f_white_n_fake"] == 6
    assert cell.scores["kvd_glassine_native_8f_white_n_real"] == 4
    assert len(cell.draws["kvd_glassine_native_8f_white"]) == DISTANCE_DRAWS
    assert not set(cell.groups) & set(evaluator.eval_set.sets["stickers"].groups)
    assert len(cell.items["clip_glassine_score_white"]) == len(cell.items["alpha_motion"]) == 6


def test_values_of_clips_average_to_the_score(evaluator):
    wanted = evaluator.eval_set.sets["stickers"]
    made = torch.rand(4, 8, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    found = evaluator.scores(wanted, made, VideoSampler(lambda *_: made, 1, "x"), wanted.clips)
    for name in ("clip_glassine_similarity_softmax_white", "dynamic_degree_farneback_flow_gray", "alpha_flicker"):
        assert found.items[name].mean() == pytest.approx(found.scores[name], rel=1e-4)
