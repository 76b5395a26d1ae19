import pytest
import torch

from glassine.models.sticker_clip import ClipEncoder, StickerNames
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError

ENCODER = {"name": "test_resnet", "size": 32, "channels": 8, "temporal_layers": 0}


def make_names(names=("1f600", "2764", "1f3c3-200d-27a1"), classes=6):
    torch.manual_seed(0)
    network = StickerNames(ClipEncoder(**ENCODER), classes).eval()
    network.set_names(names)
    return network


def test_logits_are_scaled_cosines_of_the_named_prototypes():
    network, pictures = make_names(), torch.rand(2, 3, 40, 40)
    features = network.features(pictures)
    assert features.shape == (2, 8)
    cosines = torch.cosine_similarity(features[:, None], network.prototypes[None, :3], dim=2)
    torch.testing.assert_close(network(pictures), network.logit_scale.exp() * cosines)
    assert not make_names(names=()).classify(features).numel()


def test_names_travel_with_the_weights_in_half_precision_too(tmp_path):
    network = make_names()
    assert network.names == ["1f600", "2764", "1f3c3-200d-27a1"]
    encoder = {"class_path": "glassine.models.sticker_clip.ClipEncoder", "init_args": ENCODER}
    config = {"class_path": "glassine.models.sticker_clip.StickerNames"}
    save_bundle(network, {**config, "init_args": {"encoder": encoder, "classes": 6}}, tmp_path / "names")
    loaded = load_bundle(str(tmp_path / "names"))
    assert loaded.names == network.names
    pictures = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(loaded(pictures), network(pictures), rtol=0.01, atol=0.05)


def test_averaging_weights_keeps_the_names():
    network, averaged = make_names(), make_names(names=("中文", "2764", "a"))
    averaged.set_names(network.names)
    for own, other in zip(averaged.buffers(), network.buffers(), strict=True):
        own.lerp_(other, 0.0123) if own.is_floating_point() else None
    assert averaged.names == network.names


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"{n}" for n in range(7)], "classes must be at least the 7 groups of the data, got 6"),
        (["a", "a"], "must differ"),
        (["a", ""], "must have 1 to 64 bytes"),
        (["x" * 65], "must have 1 to 64 bytes"),
    ],
)
def test_names_that_cannot_be_kept_are_refused(names, said):
    with pytest.raises(UserError, match=said):
        make_names().set_names(names)
