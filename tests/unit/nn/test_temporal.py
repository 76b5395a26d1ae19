import pytest
import torch
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn

from glassine.nn.sti import STI
from glassine.nn.temporal import (
    MakeAVideo,
    VideoFactory,
    VideoLDM,
    clip_positions,
    from_windows,
    make_method,
    to_windows,
    window_counts,
)
from glassine.utils.errors import UserError

CHANNELS, FRAMES = 16, 8


def attention(method, index=1):
    torch.manual_seed(0)
    return method.attention(TransformerTemporalModel(2, 8, in_channels=CHANNELS, norm_num_groups=4), index).eval()


def run(layer, x, frames=FRAMES):
    return layer(x, num_frames=frames, return_dict=False)[0]


def changed_by_one_pixel(layer):
    """Where (f h w) the output differs when frame 0 does at row 0, column 0."""
    getattr(layer, "base", layer).norm = nn.Identity()  # its statistics are the clip's
    x = torch.randn(FRAMES, CHANNELS, 16, 16)
    other = x.clone()
    other[0, :, 0, 0] += 1
    with torch.no_grad():
        return (run(layer, other) - run(layer, x)).abs().amax(1) > 0


@pytest.mark.parametrize("method", [MakeAVideo(zero_init=False), VideoLDM(zero_init=False)])
def test_make_a_video_and_video_ldm_see_all_frames_of_the_same_pixel_alone(method):
    changed = changed_by_one_pixel(attention(method))
    assert changed.nonzero().tolist() == [[f, 0, 0] for f in range(FRAMES)]


@pytest.mark.parametrize("index", [1, 2])
def test_video_factory_sees_all_of_its_window(index):
    changed = changed_by_one_pixel(attention(VideoFactory(zero_init=False), index))
    assert changed[:, :8, :8].all()
    assert not changed[:, 8:].any()
    assert not changed[:, :, 8:].any()


@torch.no_grad()
def test_video_factory_takes_turns_in_who_asks():
    """With one frame and the temporal attention silent both kinds of features are the same; else the roles show."""
    spatial, temporal = (attention(VideoFactory(zero_init=False), index) for index in (1, 2))
    assert spatial.spatial_asks
    assert not temporal.spatial_asks
    temporal.load_state_dict(spatial.state_dict())
    x = torch.randn(FRAMES, CHANNELS, 4, 4)
    assert not torch.allclose(run(spatial, x), run(temporal, x))
    for layer in (spatial, temporal):
        nn.init.zeros_(layer.base.transformer_blocks[0].attn1.to_out[0].weight)
        nn.init.zeros_(layer.base.transformer_blocks[0].attn1.to_out[0].bias)
    torch.testing.assert_close(run(spatial, x), run(temporal, x))


@torch.no_grad()
def test_video_factory_tells_places_apart_by_its_positions_alone():
    x = torch.randn(FRAMES, CHANNELS, 4, 4)
    for positions, equal in (("none", True), ("frames_and_space", False)):
        layer = attention(VideoFactory(zero_init=False, positions=positions))
        turned = run(layer, x.flip(0)).flip(0)  # attention without positions does not see the order of frames
        assert torch.allclose(turned, run(layer, x), atol=1e-5) == equal
    with pytest.raises(UserError, match="positions must be none or frames_and_space, got 'frames'"):
        VideoFactory(positions="frames")


def test_video_factory_leaves_the_layer_in_front_of_all_blocks():
    assert type(attention(VideoFactory(), index=0)) is TransformerTemporalModel


@torch.no_grad()
def test_video_ldm_mixes_what_comes_in_with_what_the_layer_makes_of_it():
    plain, mixed = attention(MakeAVideo(zero_init=False)), attention(VideoLDM(share=0.25, zero_init=False))
    x = torch.randn(FRAMES, CHANNELS, 4, 4)
    torch.testing.assert_close(run(mixed, x), 0.75 * x + 0.25 * run(plain, x))

    convolution = TemporalConvLayer(CHANNELS, norm_num_groups=4).eval()
    nn.init.normal_(convolution.conv4[-1].weight)
    wrapped = VideoLDM(share=0.25).convolution(convolution)
    expected = 0.75 * x + 0.25 * convolution(x, num_frames=FRAMES)
    torch.testing.assert_close(wrapped(x, num_frames=FRAMES), expected)


@torch.no_grad()
@pytest.mark.parametrize("method", [MakeAVideo(), VideoLDM(), VideoFactory()])
def test_untrained_attentions_change_nothing(method):
    x = torch.randn(FRAMES, CHANNELS, 4, 4)
    for index in (0, 1, 2):
        assert torch.equal(run(attention(method, index), x), x)


@pytest.mark.parametrize("method", [MakeAVideo(), VideoLDM(share=0.2), VideoFactory(window=(4, 2, 2)), STI(gamma=4)])
def test_a_method_is_made_again_from_its_description(method):
    assert make_method(method.describe()) == method


def test_a_class_path_alone_is_the_method_with_its_defaults():
    assert make_method({"class_path": "glassine.nn.sti.STI"}) == STI()


@pytest.mark.parametrize(
    ("description", "word"),
    [
        ({"class_path": "glassine.nn.sti.STY"}, "STY"),
        ({"class_path": "glassine.nn.sti.STI", "init_args": {"gama": 2}}, "gama"),
        ({"class_path": "glassine.nn.sti.STI", "init_args": {"gamma": "two"}}, "two"),
        ({"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 1}}, "Linear"),
        ({"class_path": "collections.OrderedDict"}, "OrderedDict"),
        ({}, "temporal must be a method"),
    ],
)
def test_what_is_no_method_is_said_in_one_line(description, word):
    with pytest.raises(UserError, match=word) as error:
        make_method(description)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("sides", [(8, 16, 16), (3, 12, 10), (1, 1, 1), (8, 4, 2), (5, 11, 9)])
def test_windows_come_together_again(sides):
    x = torch.randn(2, *sides, 6)
    counts = window_counts(sides, (8, 8, 8))
    windows = to_windows(x, counts)
    assert windows.shape[1] <= 8**3
    assert torch.equal(from_windows(windows, counts, sides), x)


def test_windows_are_the_largest_equal_ones_that_are_allowed():
    assert window_counts((8, 32, 12), (8, 8, 8)) == (1, 4, 2)
    assert window_counts((2, 4, 11), (8, 8, 8)) == (1, 1, 11)


def test_positions_tell_all_tokens_of_a_clip_apart():
    for channels in (16, 32, 320):
        places = clip_positions(8, 6, 5, channels, torch.zeros(1))
        assert places.shape == (8 * 6 * 5, channels)
        distances = torch.cdist(places, places) + 10 * torch.eye(len(places))
        assert distances.min() > 0.1
