import math
import subprocess
import sys

import pytest
import torch

from glassine.metrics import (
    MAD,
    MSE,
    AlphaPSNR,
    AlphaSSIM,
    CompositePSNR,
    CompositeSSIM,
    Conn,
    DtSSD,
    Flicker,
    Grad,
    HolesFilled,
    InteriorPunched,
    MattingScores,
    SemiTransparentMAD,
)
from glassine.utils.errors import UserError

SINGLE = {
    "ssim": AlphaSSIM,
    "mad": MAD,
    "mse": MSE,
    "grad": Grad,
    "conn": Conn,
    "dtssd": DtSSD,
    "semi_transparent_mad": SemiTransparentMAD,
    "holes_filled": HolesFilled,
    "interior_punched": InteriorPunched,
    "flicker": Flicker,
}


@pytest.fixture
def colors(clips):
    generator = torch.Generator().manual_seed(1)
    shape = (*clips[0].shape[:2], 3, *clips[0].shape[3:])
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)


def test_scores_equal_those_of_the_single_metrics(clips, colors):
    pred, true = clips
    scores = MattingScores(background="white")
    for i in range(3):
        part = slice(i, i + 1)
        scores.update(pred[part], true[part], colors[0][part], colors[1][part])
    expected = {}
    for name, kind in SINGLE.items():
        metric = kind()
        metric.update(pred, true)
        expected[name] = metric.compute().item()
        torch.testing.assert_close(scores.per_clip()[name], metric.per_clip(), equal_nan=True)
    psnr = AlphaPSNR()
    psnr.update(pred, true)
    expected |= {f"psnr_{name}": value.item() for name, value in psnr.compute().items()}
    rgba = [torch.cat(pair, dim=2) for pair in zip(colors, clips, strict=True)]
    for name, metric in {"composite_psnr": CompositePSNR("white"), "composite_ssim": CompositeSSIM("white")}.items():
        metric.update(*rgba)
        expected[name] = metric.compute().item()
    assert scores.compute() == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert all(type(value) is float for value in scores.compute().values())


def test_arguments_reach_the_scores(clips):
    scores = MattingScores(skip_first=False, psnr_cap=15.0, semi_transparent=(0.3, 0.6), still_threshold=0.2)
    scores.update(*clips)
    single = {"dtssd": DtSSD(skip_first=False), "semi_transparent_mad": SemiTransparentMAD(0.3, 0.6)}
    for name, metric in {**single, "flicker": Flicker(0.2)}.items():
        metric.update(*clips)
        assert scores.compute()[name] == pytest.approx(metric.compute().item())
    assert scores.compute()["psnr_mean"] <= 15


def test_mixed_precision_around_an_update_changes_nothing(clips, colors):
    plain, mixed = MattingScores(), MattingScores()
    plain.update(*clips, *colors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed.update(*clips, *colors)
    assert mixed.compute() == pytest.approx(plain.compute(), rel=1e-6, nan_ok=True)


def test_halves_merge_to_the_whole(clips, colors):
    parts = [slice(0, 2), slice(2, 3), slice(0, 3)]
    left, right, whole = MattingScores(), MattingScores(), MattingScores()
    for scores, part in zip((left, right, whole), parts, strict=True):
        scores.update(*(clip[part] for clip in (*clips, *colors)))
    left.merge_state(right)
    assert left.compute() == pytest.approx(whole.compute(), nan_ok=True)


def test_clips_of_other_sizes_and_without_colors_go_into_one_table(clips, colors):
    pred, true = clips
    scores = MattingScores()
    scores.update(pred[:1], true[:1], colors[0][:1], colors[1][:1])
    with_colors = scores.compute()["composite_psnr"]
    scores.update(pred[1:, :2, :, :30, :40], true[1:, :2, :, :30, :40])
    per_clip = scores.per_clip()
    assert {len(values) for values in per_clip.values()} == {3}
    assert per_clip["composite_psnr"].isnan().tolist() == [False, True, True]
    assert scores.compute()["composite_psnr"] == pytest.approx(with_colors)


def test_nothing_to_measure_is_nan_and_the_keys_stay(clips):
    empty = torch.zeros(1, 1, 1, 16, 16)
    scores = MattingScores()
    scores.update(empty, empty)
    result = scores.compute()
    undefined = {name for name, value in result.items() if math.isnan(value)}
    assert undefined == {
        *("dtssd", "flicker", "semi_transparent_mad", "holes_filled", "interior_punched"),
        *("composite_psnr", "composite_ssim"),
    }
    assert result["psnr_mean"] == pytest.approx(60)
    scores.reset()
    scores.update(*clips)
    assert scores.compute().keys() == result.keys()


def test_wrong_input_is_refused(clips, colors):
    with pytest.raises(ValueError, match="preds_rgb and target_rgb must be given together"):
        MattingScores().update(*clips, preds_rgb=colors[0])
    with pytest.raises(ValueError, match="b f 3 h w"):
        MattingScores().update(*clips, *clips)
    with pytest.raises(UserError, match="background must be a color"):
        MattingScores(background="transparentish")


TWO_PROCESSES = """
import sys
import torch
from glassine.metrics import MattingScores

store, rank = sys.argv[1], int(sys.argv[2])
torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
pred, true = torch.rand(2, 3, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
alone = MattingScores()
alone.sync_on_compute = False
alone.update(pred, true)
expected = alone.compute()
for shares in (((0,), (1, 2)), ((0, 1, 2), ())):
    together = MattingScores()
    for i in shares[rank]:
        together.update(pred[i : i + 1], true[i : i + 1])
    scores = together.compute()
    pairs = [(scores[name], value) for name, value in expected.items() if value == value]
    assert len(pairs) > 8 and all(abs(ours - theirs) < 1e-4 for ours, theirs in pairs), pairs
torch.distributed.destroy_process_group()
"""


@pytest.mark.full
def test_two_processes_give_the_scores_of_one_even_if_the_second_saw_no_clip(tmp_path):
    command = [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "store")]
    processes = [subprocess.Popen([*command, rank], stderr=subprocess.PIPE) for rank in ("0", "1")]
    try:
        errors = [process.communicate(timeout=240)[1].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
