"""Layer-Animate's tables: what is trained, how transparent clips are scored, and what is written."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.helpers.tiny_evaluator import save_evaluator
from tests.helpers.tiny_transparent import tiny_codec, tiny_motion_unet, tiny_transparent
from torchvision.models.optical_flow import raft_small

from glassine.bench.animation import makers as makers_module
from glassine.bench.animation.__main__ import RESULTS, compare, main, planned, shipped_record
from glassine.bench.animation.makers import TITLES, cut_out_after, through_codec, true_clips
from glassine.bench.animation.scoring import AnimationScorer, alpha_scores
from glassine.bench.animation.tables import animation_report, readme_blocks
from glassine.bench.generation.evaluators import Evaluators, EvaluatorSources
from glassine.bench.generation.methods import ANIMATION
from glassine.bench.generation.rows import VideoSampler, from_captions
from glassine.bench.generation.runs import Budget, Run
from glassine.bench.generation.test_set import TestSet
from glassine.bench.loading import Loaded
from glassine.bench.records import Cell, Record, read_records
from glassine.data.sticker import Sticker
from glassine.models.sampling import SamplerConfig
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> AnimationScorer:
    evaluators = Evaluators(save_evaluator(tmp_path_factory.mktemp("evaluator")), CPU)
    return AnimationScorer({"stickers": TestSet("procedural", count=4, size=32, num_frames=8)}, evaluators)


def test_table_one_has_three_seeds_and_the_ablation_one():
    runs = planned(list(ANIMATION), None, Budget(steps=5))
    seeds = {name: [run.seed for run in runs if run.method == name] for name in ANIMATION}
    assert seeds["layer_animate"] == seeds["still_moving"] == seeds["motion_module"] == [0, 1, 2]
    assert seeds["first_frame"] == [0]
    first, second = Run("still_moving", "transparent", 1, Budget(steps=5)).stages()
    assert ("--model.init_args.init_from", str(first.checkpoint)) in zip(
        second.overrides, second.overrides[1:], strict=False
    )
    assert '--data.train.init_args.folders ["data/latents/transparent_loops"]' in " ".join(second.overrides)


def test_true_clips_are_their_own_truth_and_the_codec_is_scored_against_them(scorer, monkeypatch):
    (wanted,) = scorer.test_sets.values()
    maker = true_clips(CPU)
    scores = scorer.scores(wanted, maker.clips(wanted.clips), maker)
    assert abs(scores["fvd_glassine_native_8f_white"]) < 1e-6
    assert scores["alpha_motion"] > 0
    assert "psnr_mean" not in scores
    monkeypatch.setattr(makers_module, "load_network", lambda *_: Loaded(tiny_codec(), "tiny"))
    codec = through_codec(CPU)
    rebuilt = codec.clips(wanted.clips)
    assert rebuilt.shape == (4, 8, 4, 32, 32)
    assert scorer.scores(wanted, rebuilt, codec)["psnr_mean"] < 40  # untrained
    monkeypatch.setattr(makers_module, "load_network", lambda *_: Loaded(torch.nn.Linear(1, 1), "tiny"))
    with pytest.raises(UserError, match="holds a Linear, not a codec"):
        through_codec(CPU)


def test_a_network_of_fewer_frames_shows_each_of_them_for_longer(scorer, monkeypatch):
    class FourFrames:
        num_frames, generator = 4, torch.nn.Linear(1, 1)

        def __call__(self, prompts: list[str], seeds: list[int]) -> list[Sticker]:
            frames = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 4), dtype=np.uint8)
            return [Sticker(frames, (100,) * 4) for _ in prompts]

    monkeypatch.setattr(TextToStickerPipeline, "from_pretrained", lambda *_, **__: FourFrames())
    (wanted,) = scorer.test_sets.values()
    made = cut_out_after(CPU).clips(wanted.clips)
    assert made.shape == (4, 8, 4, 32, 32)
    assert torch.equal(made[:, ::2], made[:, 1::2])
    assert not torch.equal(made[:, 0], made[:, 2])


def test_a_network_that_animates_makes_transparent_clips(scorer):
    (wanted,) = scorer.test_sets.values()
    network = tiny_transparent(tiny_motion_unet())
    maker = VideoSampler(lambda *asked: from_captions(network, *asked[:2], SamplerConfig(2, 2.0)), 1, "x")
    made = maker.clips(wanted.clips)
    assert made.shape == (4, 8, 4, 32, 32)
    assert scorer.scores(wanted, made, maker).keys() > {"alpha_overlap", "dynamic_degree_farneback_moving_gray"}


def test_alpha_that_stands_still_agrees_with_the_base_image_and_does_not_flicker():
    still = torch.rand(2, 1, 1, 8, 8).expand(-1, 4, -1, -1, -1)
    scores = alpha_scores(still, 2)
    assert scores == {"alpha_overlap": 1, "alpha_levels": 0, "alpha_motion": 0, "alpha_flicker": 0}
    assert alpha_scores(torch.rand(2, 4, 1, 8, 8), 2)["alpha_flicker"] > 50


def test_the_base_image_is_not_compared_with_itself_and_may_be_the_first_frame():
    alpha = torch.zeros(1, 4, 1, 8, 8)
    alpha[:, 0] = 1
    assert alpha_scores(alpha, 0)["alpha_overlap"] == 0
    first = tiny_transparent(tiny_motion_unet(reference_frame="first"))
    assert first.needs_base
    assert [first.reference_index(8), VideoSampler(torch.zeros, 1, "x").reference(8)] == [0, 4]


def test_raft_joins_where_its_weights_are_given(tmp_path):
    path = tmp_path / "raft_small.pth"
    torch.save(raft_small(weights=None).state_dict(), path)
    plain = AnimationScorer({}, SimpleNamespace(sources=EvaluatorSources()))
    more = AnimationScorer({}, SimpleNamespace(sources=EvaluatorSources(raft=str(path))))
    assert [flow.names[0] for flow in plain.flows()] == ["dynamic_degree_farneback_moving_gray"]
    assert [flow.names[0] for flow in more.flows()][1:] == ["dynamic_degree_raft_small_moving_gray"]


def test_scores_of_what_ships_are_kept_until_its_weights_or_settings_change(scorer, tmp_path):
    compare([], ["true"], scorer, tmp_path)
    (record,) = read_records(tmp_path / RESULTS)
    same = true_clips(CPU)
    other, told = replace(same, digest="x"), replace(same, settings={"x": 1})
    assert shipped_record(scorer, "true", same, tmp_path / RESULTS) == record
    assert not shipped_record(scorer, "true", other, tmp_path / RESULTS).conditions
    anew = shipped_record(scorer, "true", told, tmp_path / RESULTS)
    assert (anew.conditions, anew.settings) == ({}, record.settings | {"x": 1})
    assert "Published" in (tmp_path / "animation.md").read_text()


def test_the_page_has_our_rows_apart_from_the_published_ones():
    def record(name: str, title: str, seed: int, data: str = "transparent") -> Record:
        scores = {"clip_glassine_score_white": 20.0 + seed, "alpha_flicker": 1.5, "psnr_mean": 30.0}
        costs = {"steps": 5.0, "seconds_per_clip": 2.0, "parameters": 5e6}
        settings = {"sampler": "dpm++ 10", "guidance_scale": 5.0}
        cells = {"stickers": Cell("x", 4, dict(scores))}
        return Record(name, title, "test", 32, 8, [], data, seed=seed, conditions=cells, costs=costs, settings=settings)

    records = [record("layer_animate", "Layer-Animate", seed) for seed in (0, 1)]
    records += [record("codec", TITLES["codec"], 0, ""), record("latents", TITLES["latents"], 0, "")]
    row = {"name": "Layer-Animate", "CLIP score": 30.63, "dynamic degree": 4.43}
    published = [
        {"table": "I", "title": "t", "data": "d", "paper": "Layer-Animate", "columns": list(row)[1:], "rows": [row]}
    ]
    ours, theirs = animation_report(records, published).split("## Published")
    assert "|  | published CLIP score | published dynamic degree | clip_glassine score" in ours
    assert "| Layer-Animate (2 seeds) | 30.63 | 4.43 | 20.5 ± 0.7 |" in ours
    assert "| Inter-Frame Attention, all that is trained | 24.781 |" in ours
    assert "against themselves: PSNR 30.0" in ours
    assert "30.63" in theirs
    blocks = readme_blocks(records, published)
    assert blocks.keys() == {"animation", "animation_ablation", "animation_routes"}
    assert "| Layer-Animate (2 seeds) |" in blocks["animation"]
    assert "Every method: 5 steps" in blocks["animation"]


def test_mistakes_are_one_line(tmp_path, capsys):
    assert main(["--tables", "--to", str(tmp_path)]) == 2
    assert "has no records; run without --tables first" in capsys.readouterr().err
    assert main(["--clips", "0", "--to", str(tmp_path)]) == 2
    assert "clips 0" in capsys.readouterr().err
