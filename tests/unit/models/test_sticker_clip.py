import pytest
import torch
from tests.helpers.tiny_generator import WIDTH, LetterText

from glassine.models.sticker_clip import ClipEncoder, StickerCLIP, StickerNames
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError


class RepeatedState(torch.nn.Module):
    """The same state once a letter, then zeros."""

    def forward(self, texts: list[str]) -> torch.Tensor:
        states = torch.zeros(len(texts), 8, WIDTH)
        for row, text in enumerate(texts):
            states[row, : len(text)] = torch.arange(1.0, WIDTH + 1)
        return states


def make_clip(temporal_layers: int = 2, motions: int = 4) -> StickerCLIP:
    torch.manual_seed(0)
    encoder = ClipEncoder("test_resnet", 32, 24, temporal_layers)
    return StickerCLIP(encoder, LetterText(), WIDTH, 16, motions).eval()


def test_embeddings_are_unit_vectors_of_one_space():
    clip = make_clip()
    clips, texts = clip.embed_clips(torch.rand(3, 4, 3, 40, 40)), clip.embed_texts(["a cat", "a dog", ""])
    assert clips.shape == texts.shape == (3, 16)
    torch.testing.assert_close(clips.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))


def test_order_of_frames_matters_with_temporal_layers_and_not_without():
    frames = torch.rand(1, 4, 3, 32, 32)
    with_time, without = make_clip(2), make_clip(0, 0)
    assert not torch.allclose(with_time.features(frames), with_time.features(frames.flip(1)), atol=1e-5)
    torch.testing.assert_close(without.features(frames), without.features(frames.flip(1)))


def test_frames_see_those_beside_them_where_channels_are_shifted():
    torch.manual_seed(0)
    encoder = ClipEncoder("mobilenetv4_conv_small_035", 32, 24, temporal_layers=0, shifted=0.25).eval()
    frames = torch.rand(1, 3, 3, 32, 32)
    assert not torch.allclose(encoder(frames), encoder(frames[:, [1, 0, 2]]), atol=1e-5)
    still = frames[:, :1]
    torch.testing.assert_close(encoder(still.expand(-1, 3, -1, -1, -1)), encoder(still))


def test_padding_of_a_text_does_not_count():
    clip = make_clip()
    clip.text_encoder = RepeatedState()
    torch.testing.assert_close(clip.embed_texts(["aa"]), clip.embed_texts(["a"]))


def test_the_text_encoder_is_not_trained():
    clip = make_clip().train()
    assert not clip.text_encoder.training
    assert not any(p.requires_grad for p in clip.text_encoder.parameters())


def test_stages_that_are_kept_are_never_trained():
    torch.manual_seed(0)
    encoder = ClipEncoder("tf_efficientnet_lite0", 32, 24, temporal_layers=0, kept_stages=2).train()
    frames = torch.rand(2, 1, 3, 32, 32)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    encoder(frames).square().sum().backward()
    kept = ("frames.conv_stem", "frames.bn1", "frames.blocks.0.", "frames.blocks.1.")
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == name.startswith(kept), name
    changed = [name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed
    assert not [name for name in changed if name.startswith(kept)]  # no running statistics either


def test_an_efficientnet_gives_the_same_through_its_stages_as_in_one_go():
    torch.manual_seed(0)
    kept = ClipEncoder("tf_efficientnet_lite0", 32, 24, temporal_layers=0, kept_stages=1).eval()
    whole = ClipEncoder("tf_efficientnet_lite0", 32, 24, temporal_layers=0).eval()
    whole.load_state_dict(kept.state_dict())
    clip = torch.rand(2, 3, 3, 32, 32)
    torch.testing.assert_close(kept(clip), whole(clip), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whole.mean.flatten(), torch.full((3,), 0.5))


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
