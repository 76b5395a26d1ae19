"""A state dict is loaded whole, or as far as is allowed, or not at all."""

import pytest
import torch
from torch import nn

from glassine.pretrained.partial_loading import load_partial
from glassine.utils.errors import UserError


def test_names_are_mapped_and_what_was_not_used_or_is_missing_is_reported():
    target = nn.ModuleDict({"net": nn.Linear(2, 2), "new": nn.Linear(2, 1)})
    before = target["new"].weight.clone()
    state = {"old.weight": torch.ones(2, 2), "old.bias": torch.ones(2), "other": torch.zeros(1)}
    report = load_partial(
        target,
        state,
        rename=lambda name: name.replace("old", "net") if name.startswith("old") else None,
        allow_missing=lambda name: name.startswith("new"),
        source="w.pt",
    )
    assert torch.equal(target["net"].weight, torch.ones(2, 2))
    assert torch.equal(target["new"].weight, before)
    assert report.loaded == ("net.weight", "net.bias")
    assert report.missing == ("new.weight", "new.bias")
    assert report.unused == ("other",)
    assert "2 tensors loaded from w.pt\nmissing, keeps its initialization: weight, bias in new" in str(report)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weight": torch.zeros(2, 3)}, r"weight must be \(2, 2\), got \(2, 3\)"),
        ({"more": torch.zeros(1)}, "more is unexpected"),
        ({"weight": torch.full((2, 2), torch.nan)}, "must be finite, got nan in weight"),
    ],
)
def test_on_a_mismatch_nothing_is_loaded(changes, says):
    network = nn.Linear(2, 2)
    before = network.bias.clone()
    with pytest.raises(UserError, match=says):
        load_partial(network, {"weight": torch.zeros(2, 2), "bias": torch.ones(2), **changes}, source="w.pt")
    assert torch.equal(network.bias, before)


def test_mismatches_are_listed_up_to_three_with_those_that_the_caller_found():
    with pytest.raises(
        UserError, match=r"w\.pt does not match Linear: frames must be 8, got 16; weight is missing; bias"
    ):
        load_partial(nn.Linear(2, 2), {}, source="w.pt", misfits=["frames must be 8, got 16"])
