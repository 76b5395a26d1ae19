"""What a temporal method is to a video UNet, and the call that its attention layers answer to."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any

from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel, TransformerTemporalModelOutput
from torch import Tensor, nn

from glassine.descriptions import build
from glassine.errors import UserError


class TemporalMethod(ABC):
    """What stands at the temporal places of diffusers' `UNet3DConditionModel`.

    At full size these are 17 attentions, of which `transformer_in` is the first, and 22 convolutions. A method is given
    each of diffusers' layers and returns what stands in its place: the layer, or a module that is called like it.
    Subclasses are frozen dataclasses of plain values: a method is one key of a YAML and of a saved `config.json`. A
    module that keeps the layer calls it `base`: weights made for the layer then find their way into it.
    """

    @abstractmethod
    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """What stands at attention `index`, counted in the order of the forward pass; 0 is `transformer_in`."""

    def convolution(self, layer: TemporalConvLayer) -> nn.Module:
        """What stands at a convolution; by default the layer."""
        return layer

    def describe(self) -> dict[str, Any]:
        """`class_path` and all `init_args`: what `make_method` reads."""
        kind = type(self)
        return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": asdict(self)}  # type: ignore[call-overload]


class TemporalAttention(nn.Module):
    """A layer that is called as diffusers calls its `TransformerTemporalModel`; subclasses write `over_time`."""

    def forward(
        self,
        hidden_states: Tensor,
        num_frames: int = 1,
        cross_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[Tensor]:
        """`(b f) c h w` to the same; `cross_attention_kwargs` is there for the call and not read."""
        sample = self.over_time(hidden_states, num_frames)
        return TransformerTemporalModelOutput(sample=sample) if return_dict else (sample,)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        raise NotImplementedError


def make_method(description: TemporalMethod | dict[str, Any]) -> TemporalMethod:
    """The method that `class_path` and `init_args` describe; UserError if they describe none."""
    if isinstance(description, TemporalMethod):
        return description
    try:
        return build(TemporalMethod, description, "the temporal method")  # type: ignore[type-abstract]
    except UserError:
        raise
    except Exception as error:  # a network's saved configuration may come from anywhere
        reason = " ".join(str(error).split())[-200:]  # the deepest cause comes last
        raise UserError(
            f"{description} is no temporal method ({reason}); give class_path, such as glassine.nn.sti.STI, "
            "and init_args that it has"
        ) from error


def silence(*layers: nn.Module) -> None:
    """Set layers to zero, so that the residual branches that they end add nothing at first."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
