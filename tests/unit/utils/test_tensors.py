"""Our writer of safetensors files against the library's reader."""

import resource
import signal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.tensors import DTYPES, in_eight_bits, out_of_eight_bits, write_tensors


def test_the_library_reads_all_types_and_shapes_back(tmp_path):
    tensors = {f"of {dtype}": (torch.rand(3, 5) * 9).to(dtype) for dtype in DTYPES}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "turned": torch.rand(4, 6).T[::2]}
    write_tensors(tensors, tmp_path / "a.safetensors", {"says": "größer"})
    again = load_file(tmp_path / "a.safetensors")
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor), name
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"says": "größer"}


def test_others_may_read_the_file_as_any_other(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_tensors({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with (
            pytest.raises(UserError, match=r"cannot write .*a\.safetensors"),
            atomic_path(tmp_path / "a.safetensors") as path,
        ):
            write_tensors({"a": torch.zeros(10_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_type_that_the_format_has_no_name_for_is_refused(tmp_path):
    with pytest.raises(TypeError, match="complex64"):
        write_tensors({"a": torch.zeros(1, dtype=torch.complex64)}, tmp_path / "a.safetensors")


def test_weights_in_eight_bits_come_back_within_half_a_step_of_their_channel():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 32, 3, 3, generator=generator) * torch.logspace(-3, 1, 64).view(-1, 1, 1, 1)
    weight[5] = 0  # a channel that does nothing
    state = {"conv.weight": weight, "conv.bias": torch.randn(64, generator=generator), "count": torch.tensor(3)}
    stored = in_eight_bits(state)
    assert stored["conv.weight"].dtype == torch.int8
    again = out_of_eight_bits(stored)
    assert again.keys() == state.keys()
    step = weight.flatten(1).abs().amax(1).view(-1, 1, 1, 1) / 127
    assert ((again["conv.weight"] - weight).abs() <= step / 2 * 1.001).all()
    assert torch.equal(again["conv.bias"], state["conv.bias"])
    assert torch.equal(again["count"], state["count"])
    twice = out_of_eight_bits(in_eight_bits(again))
    torch.testing.assert_close(twice["conv.weight"], again["conv.weight"], rtol=1e-6, atol=0)
