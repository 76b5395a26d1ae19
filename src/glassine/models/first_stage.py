"""The network of single pictures within one that animates them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from glassine.models.motion_unet import MotionUNet


@contextmanager
def first_stage(network: Any) -> Iterator[None]:
    """Within, the UNet of a `TransparentVideo` is that of single pictures: its `image_unet`, else its spatial part.

    It stands in the place of the other one, so that no other thread can use the network meanwhile.
    """
    unet = network.unet
    try:
        if network.image_unet is not None:
            network.unet = network.image_unet
            yield
        elif isinstance(unet, MotionUNet):
            with unet.without_motion():
                yield
        else:
            yield
    finally:
        network.unet = unet
