import pytest
import torch
from tests.helpers.tiny_dynamics import SETTINGS, UNET, tiny_dynamics
from tests.helpers.tiny_generator import LetterText

from glassine.models.image_dynamics import ImageDynamics
from glassine.models.image_unet import FrameUNet
from glassine.models.sampling import SamplerConfig
from glassine.nn.motion_fields import amount_of
from glassine.utils.errors import UserError

FEW = SamplerConfig(num_inference_steps=2)


def still() -> torch.Tensor:
    picture = torch.zeros(4, 64, 64)
    picture[:3] = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(1))
    picture[3, 16:50, 10:40] = 1
    return picture


def test_fields_have_the_amount_that_is_asked_for_or_less_and_never_fold():
    network = tiny_dynamics()
    alpha = (still()[3] * 255).byte().numpy()
    for motion in (0, None, 3):
        for field in network.sample(["a", "b"], [0, 1], still(), sampling=FEW, motion=motion):
            assert field.shape == (8, 16, 16, 2)
            assert 0 < amount_of(field.numpy(), alpha) <= network.amount(motion) * 1.001
    assert network.amount(None) == SETTINGS["amounts"][2]


def test_prompt_seed_still_and_amount_each_change_the_field():
    network = tiny_dynamics()
    for name, parameter in network.named_parameters():  # as after training: the text and the amount say something
        if name.startswith(("amount_token", "unet.conv_out")) or ".attn2.to_out" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    one = network.sample(["waves"], [0], still(), sampling=FEW)
    assert torch.equal(network.sample(["waves"], [0], still(), sampling=FEW), one)
    others = [
        network.sample(["jumps"], [0], still(), sampling=FEW),
        network.sample(["waves"], [1], still(), sampling=FEW),
        network.sample(["waves"], [0], still().flip(1), sampling=FEW),
        network.sample(["waves"], [0], still(), sampling=FEW, motion=0),
        network.sample(["waves"], [0], still(), sampling=SamplerConfig(2, guidance_scale=4.0)),
    ]
    assert not any(torch.allclose(one, other, atol=1e-5) for other in others)


def test_colors_of_clear_pixels_are_not_seen():
    network, painted = tiny_dynamics(), still()
    painted[:3, painted[3] == 0] = 1
    first, second = (network.sample(["a"], [0], picture, sampling=FEW) for picture in (still(), painted))
    assert torch.equal(first, second)


def test_normalizing_is_undone():
    network, fields, amount = tiny_dynamics(), torch.randn(2, 8, 16, 16, 2), torch.tensor([0.02, 0.05])
    back = network.denormalize(network.normalize(fields, amount)) * amount.view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(back, fields)


def test_what_does_not_fit_is_said():
    network = tiny_dynamics()
    with pytest.raises(UserError, match=r"motion must be in \[0, 3\], got 4"):
        network.sample(["a"], [0], still(), sampling=FEW, motion=4)
    with pytest.raises(UserError, match="negative_prompt needs a guidance_scale other than 1"):
        tiny_dynamics().sample(["a"], [0], still(), "red", sampling=FEW)
    with pytest.raises(UserError, match="one seed for each prompt"):
        network.sample(["a"], [0, 1], still())
    with pytest.raises(UserError, match="num_frames must be at least 2, got 1"):
        network.check_size((64, 64), 1)
    unet = FrameUNet(**UNET)
    with pytest.raises(ValueError, match=r"must be \(68, 4\) for this, got \(80, 16\)"):
        ImageDynamics(unet, LetterText(), network.scheduler, [1.0, 1.0])
    with pytest.raises(ValueError, match="amounts must be ascending"):
        ImageDynamics(unet, LetterText(), network.scheduler, [1.0] * 8, [0.2, 0.1])
    with pytest.raises(ValueError, match=r"usual_motion must be in \[0, 1\], got 2"):
        ImageDynamics(unet, LetterText(), network.scheduler, [1.0] * 8, [0.1, 0.2], 2)
    assert ImageDynamics(unet, LetterText(), network.scheduler, [1.0] * 8, [0.1, 0.2], 0).amount(None) == 0.1
    with pytest.raises(ValueError, match="deviations must be an even number of positive"):
        ImageDynamics(unet, LetterText(), network.scheduler, [1.0] * 7 + [0.0], [0.1])
