"""The table of Animated Stickers: rows of tiny random networks on rendered stickers."""

import pytest
import torch
from tests.helpers.tiny_image_to_video import save_tiny_image_to_video, tiny_image_to_video

from glassine.__main__ import main
from glassine.bench.chain import ChainRow, sampling_of, spread_over_seeds
from glassine.bench.chain_report import RESULTS, ablation_table, chain_table, distilled_table, write_chain
from glassine.bench.records import Cell, Record, read_records
from glassine.cli.benchmark_arguments import CHAIN
from glassine.models.animation import Animation
from glassine.models.sampling import Distilled
from glassine.utils.errors import UserError

GUIDED = Animation(6, 3.0, image_guidance_scale=1.5)


def record(method: str, motion: list[float], evaluations: float = 75.0, **scores: float) -> Record:
    """Of two stills with two seeds each."""
    groups = ["a", "b", "a", "b"]
    cell = Cell(
        "x", 4, {"motion": sum(motion) / 4, **scores}, keys=list("abcd"), groups=groups, items={"motion": motion}
    )
    costs = {"evaluations": evaluations, "seconds_per_clip": 1.0}
    return Record(method, method, "val", 32, 4, [], "procedural", costs=costs, conditions={"procedural": cell})


def test_names_without_a_row_are_refused():
    assert [ChainRow(name, "w").title for name in (*CHAIN, "teacher_first_frame")][-1] == "teacher first frame"
    for name in ("teacher", "teacher_", "steps_2"):
        with pytest.raises(UserError, match="row must be one of base, in_domain"):
            ChainRow(name, "w")


def test_a_network_is_sampled_as_it_was_distilled():
    guided, own = tiny_image_to_video(), Distilled(2, 4, guidance_scale=3.0)
    assert sampling_of(guided, GUIDED) == GUIDED
    few = sampling_of(tiny_image_to_video(distilled=own), GUIDED)
    assert (few.num_inference_steps, few.solver, few.guidance_scale) == (2, "ddim", None)
    one_pass = sampling_of(tiny_image_to_video(distilled=Distilled(guidance_scale=3.0)), GUIDED)
    assert (one_pass.num_inference_steps, one_pass.guidance_scale) == (6, None)


def test_motion_spreads_over_the_seeds_of_one_still():
    found = spread_over_seeds(torch.tensor([1.0, 5.0, 3.0, 5.0, 9.0]), ["a", "b", "a", "b", "c"])
    torch.testing.assert_close(found[:4], torch.tensor([2**0.5, 0.0, 2**0.5, 0.0]))
    assert found[4].isnan()


def test_motion_that_distillation_damps_is_told_with_its_interval():
    student, few = record("student", [4.0, 8.0, 4.0, 8.0]), record("steps_8", [2.0, 4.0, 2.0, 4.0], 8.0)
    head, rows = distilled_table([few, student], "procedural")
    assert len(rows) == 1
    assert rows[0][head.index("motion, ratio")] == "0.50 [0.50, 0.50]"
    assert rows[0][head.index("evaluations, ratio")] == "0.11"
    assert distilled_table([few], "procedural")[1] == []
    shown = [row[0] for row in chain_table([few, record("true", [1.0] * 4), student], "procedural")[1]]
    assert shown == ["student", "steps_8", "true"]


def test_an_ablation_is_told_where_both_of_its_rows_are_there():
    usual, first = (
        record(f"teacher_{name}", motion, loop_gap=0.0)
        for name, motion in (("every_other_frame", [4.0, 8.0, 4.0, 8.0]), ("first_frame", [2.0, 4.0, 2.0, 4.0]))
    )
    head, rows = ablation_table([usual, first, record("student", [1.0] * 4)], "procedural")
    assert [row[0] for row in rows] == ["the first frame as the still, not the middle one"]
    assert rows[0][head.index("motion, ratio")] == "0.50 [0.50, 0.50]"
    assert rows[0][head.index("loop gap")].startswith("+0.00")


def test_the_verb_measures_once_and_writes_the_page(tmp_path, capsys):
    few_steps = {"num_inference_steps": 2, "teacher_steps": 4, "guidance_scale": 3.0}
    weights = {
        "student": save_tiny_image_to_video(tmp_path / "student"),
        "steps_8": save_tiny_image_to_video(tmp_path / "few", **few_steps),
    }
    call = ["benchmark", "animated-stickers", "--procedural", "3", "--seeds", "2", "--size", "32"]
    call += ["--steps", "3", "--to", str(tmp_path / "out"), "--device", "cpu"]
    call += [word for name, folder in weights.items() for word in ("--row", f"{name}={folder}")]
    assert main(call) == 0
    page = (tmp_path / "out" / "animated_stickers_val.md").read_text()
    assert "## On procedural stickers" in page
    assert "| 8 steps |" in page
    assert "| true clips" in page
    records = {one.method: one for one in read_records(tmp_path / "out" / RESULTS)}
    assert sorted(records) == ["steps_8", "student", "train", "true"]
    few, student = records["steps_8"], records["student"]
    assert (few.costs["evaluations"], student.costs["evaluations"]) == (2, 9)  # guided by text and still: three a step
    assert (few.settings["sampler"], student.settings["sampler"]) == ("ddim 2", "ddim 3")
    cell = few.conditions["procedural"]
    assert (cell.stickers, len(cell.items["motion"]), len(cell.draws["fvd_glassine_native_8f_white"])) == (6, 6, 200)
    assert -1 <= (cell.scores["image_agreement"] or 0) <= 1
    dates = {one.method: one.date for one in records.values()}
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / RESULTS).iterdir()}
    assert main(call) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / RESULTS).iterdir()} == before, dates
    assert write_chain(tmp_path / "out", "test") is None


def test_rows_that_are_no_networks_of_the_chain_are_refused(tmp_path, capsys):
    call = ["benchmark", "animated-stickers", "--procedural", "2", "--to", str(tmp_path), "--device", "cpu"]
    for more, says in (
        ([], "--row must be NAME=WEIGHTS, at least once"),
        (["--row", "student=glassine:tiny-clip"], "must be an ImageToVideo"),
        (["--row", "student=a", "--row", "student=b"], "rows must be of different names"),
        (["--row", "student=a", "--seeds", "1"], "seeds must be at least 2"),
    ):
        assert main([*call, *more]) == 2
        assert says in capsys.readouterr().err
