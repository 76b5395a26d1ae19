import pytest
import torch
from tests.helpers.tiny_generator import UNET, save_tiny_generator, tiny_generator

from glassine.models.image_unet import FrameUNet
from glassine.models.text_to_video import TextToVideo
from glassine.models.video_unet import I2VGen, VideoUNet
from glassine.nn.sti import STI
from glassine.pretrained.video_unet import TEMPORAL, load_spatial_part, with_more_inputs
from glassine.pretrained.weights import save_bundle
from glassine.utils.errors import UserError

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
    with pytest.raises(UserError, match=r"does not fit VideoUNet: .*down_blocks.* and \d+ more"):
        load_spatial_part(other, source)
    save_bundle(torch.nn.Linear(1, 1), {"class_path": "torch.nn.Linear"}, tmp_path / "linear")
    with pytest.raises(UserError, match="must hold a TextToVideo with a UNet"):
        load_spatial_part(other, str(tmp_path / "linear"))
