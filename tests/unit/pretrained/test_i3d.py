import pytest
import torch
from torch.nn import functional

from glassine.metrics.fvd import FVD
from glassine.pretrained.i3d import I3D, i3d, pad_same
from glassine.utils.errors import UserError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return I3D(size=32).eval()


def test_its_tensors_are_named_and_shaped_as_in_pytorch_i3d():
    with torch.device("meta"):
        network = I3D()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    expected = {
        "Conv3d_1a_7x7.conv3d.weight": (64, 3, 7, 7, 7),
        "Conv3d_2b_1x1.bn.running_var": (64,),
        "Conv3d_2c_3x3.conv3d.weight": (192, 64, 3, 3, 3),
        "Mixed_3b.b0.conv3d.weight": (64, 192, 1, 1, 1),
        "Mixed_3c.b1b.conv3d.weight": (192, 128, 3, 3, 3),
        "Mixed_4b.b2a.conv3d.weight": (16, 480, 1, 1, 1),
        "Mixed_4f.b2b.conv3d.weight": (128, 32, 3, 3, 3),
        "Mixed_5c.b3b.bn.weight": (128,),
        "logits.conv3d.weight": (400, 1024, 1, 1, 1),
        "logits.conv3d.bias": (400,),
    }
    assert expected.items() <= shapes.items()
    # 57 convolutions with a batch norm of five tensors each, and the logits
    assert len(shapes) == 57 * 6 + 2
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_697_264


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 2), (2, 2)])
def test_padding_is_tensorflows(size, kernel, stride):
    padded = pad_same(torch.ones(1, 1, 9, 9, size), (1, 1, kernel), (1, 1, stride))
    steps = -(-size // stride)
    missing = max((steps - 1) * stride + kernel - size, 0)
    assert padded.shape[2:] == (9, 9, size + missing)
    assert padded[0, 0, 0, 0, : missing // 2].sum() == 0
    assert functional.max_pool1d(padded[0, 0, :1], kernel, stride).shape[-1] == steps


@torch.no_grad()
def test_clips_are_resized_whole_and_scaled_before_the_network_sees_them(network):
    clips = torch.rand(1, 9, 3, 40, 60)
    small = functional.interpolate(clips[0], size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(clips), network.classify(2 * small.transpose(0, 1)[None] - 1))
    assert network(clips).shape == (1, I3D.num_features)


@torch.no_grad()
def test_nine_frames_are_enough_and_eight_are_refused_with_a_way_out(network):
    assert network(torch.rand(1, 9, 3, 32, 32)).isfinite().all()
    with pytest.raises(UserError, match=r"at least .* frames for I3D, got 8: .*rep2_16f and pingpong_16f"):
        network(torch.rand(1, 8, 3, 32, 32))


def test_it_carries_fvd_on_clips_of_eight_frames(network):
    metric = FVD(network, "i3d", backgrounds=["white"])
    metric.update(torch.rand(2, 8, 4, 16, 16), real=True)
    metric.update(torch.rand(2, 8, 4, 16, 16) / 2, real=False)
    assert metric.compute()["fvd_i3d_rep2_16f_white"] > 0


def test_a_file_converted_from_tensorflow_loads_without_counters(network, tmp_path):
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "i3d_pretrained_400.pt")
    loaded = i3d(str(tmp_path / "i3d_pretrained_400.pt"))
    torch.testing.assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_missing_file_and_one_of_another_network_are_named(network, tmp_path):
    with pytest.raises(UserError, match="no weight file at"):
        i3d(str(tmp_path / "missing.pt"))
    state = dict(network.state_dict())
    state["logits.conv3d.weight"] = torch.zeros(600, 1024, 1, 1, 1)
    torch.save(state, tmp_path / "600.pt")
    with pytest.raises(UserError, match=r"logits\.conv3d\.weight must be \(400, 1024, 1, 1, 1\), got \(600"):
        i3d(str(tmp_path / "600.pt"))
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "resnet.pt")
    with pytest.raises(UserError, match=r"does not match I3D: Conv3d_1a_7x7\.conv3d\.weight is missing") as error:
        i3d(str(tmp_path / "resnet.pt"))
    assert len(str(error.value)) < 500
