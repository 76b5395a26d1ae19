"""Two text encoders combined into one, such as CLIP and FLAN-T5."""

from typing import Any

from torch import Tensor, nn

from glassine.nn.conditioning import fill_padding
from glassine.nn.second_text import joined


class TextEncoderPair(nn.Module):
    """Encodes texts as the tokens of one encoder followed by those of another, for a UNet with `second_text`.

    Args:
        first: the `glassine.pretrained.text_encoder.TextEncoder` that the image network was trained with.
        second: another one; its padding is filled with the mean of the text's tokens.

    Attributes:
        width: channels of a token: the larger of the two widths.
        length: number of tokens of both encoders together.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second
        encoders: tuple[Any, Any] = (first, second)
        self.width = max(int(one.width) for one in encoders)
        self.length = sum(int(one.length) for one in encoders)

    def forward(self, texts: list[str]) -> Tensor:
        """`prompt_embeds` `b n d`: tokens of the first encoder, then of the second, padded to one width by `joined`."""
        return joined(self.first(texts), fill_padding(self.second(texts)))

    @property
    def identity(self) -> dict[str, str]:
        """Identities of both encoders; see `glassine.pretrained.text_encoder.TextEncoder.identity`."""
        parts: tuple[tuple[str, Any], ...] = (("", self.first), ("second_", self.second))
        return {f"{prefix}{name}": value for prefix, part in parts for name, value in part.identity.items()}
