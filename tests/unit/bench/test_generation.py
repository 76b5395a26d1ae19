"""The tables of text-to-sticker methods: what is run, how clips are scored, and what is written."""

import pytest
import torch
from tests.helpers.tiny_evaluator import save_evaluator
from tests.helpers.tiny_generator import tiny_generator

from glassine.bench.generation.__main__ import planned
from glassine.bench.generation.curves import curve, draw_curves
from glassine.bench.generation.evaluators import Evaluators, EvaluatorSources
from glassine.bench.generation.methods import METHODS
from glassine.bench.generation.rows import VideoSampler, from_captions
from glassine.bench.generation.runs import Budget, Run
from glassine.bench.generation.tables import data_table, generation_report, method_table
from glassine.bench.generation.test_set import TestSet
from glassine.bench.records import Cell, Record
from glassine.models.sampling import SamplerConfig
from glassine.utils.errors import UserError


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> EvaluatorSources:
    return save_evaluator(tmp_path_factory.mktemp("evaluator"))


@pytest.fixture(scope="module")
def test_set() -> TestSet:
    return TestSet("procedural", count=6, size=32, num_frames=8)


def test_the_real_clips_score_better_than_noise(sources, test_set):
    evaluators, real = Evaluators(sources), test_set.stacked()
    captions = [one.caption for one in test_set.clips]
    same = evaluators.score(real, real, captions)
    noise = evaluators.score(real, torch.rand(real.shape, generator=torch.Generator().manual_seed(0)), captions)
    assert abs(same["fvd_glassine_native_8f_white"]) < 1e-6
    assert noise["fvd_glassine_native_8f_white"] > 0.01
    assert same["fvd_glassine_native_8f_white_n_fake"] == len(captions)
    assert not [name for name in same if name.split("_")[1] != "glassine"]  # never by the name of another network


def test_test_stickers_are_the_same_each_time_and_not_those_of_validation(test_set):
    again, other = TestSet("procedural", count=6, size=32), TestSet("procedural", split="val", count=6, size=32)
    assert again.fingerprint() == test_set.fingerprint()
    assert other.fingerprint() != test_set.fingerprint()
    with pytest.raises(UserError, match="choose from stickers, procedural"):
        TestSet("cats")


def test_a_clip_is_made_for_every_caption_by_a_seed_of_its_own(test_set):
    network = tiny_generator()
    asked = []

    def make(wanted, seeds, sampling: SamplerConfig) -> torch.Tensor:
        asked.extend(seeds)
        return from_captions(network, wanted, seeds, SamplerConfig(2, sampling.guidance_scale, sampling.solver))

    made = VideoSampler(make, 1, "x").clips(test_set.clips, batch=4)
    assert made.shape == test_set.stacked().shape
    assert asked == list(range(6))


def test_all_methods_are_planned_and_first_seeds_come_first():
    runs = planned(list(METHODS), ["stickers", "both", "stills", "all"], None, Budget())
    seeds = {method: {run.seed for run in runs if run.method == method} for method in METHODS}
    assert seeds["sti"] == seeds["video_ldm"] == {0, 1, 2}
    assert seeds["video_gpt"] == {0}
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert {run.method for run in runs if run.training_set in ("stills", "all")} == {"sti"}


def test_a_run_is_told_its_seed_its_data_and_its_first_stage():
    (one,) = Run("sti", "both", 2, Budget(steps=7)).stages()
    told = " ".join(one.overrides)
    assert one.folder.name == "sti-both-seed2-7steps"
    assert "--seed_everything 2" in told
    assert '--data.train.init_args.folders ["data/latents/stickers", "data/latents/procedural"]' in told
    assert Run("sti", "both", 2, Budget(steps=7)).marks == Run("sti", "stickers", 1, Budget(steps=7)).marks == {}
    followed = Run("sti", "stickers", 0, Budget(steps=400, marks=4))
    assert list(followed.marks) == [100, 200, 300]
    assert followed.marks[100] == followed.stages()[-1].folder / "checkpoints" / "step-000100.ckpt"
    assert "KeptCheckpoints --trainer.callbacks.every_n_train_steps 100" in " ".join(followed.stages()[-1].overrides)
    first, second = Run("video_gpt", "procedural", 0, Budget(steps=7)).stages()
    assert "--data.train.init_args.root null" in " ".join(first.overrides)
    assert str(first.checkpoint) in second.overrides


def record(method: str, data: str, seed: int, fvd: float) -> Record:
    scores = {"fvd_glassine_native_8f_white": fvd, "clip_glassine_score_white": 20.0}
    cells = {name: Cell("x", 6, dict(scores)) for name in (["stickers", "procedural"] if data == "both" else [data])}
    costs = {"steps": 7.0, "seconds_per_clip": 2.0, "parameters": 5e6}
    settings = {"sampler": "dpm++ 10", "guidance_scale": 5.0}
    title = METHODS[method].title
    return Record(method, title, "test", 32, 8, [], data, seed=seed, conditions=cells, costs=costs, settings=settings)


def test_seeds_stand_in_one_row_with_their_spread_and_published_numbers_apart():
    records = [record("sti", "stickers", 0, 2.0), record("sti", "stickers", 1, 4.0), record("sti", "both", 0, 1.0)]
    records.append(record("video_gpt", "stickers", 0, 9.0))
    head, rows = method_table(records, "stickers", "stickers")
    assert [row[0] for row in rows] == ["VideoGPT", "STI (2 seeds)"]
    assert rows[1][1] == "3.00 ± 1.41"
    assert "s a clip" in head
    _, trained_on = data_table(records, "stickers")
    assert [row[0] for row in trained_on] == ["real stickers (2 seeds)", "both"]
    published = [
        {
            "table": "4",
            "title": "t",
            "data": "VSD-R",
            "paper": "VSD2M",
            "columns": ["FVD"],
            "rows": [{"name": "STI", "FVD": 2613.41}],
        }
    ]
    page = generation_report(records, published, {"STI": {"UNet": 3_000_000, "VAE": 1_500_000}})
    assert "| STI | 3.000 | 1.500 | 4.500 |" in page
    ours, theirs = page.split("## Published")
    assert "2613.41" in theirs
    assert "2613.41" not in ours


def test_scores_along_the_way_are_drawn_in_order_of_their_steps(tmp_path):
    ends = [record("sti", "stickers", 0, 2.0), record("sti", "stickers", 1, 4.0), record("video_gpt", "stickers", 0, 9)]
    early = record("sti", "stickers", 0, 5.0)
    early.costs["steps"] = 3.0
    assert curve([*ends, early], "sti", "fvd_glassine_native_8f_white") == [(3.0, 5.0), (7.0, 2.0)]
    assert curve(ends, "sti", "clip_glassine_similarity_softmax_white") == []
    draw_curves([*ends, early], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
