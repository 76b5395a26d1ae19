import pytest
import torch
from diffusers import AutoencoderKL

from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyDecoder
from glassine.pretrained.image_unet import stable_diffusion_vae
from glassine.utils.errors import UserError


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
