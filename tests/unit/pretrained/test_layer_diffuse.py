import pytest
import torch
from diffusers.models.attention_processor import Attention
from einops import rearrange
from safetensors.torch import save_file
from tests.helpers.tiny_transparent import inputs, tiny_codec, tiny_image_unet, tiny_motion_unet
from torch import nn
from torch.nn import functional as F

from glassine.models.image_unet import ImageUNet
from glassine.pretrained.layer_diffuse import attention_names, file_shapes, with_codec_weights, with_layer_diffuse
from glassine.utils.errors import UserError


def test_both_files_are_filled_in_and_the_vae_stays(tmp_path):
    official, codec = tiny_codec(), tiny_codec()
    for parameter in official.parameters():
        torch.nn.init.normal_(parameter)
    vae = {name: tensor.clone() for name, tensor in codec.vae.state_dict().items()}
    files = {part: str(tmp_path / f"{part}.safetensors") for part in ("encoder", "decoder")}
    for part, file in files.items():
        save_file(getattr(official, part).state_dict(), file)
    assert with_codec_weights(codec, **files) is codec
    for part in files:
        wanted = getattr(official, part).state_dict()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in getattr(codec, part).state_dict().items())
    assert all(torch.equal(tensor, vae[name]) for name, tensor in codec.vae.state_dict().items())
    with pytest.raises(UserError, match="does not match"):
        with_codec_weights(codec, files["decoder"], files["decoder"])
    with pytest.raises(UserError, match="no weight file at"):
        with_codec_weights(codec, files["encoder"], str(tmp_path / "none.safetensors"))


# in the order in which the official file counts SD 1.5's blocks
SD15 = [
    *(f"down_blocks.{block}.attentions.{number}" for block in (0, 1, 2) for number in (0, 1)),
    *(f"up_blocks.{block}.attentions.{number}" for block in (1, 2, 3) for number in (0, 1, 2)),
    "mid_block.attentions.0",
]


def official_file(unet: nn.Module, rank: int = 3) -> dict[str, torch.Tensor]:
    """Random weights under the official names."""
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in file_shapes(unet, rank).items()}


def saved(state: dict[str, torch.Tensor], tmp_path) -> str:
    save_file(state, tmp_path / "attention.safetensors")
    return str(tmp_path / "attention.safetensors")


class ReleasedUnit:
    """The released code's attention with `frames=1`, written from its formulas, as one of diffusers' processors."""

    def __init__(self, state: dict[str, torch.Tensor], number: int) -> None:
        self.state, self.start = state, f"hookers.layers.{number}."

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.state[f"{self.start}{name}.weight"], self.state[f"{self.start}{name}.bias"])

    def adapted(self, name: str, layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        down, up = (self.state[f"{self.start}{name}_lora.0.{end}.weight"] for end in ("down", "up"))
        return F.linear(x, layer.weight + up @ down, layer.bias)

    def attend(self, heads: int, *tokens: torch.Tensor) -> torch.Tensor:
        split = [rearrange(t, "b n (h d) -> b h n d", h=heads) for t in tokens]
        return rearrange(F.scaled_dot_product_attention(*split), "b h n d -> b n (h d)")

    def __call__(self, attn: Attention, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = self.adapted("to_q", attn.to_q, hidden_states)
        key, value = self.adapted("to_k", attn.to_k, context), self.adapted("to_v", attn.to_v, context)
        changed = hidden_states + self.adapted("to_out", attn.to_out[0], self.attend(attn.heads, query, key, value))
        width = (changed.shape[-1],)
        x = F.layer_norm(changed, width, *(self.state[f"{self.start}temporal_n.{n}"] for n in ("weight", "bias")), 1e-6)
        x = rearrange(self.linear("temporal_i", x), "b n d -> (b n) 1 d")
        x = self.attend(attn.heads, *(self.linear(f"temporal_{part}", x) for part in "qkv"))
        x = rearrange(self.linear("temporal_o", x), "(b n) 1 d -> b n d", b=len(changed))
        return changed + x - hidden_states


def test_names_and_shapes_of_sd_1_5_are_the_official_ones():
    with torch.device("meta"):
        unet = ImageUNet(layer_attention=True)
    assert attention_names(unet) == [f"{place}.transformer_blocks.0.attn{n}" for place in SD15 for n in (1, 2)]
    shapes = file_shapes(unet)
    assert len(shapes) == 32 * (4 * 2 + 6 * 2)
    assert {name.split(".")[2] for name in shapes} == {str(number) for number in range(32)}
    assert {name.split(".", 3)[3] for name in shapes} == {
        *(f"to_{part}_lora.0.{end}.weight" for part in ("q", "k", "v", "out") for end in ("down", "up")),
        *(f"temporal_{part}.{kind}" for part in "inqkvo" for kind in ("weight", "bias")),
    }
    assert shapes["hookers.layers.0.to_q_lora.0.down.weight"] == (256, 320)
    assert shapes["hookers.layers.1.to_k_lora.0.down.weight"] == (256, 768)  # the cross-attention reads the text
    assert shapes["hookers.layers.12.temporal_o.weight"] == (1280, 1280)  # the way up begins
    assert shapes["hookers.layers.29.to_out_lora.0.up.weight"] == (320, 256)  # and ends
    assert shapes["hookers.layers.31.temporal_n.bias"] == (1280,)  # the middle is last


@torch.no_grad()
def test_a_network_with_the_file_does_what_the_released_code_does(tmp_path):
    unet, reference = tiny_image_unet(layer_attention=True), tiny_image_unet()
    reference.load_state_dict({name: unet.state_dict()[name] for name in reference.state_dict()})
    state = official_file(unet)
    with_layer_diffuse(unet, saved(state, tmp_path))
    for number, name in enumerate(attention_names(reference)):
        reference.get_submodule(name).set_processor(ReleasedUnit(state, number))
    torch.testing.assert_close(unet(*inputs()).sample, reference(*inputs()).sample, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_video_network_takes_it_into_its_spatial_part_and_inter_frame_attention_starts_from_there(tmp_path):
    image = tiny_image_unet(layer_attention=True)
    video = tiny_motion_unet(layer_attention=True)
    bare = {name: t for name, t in image.state_dict().items() if ".processor." not in name}
    video.load_state_dict(bare, strict=False)
    file = saved(official_file(image), tmp_path)
    with_layer_diffuse(image, file)
    with_layer_diffuse(video, file)
    with video.without_motion():
        torch.testing.assert_close(video(*inputs()).sample, image(*inputs()).sample, atol=1e-4, rtol=1e-4)
    layer = video.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    assert torch.equal(layer.processor.to_q.weight, layer.to_q.weight)
    with_motion = video(*inputs()).sample
    assert not torch.allclose(with_motion, image(*inputs()).sample, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"hookers.layers.3.to_k_lora.0.down.weight": torch.zeros(3, 24)},
            r"match ImageUNet: \S+layers\.3\.to_k_lora\.0\.down\.weight must be \(3, 16\), got \(3, 24\)",
        ),
        ({"hookers.layers.2.temporal_o.bias": None}, r"hookers\.layers\.2\.temporal_o\.bias is missing"),
        (
            {"hookers.layers.8.temporal_o.bias": torch.zeros(16)},
            r"layers\.8\.temporal_o\.bias is unexpected",
        ),
        ({"hookers.layers.0.to_q_lora.1.up.weight": torch.zeros(1)}, "must be the model of a single layer"),
    ],
)
def test_a_lora_of_another_base_is_named_and_nothing_is_taken(change, message, tmp_path):
    unet = tiny_image_unet(layer_attention=True)
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    state = {name: t for name, t in (official_file(unet) | change).items() if t is not None}
    with pytest.raises(UserError, match=message):
        with_layer_diffuse(unet, saved(state, tmp_path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_other_files_and_networks_without_layer_attention_are_named(tmp_path):
    unet = tiny_image_unet()
    with pytest.raises(UserError, match="ImageUNet must have layer attention: give it layer_attention: true"):
        with_layer_diffuse(unet, saved(official_file(unet), tmp_path))
    with pytest.raises(UserError, match=r"must hold LayerDiffuse\'s attention for SD 1\.5"):
        with_layer_diffuse(unet, saved({"unet.weight": torch.zeros(1)}, tmp_path))
    with pytest.raises(UserError, match="no weight file"):
        with_layer_diffuse(unet, str(tmp_path / "nowhere.safetensors"))
