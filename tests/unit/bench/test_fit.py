import pytest
import torch

from glassine.bench import fit


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_a_cpu_without_bfloat16_instructions_trains_in_float32_and_says_so(monkeypatch, capsys, accelerator):
    monkeypatch.setattr(fit, "cpu_computes_in_bfloat16", lambda: False)
    assert fit.possible_precision("bf16-mixed", accelerator) == "32-true"
    assert capsys.readouterr().out == (
        "this CPU has no bfloat16 instructions: precision is 32-true instead of bf16-mixed\n"
    )


@pytest.mark.usefixtures("without_gpu")
def test_other_machines_and_other_precisions_keep_what_the_experiment_says(monkeypatch, capsys):
    monkeypatch.setattr(fit, "cpu_computes_in_bfloat16", lambda: False)
    assert fit.possible_precision("bf16-mixed", "gpu") == "bf16-mixed"
    assert fit.possible_precision("bf16-true", "cpu") == "bf16-true"
    assert fit.possible_precision(None, "cpu") is None
    monkeypatch.setattr(fit, "cpu_computes_in_bfloat16", lambda: True)
    assert fit.possible_precision("bf16-mixed", "cpu") == "bf16-mixed"
    assert capsys.readouterr().out == ""
