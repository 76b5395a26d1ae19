"""Image UNets with the call signature of video UNets, applied to each frame: those of Stable Diffusion 2 and 1.5.

These and the video UNets copy the arguments of diffusers' constructors with `inherit_arguments`. They are classes and
not functions such as `with_lora`, because bundles and checkpoints refer to them by `class_path`, diffusers'
`from_pretrained` only fills layers that exist when the constructor returns, and each has its own forward pass.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput
from einops import rearrange, repeat
from torch import Tensor

from glassine.nn.layout_adapter import add_layer_attention


def inherit_arguments(base: type, *names: str, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator for `__init__(self, inherited, own...)` that adds constructor arguments of the base class.

    Command lines, YAML files and diffusers' configuration see one flat signature with names, types and defaults; the
    decorated function receives the inherited arguments as one dictionary.

    Args:
        base: a diffusers model.
        names: inherited arguments; if none are given, all of them.
        defaults: defaults that differ from those of the base class.
    """
    theirs = dict(inspect.signature(base.__init__).parameters)  # type: ignore[misc]
    chosen = names or tuple(theirs)[1:]

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        self_argument, _, *own = inspect.signature(init).parameters.values()
        inherited = [
            theirs[name].replace(
                default=defaults.get(name, theirs[name].default), annotation=any_length(theirs[name].annotation)
            )
            for name in chosen
        ]
        signature = inspect.Signature([self_argument, *inherited, *own])

        @wraps(init)
        def flat(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = dict(list(bound.arguments.items())[1:])
            init(self, {name: arguments.pop(name) for name in chosen}, **arguments)

        flat.__signature__ = signature  # type: ignore[attr-defined]
        return flat

    return decorate


def any_length(annotation: Any) -> Any:
    """Replace diffusers' `int | tuple[int]`, meaning one number or one per block, which parsers take for a 1-tuple."""
    return int | tuple[int, ...] if annotation == int | tuple[int] else annotation


SIZES = (
    "in_channels", "out_channels", "down_block_types", "up_block_types", "block_out_channels", "layers_per_block",
    "norm_num_groups", "cross_attention_dim",
)  # fmt: skip


class FrameUNet(UNet2DConditionModel):
    """diffusers' `UNet2DConditionModel`, applied to each frame.

    Its weights fit the spatial part of a `VideoUNet` with the same arguments. All other arguments are diffusers'; the
    defaults are Stable Diffusion 2.1's.

    Args:
        attention_head_dim: channels per attention head, as in `VideoUNet`. In diffusers' image UNet, the argument of
            this name is the number of heads.
    """

    @register_to_config
    @inherit_arguments(UNet2DConditionModel, *SIZES, cross_attention_dim=1024)
    def __init__(self, inherited: dict[str, Any], attention_head_dim: int = 64) -> None:
        heads = tuple(width // attention_head_dim for width in inherited["block_out_channels"])
        super().__init__(**inherited, attention_head_dim=heads, use_linear_projection=True)
        self.register_to_config(attention_head_dim=attention_head_dim)  # the base class has registered `heads`

    def forward(
        self, sample: Tensor, timestep: Tensor | float | int, encoder_hidden_states: Tensor, **options: Any
    ) -> UNet2DConditionOutput:
        """The prediction `b c f h w` for noisy latents.

        Args:
            sample: noisy latents `b c f h w`.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`.
            options: passed on to diffusers.
        """
        frames = sample.shape[2]
        if isinstance(timestep, Tensor) and timestep.ndim:
            timestep = repeat(timestep, "b -> (b f)", f=frames)
        made = super().forward(
            rearrange(sample, "b c f h w -> (b f) c h w"),
            timestep,
            repeat(encoder_hidden_states, "b n d -> (b f) n d", f=frames),
            **options,
        )
        return UNet2DConditionOutput(sample=rearrange(made.sample, "(b f) c h w -> b c f h w", f=frames))


class ImageUNet(FrameUNet):
    """The network of Layer-Animate's first stage at full size: `FrameUNet` with the layout of SD 1.5.

    `attention_head_dim` is the number of heads, as in diffusers' image UNets. All other arguments are diffusers'; the
    defaults are SD 1.5's, with 859.521 M parameters.

    Args:
        layer_attention: whether the attention layers are LayerDiffuse's, see `LayerAttention`.
    """

    # copy loaded weights: used in place, unaligned in the mapped file, they change the last digits of results
    _supports_param_buffer_assignment = False

    @register_to_config
    @inherit_arguments(
        UNet2DConditionModel, *SIZES, "attention_head_dim", "use_linear_projection", cross_attention_dim=768
    )
    def __init__(self, inherited: dict[str, Any], layer_attention: bool = False) -> None:
        UNet2DConditionModel.__init__(self, **inherited)  # not FrameUNet's, which builds another network
        if layer_attention:
            add_layer_attention(self)
