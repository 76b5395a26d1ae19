"""Bundles that name what they have in common with another."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from glassine.pretrained.weights import build_network, load_bundle, read_state, save_bundle
from glassine.utils.errors import UserError

VAE = {
    "class_path": "glassine.models.vae.SmallVAE",
    "init_args": {"latent_channels": 4, "width": 16, "decoder_width": 8, "blocks": 1},
}


def build_vae(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = build_network(VAE, "test")
    for parameter in network.parameters():  # zeros are equal by chance
        nn.init.normal_(parameter, std=0.1)
    return network


def two_bundles(folder: Path, precision: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """`first`, and `second` beside it, which has the first one's encoder as it is loaded."""
    save_bundle(build_vae(0), VAE, folder / "first", precision)
    first, second = load_bundle(str(folder / "first")), build_vae(1)
    second.encoder.load_state_dict(first.encoder.state_dict())
    save_bundle(second, VAE, folder / "second", precision, shared_with=str(folder / "first"))
    return first, second


@pytest.mark.parametrize("precision", [torch.float16, torch.int8])
def test_shared_tensors_are_stored_once_and_load_bit_for_bit(tmp_path: Path, precision):
    first, second = two_bundles(tmp_path, precision)
    stored = load_file(tmp_path / "second" / "model.safetensors")
    assert not {name for name in stored if name.startswith("encoder.") and stored[name].numel() >= 1024}
    again = load_bundle(str(tmp_path / "second"))
    for name, tensor in first.encoder.state_dict().items():
        if tensor.numel() >= 1024:
            assert torch.equal(again.encoder.state_dict()[name], tensor)
    torch.testing.assert_close(again.decoder.state_dict(), second.decoder.state_dict(), atol=0.01, rtol=0.01)
    assert read_state(tmp_path / "second" / "model.safetensors").keys() == second.state_dict().keys()


@pytest.mark.parametrize(("change", "shares"), [(0.0001, True), (0.1, False)])
def test_what_differs_by_more_than_the_rounding_is_stored(tmp_path: Path, change, shares):
    first = build_vae(0)
    save_bundle(first, VAE, tmp_path / "first", torch.int8)
    for parameter in first.parameters():
        parameter.data += change * torch.randn_like(parameter)
    save_bundle(first, VAE, tmp_path / "second", torch.int8, shared_with=str(tmp_path / "first"))
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("first", "second")]
    assert (sizes[1] < 0.5 * sizes[0]) == shares


def test_another_bundle_in_the_place_of_the_shared_one_is_refused(tmp_path: Path):
    two_bundles(tmp_path, torch.float16)
    save_bundle(build_vae(2), VAE, tmp_path / "first")
    with pytest.raises(UserError, match=r"another .*first than the one at .*: export it again with --shared-with"):
        load_bundle(str(tmp_path / "second"))


def test_a_missing_shared_bundle_is_named(tmp_path: Path):
    two_bundles(tmp_path, torch.float16)
    (tmp_path / "first" / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"no weights at .*first"):
        load_bundle(str(tmp_path / "second"))


def test_bundles_that_share_with_each_other_end_in_an_error(tmp_path: Path):
    two_bundles(tmp_path, torch.float16)
    (tmp_path / "first" / "model.safetensors").write_bytes((tmp_path / "second" / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"names itself as one of its own parts|shares weights with another"):
        load_bundle(str(tmp_path / "second"))


def test_nothing_in_common_is_a_bundle_of_its_own(tmp_path: Path):
    save_bundle(build_vae(0), VAE, tmp_path / "first")
    save_bundle(build_vae(1), VAE, tmp_path / "second", shared_with=str(tmp_path / "first"))
    (tmp_path / "first" / "config.yaml").unlink()
    load_bundle(str(tmp_path / "second"))
