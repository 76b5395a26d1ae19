import pytest
import torch
from diffusers import I2VGenXLUNet, UNet2DConditionModel, UNet3DConditionModel
from jsonargparse import ArgumentParser
from safetensors.torch import load_file, save_file
from tests.helpers.tiny_generator import UNET, save_tiny_generator, tiny_generator
from tests.helpers.tiny_video_unet import METHODS, NAMES, SIZE, TEXT_WIDTH, inputs, stir, tiny_video_unet
from torch import nn

from glassine.models.image_unet import FrameUNet
from glassine.models.text_to_video import TextToVideo
from glassine.models.video_unet import I2VGen, VideoUNet
from glassine.nn.sti import STI
from glassine.nn.temporal import MakeAVideo, VideoFactory, VideoLDM
from glassine.pretrained.video_unet import (
    TEMPORAL,
    load_image_weights,
    load_spatial_part,
    load_video_weights,
    with_more_inputs,
)
from glassine.pretrained.weights import save_bundle
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
    report = load_video_weights(unet, str(folder))
    assert (report.missing, report.unused) == ((), ())
    assert torch.equal(unet(*inputs()).sample, theirs(*inputs()).sample)
    loaded = VideoUNet.from_pretrained(folder / "unet")
    assert torch.equal(loaded(*inputs()).sample, theirs(*inputs()).sample)


@torch.no_grad()
def test_layers_that_a_method_keeps_are_filled(video):
    folder, theirs = video
    nearly_all = tiny_video_unet(VideoLDM(share=0.999999))
    report = load_video_weights(nearly_all, str(folder))
    assert {name.rpartition("mix.")[2] for name in report.missing} == {"logit"}
    torch.testing.assert_close(nearly_all(*inputs()).sample, theirs(*inputs()).sample, atol=1e-4, rtol=1e-4)

    report = load_video_weights(tiny_video_unet(VideoFactory()), str(folder))
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in report.missing} == {"carry"}
    assert report.unused == ()


@torch.no_grad()
def test_layers_that_a_method_puts_in_keep_their_start_and_the_report_says_so(video):
    folder, theirs = video
    unet, before = tiny_video_unet(STI(mixed_convolutions=False)), tiny_video_unet(STI()).state_dict()
    report = load_video_weights(unet, str(folder))
    assert len(report.missing) == 5 * len(unet.get_submodule("transformer_in").state_dict())
    own, there = unet.state_dict(), theirs.state_dict()
    assert all(torch.equal(own[name], before[name]) for name in report.missing)
    assert all(torch.equal(own[name], there[name]) for name in report.loaded)
    assert len(report.loaded) + len(report.unused) == len(there)
    lines = str(report).splitlines()
    assert lines[0] == f"{len(report.loaded)} tensors loaded from {folder}"
    layers = "in transformer_in, down_blocks.0.temp_attentions.0 and 3 more"
    assert [line.partition(": ")[0] for line in lines[1:]] == ["missing, keeps its initialization", "not used"]
    assert all(line.endswith(layers) for line in lines[1:])

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
    report = load_image_weights(unet, str(tmp_path), subfolder=None)
    there = UNet2DConditionModel.from_pretrained(tmp_path).state_dict()
    assert set(report.loaded) == set(there)
    for name, tensor in unet.state_dict().items():
        assert torch.equal(tensor, there.get(name, before[name]))
    assert report.unused == ()


@torch.no_grad()
def test_input_channels_that_are_new_start_at_zero(tmp_path):
    save_image(tmp_path)
    unet = tiny_video_unet(in_channels=5)
    load_image_weights(unet, str(tmp_path), subfolder=None)
    sample, timestep, prompt_embeds = inputs()
    masked = [torch.cat([sample, mask], 1) for mask in (torch.zeros(1, 1, 3, 8, 8), torch.ones(1, 1, 3, 8, 8))]
    assert torch.equal(*(unet(x, timestep, prompt_embeds).sample for x in masked))


@torch.no_grad()
def test_i2vgen_takes_its_own(tmp_path, video):
    torch.manual_seed(7)
    theirs = I2VGenXLUNet(**SIZE)
    theirs.save_pretrained(tmp_path / "i2v")
    unet = I2VGen(**SIZE)
    report = load_video_weights(unet, str(tmp_path / "i2v"), subfolder=None)
    assert (report.missing, report.unused) == ((), ())
    own, there = unet.state_dict(), theirs.state_dict()
    assert all(torch.equal(own[name], there[name]) for name in own)
    with pytest.raises(UserError, match="must hold a I2VGenXLUNet, got a UNet3DConditionModel"):
        load_video_weights(unet, str(video[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cross_attention_dim": 24},
            r"attn2\.to_k\.weight must be \(32, 16\), got \(32, 24\); .* and [0-9]+ more\.",
        ),
        ({"block_out_channels": (32, 96), "attention_head_dim": (4, 12)}, r"heads must be \[4, 8\], got \[4, 12\]"),
        ({"attention_head_dim": 8}, r"the number of attention heads must be \[4, 8\], got \[8, 8\]"),
        ({"norm_num_groups": 16}, "norm_num_groups must be 8, got 16"),
        ({"layers_per_block": 2}, "is unexpected"),
        ({"use_linear_projection": False}, r"proj_in\.weight must be \(32, 32\), got \(32, 32, 1, 1\)"),
        ({"in_channels": 9}, r"conv_in\.weight must be \(32, 4, 3, 3\), got \(32, 9, 3, 3\)"),
    ],
)
def test_another_architecture_is_named_in_few_words_and_nothing_is_taken(change, message, tmp_path):
    save_image(tmp_path, **change)
    unet, before = tiny_video_unet(), tiny_video_unet().state_dict()
    with pytest.raises(UserError, match=message) as error:
        load_image_weights(unet, str(tmp_path), subfolder=None)
    assert len(str(error.value)) < 600
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_what_the_checkpoint_lacks_is_named(video):
    more = SIZE | {"down_block_types": ("CrossAttnDownBlock3D",) * 2, "up_block_types": ("CrossAttnUpBlock3D",) * 2}
    unet = VideoUNet(**more)
    with pytest.raises(UserError, match=r"down_blocks\.1\.attentions\.0\S* is missing; .* and [0-9]+ more"):
        load_video_weights(unet, str(video[0]))


def test_what_holds_no_such_network_is_named(video, tmp_path):
    unet = tiny_video_unet()
    with pytest.raises(UserError, match=r"no UNet at .*nowhere.*reachable hub id or a local folder"):
        load_video_weights(unet, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="must hold a UNet2DConditionModel, got a UNet3D"):
        load_image_weights(unet, str(video[0]))
    unet.save_pretrained(tmp_path / "own")
    with pytest.raises(UserError, match="got a VideoUNet"):
        load_video_weights(unet, str(tmp_path / "own"), subfolder=None)


def test_a_broken_file_does_not_pass_as_weights(video):
    folder, _ = video
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    del state["conv_out.bias"]
    save_file(state, file)
    with pytest.raises(UserError, match=r"lacks 1 of its tensors, conv_out\.bias"):
        load_video_weights(tiny_video_unet(), str(folder))
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="no UNet at"):
        load_video_weights(tiny_video_unet(), str(folder))


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


IMAGE = UNET | {
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}


def state_of(generator: TextToVideo) -> dict[str, torch.Tensor]:
    """As a checkpoint of a run has it."""
    return {f"generator.{name}": tensor for name, tensor in generator.state_dict().items()}


def test_the_spatial_part_of_a_bundle_is_taken_and_temporal_layers_stay(tmp_path):
    torch.manual_seed(1)
    unet = VideoUNet(temporal=STI(), **UNET)
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    report = load_spatial_part(unet, save_tiny_generator(tmp_path))
    donor = tiny_generator().unet.state_dict()
    for name, tensor in unet.state_dict().items():
        wanted = before[name] if TEMPORAL.match(name) else donor[name].half().float()  # bundles are of half precision
        assert torch.equal(tensor, wanted), name
    assert all(TEMPORAL.match(name) for name in report.missing)


def test_i2vgen_takes_it_but_for_the_layers_of_its_image(tmp_path):
    unet = I2VGen(**UNET)
    unet.freeze_spatial()
    report = load_spatial_part(unet, save_tiny_generator(tmp_path))
    donor = tiny_generator().unet.state_dict()
    name = "down_blocks.0.resnets.0.conv1.weight"
    assert torch.equal(unet.state_dict()[name], donor[name].half().float())
    width = donor["conv_in.weight"].shape[1]
    assert not unet.conv_in.weight[:, width:].any()
    assert "fps_embedding.0.weight" in report.missing
    assert "fps_embedding" in str(report)
    learning = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    assert learning <= set(report.missing)
    assert {"context_embedding.0.weight", "fps_embedding.2.bias"} <= learning


def test_a_checkpoint_of_a_run_does_too(tmp_path):
    donor = tiny_generator()
    torch.save({"state_dict": state_of(donor)}, tmp_path / "last.ckpt")
    unet = VideoUNet(temporal=STI(), **UNET)
    load_spatial_part(unet, str(tmp_path / "last.ckpt"))
    assert torch.equal(unet.conv_in.weight, donor.unet.conv_in.weight)


def test_a_unet_that_reads_more_starts_from_one_that_reads_less(tmp_path):
    small = tiny_generator()
    small.unet, unet = FrameUNet(**IMAGE), FrameUNet(in_channels=8, **IMAGE)
    torch.save({"state_dict": state_of(small)}, tmp_path / "last.ckpt")
    load_spatial_part(unet, str(tmp_path / "last.ckpt"))
    assert unet.conv_in.weight[:, :4].any()
    assert not unet.conv_in.weight[:, 4:].any()


@pytest.mark.parametrize(("donor", "own", "mask"), [(4, 8, None), (4, 9, None), (5, 9, 8), (8, 9, None)])
def test_more_inputs_start_at_zero_and_a_mask_stays_the_last(donor, own, mask):
    weight = torch.randn(2, donor, 3, 3)
    filled = with_more_inputs(weight, torch.zeros(2, own, 3, 3), 4)
    assert torch.equal(filled[:, :4], weight[:, :4])
    assert filled.shape[1] == own
    assert filled.count_nonzero() == weight.count_nonzero()
    if mask is not None:
        assert torch.equal(filled[:, mask], weight[:, -1])


def test_a_mask_without_a_place_stays_where_the_difference_is_seen():
    weight = torch.randn(2, 5, 3, 3)
    assert torch.equal(with_more_inputs(weight, torch.zeros(2, 8, 3, 3), 4), weight)


def test_what_does_not_fit_is_named(tmp_path):
    source = save_tiny_generator(tmp_path / "generator")
    other = VideoUNet(**UNET | {"block_out_channels": [16, 64]})
    with pytest.raises(UserError, match=r"does not match VideoUNet: .*down_blocks.* and \d+ more"):
        load_spatial_part(other, source)
    save_bundle(torch.nn.Linear(1, 1), {"class_path": "torch.nn.Linear"}, tmp_path / "linear")
    with pytest.raises(UserError, match="must hold a TextToVideo with a UNet"):
        load_spatial_part(other, str(tmp_path / "linear"))
