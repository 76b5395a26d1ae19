"""The network of single pictures within one that animates them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


@contextmanager
def first_stage(network: Any) -> Iterator[None]:
    """Within, the UNet of a `TransparentVideo` is that of single pictures: its `image_unet`, else its spatial part.

    It stands in the place of the other one, so that no other thread can use the network meanwhile.
    """
    unet = network.unet
    still = unet.without_motion() if network.animates and network.image_unet is None else nullcontext()
    network.unet = unet if network.image_unet is None else network.image_unet
    try:
        with still:
            yield
    finally:
        network.unet = unet
