import pytest
import torch

from glassine.models.sam import TimmImageEncoder


@pytest.mark.parametrize(
    ("name", "stage"), [("mobilenetv4_conv_small_050", 3), ("mobilenetv3_small_050", 2), ("resnet18", 3)]
)
def test_the_map_has_the_stated_size_and_every_parameter_has_a_part_in_it(name, stage):
    encoder = TimmImageEncoder(name, stage)
    features = encoder(torch.rand(2, 3, 64, 96))
    assert features.shape == (2, encoder.out_channels, 64 // encoder.stride, 96 // encoder.stride)
    features.square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []
