"""The authors' checkpoint of Matting Anything, written here under its names, gives the same alphas in our head."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.matting_anything import MaskToMatte
from glassine.pretrained.matting_anything import with_head_weights
from glassine.utils.errors import UserError

SIZES = {"feature_channels": 12, "widths": (8, 8, 6), "blocks": (3, 3, 2), "matte_width": 6}


class Spectral(nn.Module):
    """A convolution divided by its first singular value, under the names of the authors' wrapper."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        weight = module.weight.data
        flat = weight.flatten(1)
        u, v = (F.normalize(torch.randn(size), dim=0) for size in flat.shape)
        for _ in range(50):
            v = F.normalize(flat.T @ u, dim=0)
            u = F.normalize(flat @ v, dim=0)
        del module.weight
        for name, value in {"u": u, "v": v, "bar": weight}.items():
            setattr(module, f"weight_{name}", nn.Parameter(value))

    def forward(self, x: Tensor) -> Tensor:
        bar = self.module.weight_bar
        self.module.weight = bar / (self.module.weight_u @ bar.flatten(1) @ self.module.weight_v)
        return self.module(x)


def conv(given: int, made: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(given, made, size, padding=size // 2, bias=False)


def doubling(given: int, made: int) -> Spectral:
    return Spectral(nn.ConvTranspose2d(given, made, 4, 2, 1, bias=False))


class AuthorsBlock(nn.Module):
    def __init__(self, given: int, made: int, up: bool) -> None:
        super().__init__()
        self.conv1 = doubling(given, given) if up else Spectral(conv(given, given))
        self.bn1, self.conv2, self.bn2 = nn.BatchNorm2d(given), Spectral(conv(given, made)), nn.BatchNorm2d(made)
        self.upsample = None
        if up:
            self.upsample = nn.Sequential(
                nn.UpsamplingNearest2d(scale_factor=2), Spectral(conv(given, made, 1)), nn.BatchNorm2d(made)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.leaky_relu(self.bn1(self.conv1(x)), 0.2)))
        return F.leaky_relu(inner + (x if self.upsample is None else self.upsample(x)), 0.2)


class AuthorsHead(nn.Module):
    """Their decoder, written from its structure and names."""

    def __init__(self) -> None:
        super().__init__()
        before = [SIZES["feature_channels"], *SIZES["widths"][:2]]
        for number, (given, made, count) in enumerate(zip(before, SIZES["widths"], SIZES["blocks"], strict=True), 2):
            blocks = [AuthorsBlock(given + 4, made, True), *(AuthorsBlock(made, made, False) for _ in range(count - 1))]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        width = SIZES["matte_width"]
        self.conv1, self.bn1 = doubling(SIZES["widths"][2], width), nn.BatchNorm2d(width)
        for name, given in {"OS1": width, "OS4": SIZES["widths"][1], "OS8": SIZES["widths"][0]}.items():
            layers = [conv(given, width), nn.BatchNorm2d(width), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 3, padding=1)]
            setattr(self, f"refine_{name}", nn.Sequential(*layers))

    def forward(self, x: Tensor, picture: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        found = []
        for name, head, scale in (("layer2", "OS8", 8), ("layer3", "OS4", 4), ("layer4", "OS1", 1)):
            guides = [F.interpolate(one, x.shape[2:], mode="bilinear") for one in (picture, mask)]
            x = getattr(self, name)(torch.cat([x, *guides], 1))
            if scale == 1:
                x = F.leaky_relu(self.bn1(self.conv1(x)), 0.2)
            alpha = getattr(self, f"refine_{head}")(x)
            found.append((F.interpolate(alpha, scale_factor=scale, mode="bilinear").tanh() + 1) / 2)
        return tuple(found)


@pytest.fixture
def theirs() -> AuthorsHead:
    torch.manual_seed(0)
    head = AuthorsHead().eval()
    for name, buffer in head.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(buffer, std=0.1)
    return head


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_authors_checkpoint_gives_the_authors_alphas(theirs, prefix, tmp_path):
    state = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}
    assert f"{prefix}layer2.0.upsample.1.module.weight_bar" in state
    torch.save({"iter": 20000, "loss": 0.1, "state_dict": state}, tmp_path / "mam.pth")
    ours = MaskToMatte(**SIZES)
    assert with_head_weights(ours, str(tmp_path / "mam.pth")) is ours
    assert not ours.training
    given = torch.randn(2, 12, 4, 4), torch.rand(2, 3, 64, 64), (torch.rand(2, 1, 16, 16) > 0.5).float()
    for mine, alpha in zip(ours(*given), theirs(*given), strict=True):
        torch.testing.assert_close(mine, alpha, atol=1e-5, rtol=1e-4)


def test_another_file_is_named(theirs, tmp_path):
    path = tmp_path / "mam.pth"
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, path)
    with pytest.raises(UserError, match="must be a checkpoint of Matting Anything's head"):
        with_head_weights(MaskToMatte(**SIZES), str(path))
    torch.save({"state_dict": {n: t for n, t in theirs.state_dict().items() if n != "layer3.1.bn2.bias"}}, path)
    with pytest.raises(UserError, match=r"stages\.1\.1\.branch\.4\.bias is missing"):
        with_head_weights(MaskToMatte(**SIZES), str(path))
