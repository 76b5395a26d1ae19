import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import nn
from torch.nn import functional as F

from glassine.nn.losses import PatchDiscriminator, PerceptualLoss, laplacian_l1, laplacian_pyramid, weighted_l1
from glassine.tasks.base import StickerTask

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def literal_pyramid(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    bands = []
    for _ in range(levels):
        smaller = correlate(picture, KERNEL, mode="mirror")[::2, ::2]
        sparse = np.zeros((2 * smaller.shape[0], 2 * smaller.shape[1]))
        sparse[::2, ::2] = smaller
        larger = correlate(sparse, 4 * KERNEL, mode="mirror")
        bands.append(picture - larger[: picture.shape[0], : picture.shape[1]])
        picture = smaller
    return bands


@pytest.mark.parametrize("size", [(64, 48), (37, 50)])
def test_the_pyramid_equals_a_literal_one_also_where_sizes_are_odd(size):
    picture = torch.rand(1, 1, *size, dtype=torch.float64)
    for band, expected in zip(laplacian_pyramid(picture, 4), literal_pyramid(picture[0, 0].numpy(), 4), strict=True):
        np.testing.assert_allclose(band[0, 0].numpy(), expected, atol=1e-6)


def test_the_loss_doubles_each_levels_weight_and_counts_the_weighed_pixels_alone():
    one, other = torch.rand(2, 2, 1, 40, 40).unbind()
    weight = (torch.rand(2, 1, 40, 40) > 0.7).float()
    expected = 0.0
    for level in range(3):
        pyramids = [[literal_pyramid(x[0].double().numpy(), 3)[level] for x in batch] for batch in (one, other)]
        counted = weight[:, 0, :: 2**level, :: 2**level].numpy()
        expected += 2**level * (np.abs(np.subtract(*pyramids)) * counted).sum() / counted.sum()
    assert laplacian_l1(one, other, weight, levels=3).item() == pytest.approx(expected, rel=1e-4)


def test_a_flat_difference_is_no_edge():
    one = torch.rand(1, 1, 64, 64)
    everywhere = torch.ones_like(one)
    assert laplacian_l1(one, one + 0.25, everywhere) < 1e-5
    assert weighted_l1(one, one + 0.25, everywhere).item() == pytest.approx(0.25)


def test_where_no_pixel_counts_nothing_is_lost():
    one, other = torch.rand(2, 1, 1, 64, 64).unbind()
    nowhere = torch.zeros_like(one)
    assert weighted_l1(one, other, nowhere) == 0
    assert laplacian_l1(one, other, nowhere) == 0


def test_mixed_precision_does_not_touch_what_is_nearly_equal():
    one = torch.rand(1, 1, 64, 64)
    other = one + torch.randn_like(one) * 1e-3
    everywhere = torch.ones_like(one)
    expected = laplacian_l1(one, other, everywhere)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(laplacian_l1(one, other, everywhere), expected)


def test_a_picture_too_small_for_the_levels_is_refused():
    with pytest.raises(ValueError, match="at least 33 pixels for 5 levels, got 32 x 64"):
        laplacian_pyramid(torch.rand(1, 1, 32, 64))


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


class Maps(nn.Module):
    """Two maps of a small network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 5, 3, stride=2), nn.Conv2d(5, 7, 3, stride=2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, pictures):
        first = self.dropout(self.first(pictures))
        return [first, self.second(first)]


class Task(StickerTask):
    frozen = ("perceptual",)

    def __init__(self, perceptual):
        super().__init__(torch.optim.Adam)
        self.network, self.perceptual = nn.Conv2d(3, 3, 3, padding=1), perceptual


def pictures(seed=0, side=32, frames=None):
    shape = (2, 3, side, side) if frames is None else (2, frames, 3, side, side)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_distances_are_lpips_without_its_linear_weights():
    loss = PerceptualLoss(Maps(), (1.0, 0.5))
    a, b = pictures(1), pictures(2)
    wanted = torch.zeros(2)
    for weight, x, y in zip((1.0, 0.5), loss.network(a), loss.network(b), strict=True):
        x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
        wanted += weight * ((x - y) ** 2).sum(dim=1).mean(dim=(1, 2))
    torch.testing.assert_close(loss.distances(a, b), wanted)
    torch.testing.assert_close(loss(a, b), wanted.mean())
    assert loss.distances(a, a).tolist() == [0, 0]


def test_a_weight_of_0_leaves_a_stage_out():
    a, b = pictures(1), pictures(2)
    parts = [PerceptualLoss(Maps(), weights)(a, b) for weights in ((1, 0), (0, 1), (1, 1))]
    torch.testing.assert_close(parts[0] + parts[1], parts[2])
    with pytest.raises(ValueError, match="a weight for each of the network's 2 maps"):
        PerceptualLoss(Maps(), (1, 1, 1))(a, b)


def test_clips_are_averaged_over_frames():
    loss = PerceptualLoss(Maps(), (1, 1))
    a, b = pictures(1, frames=3), pictures(2, frames=3)
    each = torch.stack([loss.distances(a[:, f], b[:, f]) for f in range(3)], dim=1)
    torch.testing.assert_close(loss.distances(a, b), each.mean(dim=1))


def test_a_limit_compares_some_of_the_pictures_anew_each_time():
    a, b = pictures(1, frames=6), pictures(2, frames=6)
    loss = PerceptualLoss(Maps(), (1, 1), limit=1)
    each = PerceptualLoss(Maps(), (1, 1)).distances(a.flatten(0, 1), b.flatten(0, 1))
    found = [loss(a, b) for _ in range(20)]
    assert all((each - one).abs().min() < 1e-6 for one in found)
    assert len({round(float(one), 5) for one in found}) > 1


def test_pictures_learn_from_it_and_its_network_does_not():
    loss = PerceptualLoss(Maps(), (1, 1)).train()
    assert not any(module.training for module in loss.modules())
    target = pictures(1)
    made = (0.5 * target + 0.5 * pictures(2)).requires_grad_()
    optimizer = torch.optim.Adam([made], 0.02)
    before = loss(made, target).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss(made, target).backward()
        optimizer.step()
    assert loss(made, target).item() < before / 2
    assert all(p.grad is None for p in loss.parameters())


def test_the_loss_is_float32_under_autocast():
    loss, a, b = PerceptualLoss(Maps(), (1, 1)), pictures(1), pictures(2)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(a.requires_grad_(), b)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(a, b), rtol=0.05, atol=0)
    found.backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_a_task_keeps_its_network_out_of_the_checkpoint():
    task = Task(PerceptualLoss(Maps(), (1, 1)))
    state = task.state_dict()
    assert sorted(state) == ["network.bias", "network.weight"]
    other = Task(PerceptualLoss(Maps(), (1, 1)))
    other.load_state_dict(state)
    assert torch.equal(other.network.weight, task.network.weight)
    assert not any(p.requires_grad for p in task.perceptual.parameters())
    task.train()
    assert not any(module.training for module in task.perceptual.modules())


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((1, 3, 32, 32), (1, 3, 32, 40), "must both be b 3 h w"),
        ((1, 4, 32, 32), (1, 4, 32, 32), "must both be b 3 h w"),
        ((1, 3, 31, 32), (1, 3, 31, 32), "sides must be 32 pixels or more"),
    ],
)
def test_other_shapes_are_refused(first, second, said):
    with pytest.raises(ValueError, match=said):
        PerceptualLoss(Maps(), (1, 1))(torch.rand(first), torch.rand(second))


@pytest.mark.parametrize("weights", [(), (0, 0), (1, -1)])
def test_weights_that_weigh_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be at least 0"):
        PerceptualLoss(Maps(), weights)


def test_blur_counts_more_than_a_little_noise_of_the_same_size_where_edges_are():
    pytest.importorskip("skimage")
    from glassine.pretrained.efficientnet_lite import EfficientNetLiteFeatures
    from glassine.utils.errors import UserError

    try:
        loss = PerceptualLoss(EfficientNetLiteFeatures(3), (1, 1, 1))
    except UserError:
        pytest.skip("the extra 'train' is not installed")
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    sharp = ((rows**2 + columns**2) < 0.5).float().expand(1, 3, -1, -1)
    blurred = F.avg_pool2d(F.pad(sharp, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    shift = (blurred - sharp).abs().mean()
    assert loss(blurred, sharp) > 2 * loss((sharp + shift).clamp(0, 1), sharp)
