import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_transparent import (
    IMAGE,
    inputs,
    plain,
    save_tiny_transparent,
    stir,
    tiny_frame_unet,
    tiny_image_unet,
    tiny_motion_unet,
    tiny_transparent,
)

from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.nn.lora import add_lora, with_lora
from glassine.pretrained.image_unet import load_image_unet, stable_diffusion_vae, with_image_unet
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError


def save_image(folder, **change):
    torch.manual_seed(7)
    unet = UNet2DConditionModel(**(IMAGE | {"attention_head_dim": 2} | change)).eval()
    unet.save_pretrained(folder)
    return unet


@pytest.mark.parametrize("make", [tiny_image_unet, tiny_motion_unet])
@torch.no_grad()
def test_public_weights_fill_the_image_part_alone(make, tmp_path):
    image = save_image(tmp_path)
    unet, before = make(), make().state_dict()
    report = load_image_unet(unet, str(tmp_path), subfolder=None)
    there = image.state_dict()
    assert set(report.loaded) == set(there)
    for name, tensor in unet.state_dict().items():
        if ".processor." not in name:
            assert torch.equal(tensor, there.get(name, before[name])), name


def test_inter_frame_attention_starts_from_what_was_taken(tmp_path):
    save_image(tmp_path)
    unet = with_image_unet(tiny_motion_unet(), str(tmp_path), subfolder=None)
    layer = unet.get_submodule("up_blocks.1.attentions.0.transformer_blocks.0.attn1")
    assert torch.equal(layer.processor.to_q.weight, layer.to_q.weight)


@torch.no_grad()
def test_a_first_stage_of_ours_comes_with_its_lora_merged(tmp_path):
    unet = with_lora(tiny_frame_unet(), 2)
    stir(unet, ".lora_up.")
    base = {"class_path": "glassine.models.image_unet.FrameUNet", "init_args": plain(IMAGE | {"attention_head_dim": 8})}
    description = {"class_path": "glassine.nn.lora.with_lora", "init_args": {"network": base, "rank": 2}}
    network = tiny_transparent(unet).requires_grad_(True)  # with the base, so that it is in the file
    source = save_tiny_transparent(network, tmp_path, description)
    video = tiny_motion_unet(num_attention_heads=(2, 4), use_linear_projection=True)
    with_image_unet(video, source)
    with video.without_motion():
        torch.testing.assert_close(video(*inputs()).sample, unet(*inputs()).sample, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_of_a_video_network_its_temporal_layers_are_left_out(tmp_path):
    source = save_tiny_generator(tmp_path)
    unet = with_image_unet(tiny_frame_unet(), source)
    there = load_bundle(source).unet.state_dict()
    own = unet.state_dict()
    assert all(torch.equal(tensor, there[name]) for name, tensor in own.items())
    assert len(own) < len(there)


@pytest.mark.parametrize("inter_frame_attention", ["add", None])
@torch.no_grad()
def test_layer_attention_comes_along_beside_inter_frame_attention_or_without_it(inter_frame_attention, tmp_path):
    image = tiny_image_unet(layer_attention=True)
    stir(image, ".temporal_o.")
    arguments = plain(IMAGE | {"attention_head_dim": 2}) | {"layer_attention": True}
    config = {"class_path": "glassine.models.image_unet.ImageUNet", "init_args": arguments}
    save_bundle(image, config, tmp_path, torch.float32)
    video = tiny_motion_unet(layer_attention=True, inter_frame_attention=inter_frame_attention)
    with_image_unet(video, str(tmp_path))
    with video.without_motion():
        torch.testing.assert_close(video(*inputs()).sample, image(*inputs()).sample, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match=r"temporal_n\.weight is unexpected; .*build the network with their arguments"):
        with_image_unet(tiny_motion_unet(), str(tmp_path))


@torch.no_grad()
def test_adapters_of_the_network_are_left_alone(tmp_path):
    save_image(tmp_path)
    unet = tiny_motion_unet(spatial_rank=2)
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items() if ".lora_" in name}
    with_image_unet(unet, str(tmp_path), subfolder=None)
    assert all(torch.equal(unet.state_dict()[name], tensor) for name, tensor in before.items())
    add_lora(unet, 2, "motion")  # and names stay those that loaders know
    with_image_unet(unet, str(tmp_path), subfolder=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cross_attention_dim": 24},
            r"attn2\.to_k\.weight must be \(16, 16\), got \(16, 24\); .* and [0-9]+ more\.",
        ),
        ({"attention_head_dim": 4}, r"the number of heads of \S+attn1 must be 2, got 4"),
        ({"norm_num_groups": 8}, "norm_num_groups must be 4, got 8"),
        ({"layers_per_block": 2}, "is unexpected"),
        ({"use_linear_projection": True}, r"proj_in\.weight must be \(16, 16, 1, 1\), got \(16, 16\)"),
    ],
)
def test_another_base_is_named_in_few_words_and_nothing_is_taken(change, message, tmp_path):
    save_image(tmp_path, **change)
    unet, before = tiny_motion_unet(), tiny_motion_unet().state_dict()
    with pytest.raises(UserError, match=message) as error:
        load_image_unet(unet, str(tmp_path), subfolder=None)
    assert len(str(error.value)) < 700
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_what_holds_no_image_network_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no UNet at .*nowhere"):
        load_image_unet(tiny_motion_unet(), str(tmp_path / "nowhere"))
    save_bundle(
        SmallVAE(width=8, decoder_width=8),
        {"class_path": "glassine.models.vae.SmallVAE", "init_args": {"width": 8, "decoder_width": 8}},
        tmp_path,
    )
    with pytest.raises(UserError, match="must hold a UNet of diffusers' kind, got a SmallVAE"):
        load_image_unet(tiny_motion_unet(), str(tmp_path))


@pytest.fixture
def checkpoint(tmp_path):
    """A pipeline's folder with the smallest VAE of Stable Diffusion's kind, eightfold like the real one."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[8, 8, 8, 8], norm_num_groups=4, layers_per_block=1,
    )  # fmt: skip
    vae.save_pretrained(tmp_path / "sd" / "vae")
    return tmp_path / "sd"


@torch.no_grad()
def test_a_vae_in_diffusers_format_carries_ildiff(checkpoint):
    vae = stable_diffusion_vae(str(checkpoint))
    decoder = TransparencyDecoder(block_out_channels=(8, 8, 8), attention_scales=0, layers_per_block=1, patch_size=2)
    alpha, foreground = ILDiff(vae, decoder, None, "reconstruction").eval().decode(torch.rand(1, 2, 3, 32, 32))
    assert (alpha.shape, foreground.shape) == ((1, 2, 1, 32, 32), (1, 2, 3, 32, 32))


def test_it_may_be_the_folder_itself(checkpoint):
    assert stable_diffusion_vae(str(checkpoint / "vae"), subfolder=None).config.latent_channels == 4


def test_a_path_without_one_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no VAE at .*nowhere.*local folder"):
        stable_diffusion_vae(str(tmp_path / "nowhere"))
