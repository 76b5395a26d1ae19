import pytest
import torch
from diffusers import I2VGenXLUNet, UNet2DConditionModel, UNet3DConditionModel
from jsonargparse import ArgumentParser
from safetensors.torch import load_file, save_file
from tests.helpers.tiny_video_unet import METHODS, NAMES, SIZE, TEXT_WIDTH, inputs, stir, tiny_video_unet
from torch import nn

from glassine.models.video_unet import I2VGen, VideoUNet
from glassine.nn.sti import STI
from glassine.nn.temporal import MakeAVideo, VideoFactory, VideoLDM
from glassine.pretrained.video_unet import take_image_weights, take_video_weights
from glassine.utils.errors import UserError

IMAGE_SIZE = SIZE | {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": (4, 8),  # heads, so that each has 8 channels
    "use_linear_projection": True,
}


@pytest.fixture
def video(tmp_path):
    """A pipeline's folder with a UNet of ModelScope's kind."""
    torch.manual_seed(7)
    unet = UNet3DConditionModel(**SIZE).eval()
    stir(unet)
    unet.save_pretrained(tmp_path / "unet")
    return tmp_path, unet


def save_image(folder, **change):
    torch.manual_seed(7)
    UNet2DConditionModel(**(IMAGE_SIZE | change)).save_pretrained(folder)


@torch.no_grad()
def test_without_another_method_it_is_the_public_network(video):
    folder, theirs = video
    unet = tiny_video_unet(MakeAVideo())
    taken = take_video_weights(unet, str(folder))
    assert (taken.fresh, taken.unused) == ((), ())
    assert torch.equal(unet(*inputs()).sample, theirs(*inputs()).sample)
    loaded = VideoUNet.from_pretrained(folder / "unet")
    assert torch.equal(loaded(*inputs()).sample, theirs(*inputs()).sample)


@torch.no_grad()
def test_layers_that_a_method_keeps_are_filled(video):
    folder, theirs = video
    nearly_all = tiny_video_unet(VideoLDM(share=0.999999))
    taken = take_video_weights(nearly_all, str(folder))
    assert {name.rpartition("mix.")[2] for name in taken.fresh} == {"logit"}
    torch.testing.assert_close(nearly_all(*inputs()).sample, theirs(*inputs()).sample, atol=1e-4, rtol=1e-4)

    taken = take_video_weights(tiny_video_unet(VideoFactory()), str(folder))
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in taken.fresh} == {"carry"}
    assert taken.unused == ()


@torch.no_grad()
def test_layers_that_a_method_puts_in_keep_their_start_and_the_report_says_so(video):
    folder, theirs = video
    unet, before = tiny_video_unet(STI(mixed_convolutions=False)), tiny_video_unet(STI()).state_dict()
    taken = take_video_weights(unet, str(folder))
    assert len(taken.fresh) == 5 * len(unet.get_submodule("transformer_in").state_dict())
    own, there = unet.state_dict(), theirs.state_dict()
    assert all(torch.equal(own[name], before[name]) for name in taken.fresh)
    assert all(torch.equal(own[name], there[name]) for name in taken.taken)
    assert len(taken.taken) + len(taken.unused) == len(there)
    report = str(taken).splitlines()
    assert report[0] == f"{len(taken.taken)} tensors taken from {folder}"
    layers = "in transformer_in, down_blocks.0.temp_attentions.0 and 3 more"
    assert [line.partition(": ")[0] for line in report[1:]] == ["new, as initialized", "there, but not used"]
    assert all(line.endswith(layers) for line in report[1:])

    # zero at the start, so it is the public network without its temporal attention
    for layer in (theirs.transformer_in, *(m for n, m in theirs.named_modules() if ".temp_attentions." in n)):
        if hasattr(layer, "proj_out"):
            nn.init.zeros_(layer.proj_out.weight)
            nn.init.zeros_(layer.proj_out.bias)
    assert torch.equal(unet(*inputs()).sample, theirs(*inputs()).sample)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_image_weights_fill_the_spatial_part_alone(method, tmp_path):
    save_image(tmp_path)
    unet, before = tiny_video_unet(method), tiny_video_unet(method).state_dict()
    taken = take_image_weights(unet, str(tmp_path), subfolder=None)
    there = UNet2DConditionModel.from_pretrained(tmp_path).state_dict()
    assert set(taken.taken) == set(there)
    for name, tensor in unet.state_dict().items():
        assert torch.equal(tensor, there.get(name, before[name]))
    assert taken.unused == ()


@torch.no_grad()
def test_input_channels_that_are_new_start_at_zero(tmp_path):
    save_image(tmp_path)
    unet = tiny_video_unet(in_channels=5)
    take_image_weights(unet, str(tmp_path), subfolder=None)
    sample, timestep, prompt_embeds = inputs()
    masked = [torch.cat([sample, mask], 1) for mask in (torch.zeros(1, 1, 3, 8, 8), torch.ones(1, 1, 3, 8, 8))]
    assert torch.equal(*(unet(x, timestep, prompt_embeds).sample for x in masked))


@torch.no_grad()
def test_i2vgen_takes_its_own(tmp_path, video):
    torch.manual_seed(7)
    theirs = I2VGenXLUNet(**SIZE)
    theirs.save_pretrained(tmp_path / "i2v")
    unet = I2VGen(**SIZE)
    taken = take_video_weights(unet, str(tmp_path / "i2v"), subfolder=None)
    assert (taken.fresh, taken.unused) == ((), ())
    own, there = unet.state_dict(), theirs.state_dict()
    assert all(torch.equal(own[name], there[name]) for name in own)
    with pytest.raises(UserError, match="holds a UNet3DConditionModel; this network takes weights of I2VGenXLUNet"):
        take_video_weights(unet, str(video[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cross_attention_dim": 24},
            r"attn2\.to_k\.weight is \(32, 24\) there, \(32, 16\) here; .* and [0-9]+ more\.",
        ),
        ({"block_out_channels": (32, 96), "attention_head_dim": (4, 12)}, r"heads is \[4, 12\] there, \[4, 8\] here"),
        ({"attention_head_dim": 8}, r"the number of attention heads is \[8, 8\] there, \[4, 8\] here"),
        ({"norm_num_groups": 16}, "norm_num_groups is 16 there, 8 here"),
        ({"layers_per_block": 2}, "has no place here"),
        ({"use_linear_projection": False}, r"proj_in\.weight is \(32, 32, 1, 1\) there, \(32, 32\) here"),
        ({"in_channels": 9}, r"conv_in\.weight is \(32, 9, 3, 3\) there, \(32, 4, 3, 3\) here"),
    ],
)
def test_another_architecture_is_named_in_few_words_and_nothing_is_taken(change, message, tmp_path):
    save_image(tmp_path, **change)
    unet, before = tiny_video_unet(), tiny_video_unet().state_dict()
    with pytest.raises(UserError, match=message) as error:
        take_image_weights(unet, str(tmp_path), subfolder=None)
    assert len(str(error.value)) < 600
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_what_the_checkpoint_lacks_is_named(video):
    more = SIZE | {"down_block_types": ("CrossAttnDownBlock3D",) * 2, "up_block_types": ("CrossAttnUpBlock3D",) * 2}
    unet = VideoUNet(**more)
    with pytest.raises(UserError, match=r"down_blocks\.1\.attentions\.0\S* is missing there; .* and [0-9]+ more"):
        take_video_weights(unet, str(video[0]))


def test_what_holds_no_such_network_is_named(video, tmp_path):
    unet = tiny_video_unet()
    with pytest.raises(UserError, match=r"no UNet at .*nowhere.*reachable hub id or a local folder"):
        take_video_weights(unet, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="holds a UNet3DConditionModel; this network takes weights of UNet2D"):
        take_image_weights(unet, str(video[0]))
    unet.save_pretrained(tmp_path / "own")
    with pytest.raises(UserError, match="holds a VideoUNet"):
        take_video_weights(unet, str(tmp_path / "own"), subfolder=None)


def test_a_broken_file_does_not_pass_as_weights(video):
    folder, _ = video
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    del state["conv_out.bias"]
    save_file(state, file)
    with pytest.raises(UserError, match=r"lacks 1 of its tensors, conv_out\.bias"):
        take_video_weights(tiny_video_unet(), str(folder))
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="no UNet at"):
        take_video_weights(tiny_video_unet(), str(folder))


def test_it_is_a_class_path_in_a_yaml(video, capsys):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("unet", type=nn.Module)
    size = {name: list(value) if isinstance(value, tuple) else value for name, value in SIZE.items()}
    config = {
        "class_path": "glassine.pretrained.video_unet.with_video_weights",
        "init_args": {
            "unet": {
                "class_path": "glassine.models.video_unet.VideoUNet",
                "init_args": {"temporal": {"class_path": "glassine.nn.sti.STI"}, **size},
            },
            "source": str(video[0]),
        },
    }
    unet = parser.instantiate(parser.parse_object({"unet": config})).unet
    assert isinstance(unet, VideoUNet)
    assert torch.equal(unet.conv_in.weight, video[1].conv_in.weight)
    assert unet.config["cross_attention_dim"] == TEXT_WIDTH
