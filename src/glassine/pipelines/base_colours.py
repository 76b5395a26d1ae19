"""The colours of a user's picture, which the codec of latents changes."""

from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

BLUR = 4.0  # pixels: frames have the picture's colours at about the same places, not its details


def give_back_colours(clips: Tensor, base: Tensor, reference: int) -> Tensor:
    """Clips whose colours are moved as those of the reference frame must be to be the picture's again, blurred.

    Args:
        clips: straight RGBA `n f 4 h w` in [0, 1].
        base: the picture, straight RGBA `4 h w` in [0, 1].
        reference: number of the frame that the network took for it.
    """
    shown = base[3:] * clips[:, reference, 3:]  # n 1 h w
    change = (base[:3] - clips[:, reference, :3]) * shown  # n 3 h w
    kernel = 2 * round(3 * BLUR) + 1
    moved = gaussian_blur(change, kernel, BLUR) / gaussian_blur(shown, kernel, BLUR).clamp(min=1e-3)
    given = clips.clone()
    given[:, :, :3] = (clips[:, :, :3] + moved[:, None]).clamp(0, 1)
    return given
