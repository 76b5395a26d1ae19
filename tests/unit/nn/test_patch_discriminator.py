import torch
from torch import nn

from glassine.nn.losses import PatchDiscriminator


def test_it_judges_patches_of_70_pixels_with_five_convolutions():
    net = PatchDiscriminator(width=4)
    assert sum(isinstance(m, nn.Conv2d) for m in net) == 5
    assert net(torch.rand(2, 4, 256, 256)).shape == (2, 1, 30, 30)
    picture = torch.zeros(1, 4, 256, 256, requires_grad=True)
    for m in net:  # statistics of the whole picture would widen what a patch sees
        m.forward = (lambda x: x) if isinstance(m, nn.InstanceNorm2d) else m.forward
    net(picture)[0, 0, 15, 15].backward()
    seen = picture.grad[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_its_loss_is_zero_only_when_real_is_above_1_and_fake_below_minus_1():
    class Sum(PatchDiscriminator):
        def forward(self, x):
            return x.mean((1, 2, 3))

    net = Sum(width=4)
    assert net.hinge_loss(torch.full((1, 4, 2, 2), 2.0), torch.full((1, 4, 2, 2), -2.0)) == 0
    assert net.hinge_loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)) == 2
