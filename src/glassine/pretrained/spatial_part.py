"""The spatial part of a video UNet from a network of ours: an image network's, or another video network's."""

from pathlib import Path

from torch import Tensor, nn

from glassine.errors import UserError
from glassine.pretrained.video_unet import TEMPORAL, Taken, take
from glassine.pretrained.weights import locate, read_state


def take_spatial_part(unet: nn.Module, source: str) -> Taken:
    """Fill the spatial part of a `VideoUNet`; its temporal layers stay as they are.

    VSD2M starts all its methods from one text-to-image model, Stable Diffusion 2.1 (`with_image_weights`). At the tiny
    scale that model is ours.

    Args:
        unet: the network.
        source: a bundle of a `TextToVideo` (`glassine:NAME` or a folder), or the checkpoint of a run that trained one.

    Raises:
        UserError: nothing there, or the spatial part of another architecture; the message names where.
    """
    own = unet.state_dict()
    spatial = {  # bundles are of half precision
        name: tensor.to(own[name].dtype) if name in own else tensor
        for name, tensor in read_inside(source, "unet").items()
        if not TEMPORAL.match(name)
    }
    if not spatial:
        raise UserError(f"{source} holds no UNet of a TextToVideo; give glassine:tiny-image or a run of its training")
    return take(unet, spatial, source, [])


def read_inside(source: str, part: str) -> dict[str, Tensor]:
    """The tensors of a part of a `TextToVideo` in a bundle or a checkpoint; none where it has no such part."""
    checkpoint = Path(source).suffix == ".ckpt"
    state = read_state(Path(source) if checkpoint else locate(source) / "model.safetensors")
    prefix = f"generator.{part}." if checkpoint else f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
