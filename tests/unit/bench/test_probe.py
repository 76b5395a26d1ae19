import pytest
import torch

from glassine.bench.probe import TITLES, fit_logistic, probe_table, write_report


def test_the_regression_finds_the_direction_that_separates():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 5, generator=generator)
    truth = torch.tensor([2.0, 0.0, -1.0, 0.0, 0.0])
    y = torch.rand(2000, generator=generator) < (x @ truth + 0.5).sigmoid()
    weight, bias = fit_logistic(x, y)
    assert (weight - truth).abs().max() < 0.25
    assert bias == pytest.approx(0.5, abs=0.2)


def test_the_table_has_a_row_for_every_kind_of_feature(tmp_path):
    scores = {name: {"accuracy": 0.9, "auroc": 0.95} for name in TITLES}
    assert probe_table(scores)[1][1] == ["student before distillation", "90.0%", "0.950"]
    write_report({"run": "lightning_logs/x", "steps": 3, "split": "test", "measured": "m", "scores": scores}, tmp_path)
    assert (tmp_path / "results" / "distill" / "lightning_logs-x.json").is_file()
    write_report({"run": "lightning_logs/y", "steps": 5, "split": "test", "measured": "m", "scores": scores}, tmp_path)
    page = (tmp_path / "distill.md").read_text()
    assert "| teacher | 90.0% | 0.950 |" in page
    assert page.index("lightning_logs/x`, 3 steps") < page.index("lightning_logs/y`, 5 steps")  # the first one stays
