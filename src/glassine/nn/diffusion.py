"""Building blocks of diffusion models: guidance, loss weights, timesteps, gradient checkpointing, zero layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from glassine.utils.errors import UserError

# guidance_rescale of arXiv 2305.08891, section 3.4, for schedules that end in pure noise
RESCALE = 0.7
M = TypeVar("M", bound=nn.Module)


def rescale_noise_cfg(
    noise_cfg: Tensor, noise_pred_text: Tensor, guidance_rescale: float, cond_mask: Tensor | None = None
) -> Tensor:
    """The guided prediction, rescaled toward the standard deviation of the text-conditioned one.

    Equations 15 and 16 of arXiv 2305.08891, like diffusers' function of this name, but given frames are ignored.

    Args:
        noise_cfg: guided prediction `b f ...`.
        noise_pred_text: prediction with the prompt, the same shape.
        guidance_rescale: 0 is off, 1 fully restores the standard deviation.
        cond_mask: `b f` bool, True for given frames, whose prediction is not used.
    """
    if not guidance_rescale:
        return noise_cfg
    ratio = deviation(noise_pred_text, cond_mask) / deviation(noise_cfg, cond_mask)  # b
    return noise_cfg * (guidance_rescale * ratio + 1 - guidance_rescale).view(-1, *[1] * (noise_cfg.ndim - 1))


def deviation(clips: Tensor, cond_mask: Tensor | None) -> Tensor:
    """Standard deviation `b` over all values of `b f ...` except given frames."""
    if cond_mask is None:
        return clips.flatten(1).std(dim=1)
    return torch.stack([clip[~frames].std() for clip, frames in zip(clips, cond_mask, strict=True)])


def signal_to_noise(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """`b`: alphas_cumprod / (1 - alphas_cumprod) at each of `timesteps` `b`.

    diffusers' `compute_snr` squares a quotient of square roots, which loses precision at both ends of the schedule.
    """
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float()
    return kept / (1 - kept)


def min_snr_weight(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR-gamma weights `b` (Hang et al., arXiv 2303.09556, section 3.4).

    Args:
        snr: `b`.
        gamma: maximum weight of the clean-sample error; 5 in the paper.
        prediction_type: `epsilon`, `v_prediction` or `sample`: the quantity on which the error is computed.
    """
    of_sample = snr.clamp(max=gamma)
    if prediction_type == "sample":
        return of_sample
    # the error of the noise is that of the sample times snr, the error of v that times snr + 1 (ibid., section 3.4)
    return of_sample / (snr.clamp(min=1e-8) if prediction_type == "epsilon" else snr + 1)


def clean_and_noise(predicted: Tensor, noisy: Tensor, kept: Tensor, prediction_type: str) -> tuple[Tensor, Tensor]:
    """The clean sample and the noise, `b ...` each, that correspond to a network's prediction.

    Args:
        predicted: `b ...`.
        noisy: the network's input, the same shape.
        kept: alphas_cumprod at the timesteps, `b`; must be positive for `epsilon`.
        prediction_type: `epsilon`, `v_prediction` or `sample`.
    """
    signal, spread = (part.view(-1, *[1] * (noisy.ndim - 1)).to(noisy) for part in (kept.sqrt(), (1 - kept).sqrt()))
    if prediction_type == "v_prediction":
        return signal * noisy - spread * predicted, signal * predicted + spread * noisy
    if prediction_type == "epsilon":
        return (noisy - spread * predicted) / signal, predicted
    return predicted, (noisy - signal * predicted) / spread


def prediction_for(clean: Tensor, noisy: Tensor, kept: Tensor, prediction_type: str) -> Tensor:
    """The prediction for `noisy` that corresponds to the `clean` sample: the inverse of `clean_and_noise`."""
    signal, spread = (part.view(-1, *[1] * (noisy.ndim - 1)).to(noisy) for part in (kept.sqrt(), (1 - kept).sqrt()))
    if prediction_type == "v_prediction":
        return (signal * noisy - clean) / spread
    return (noisy - signal * clean) / spread if prediction_type == "epsilon" else clean


def prediction_target(scheduler: Any, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What a network is trained to predict, of the shape of `clean`, by the scheduler's `prediction_type`."""
    kind = scheduler.config["prediction_type"]
    if kind == "v_prediction":
        return cast(Tensor, scheduler.get_velocity(clean, noise, timesteps))
    return {"epsilon": noise, "sample": clean}[kind]


def share_noise(noise: Tensor, shared: Tensor, share: float) -> Tensor:
    """Noise of frames that is correlated: each frame has `share` of its variance in common with all others.

    PYoCo's mixed noise model (Ge et al., arXiv 2305.10474, section 3.1), in which `share` is a^2 / (1 + a^2).

    Args:
        noise: independent for each frame, `b f c h w`.
        shared: the same for all frames, `b c h w`.
        share: in [0, 1]; 0 returns `noise`.
    """
    return noise if share == 0 else share**0.5 * shared[:, None] + (1 - share) ** 0.5 * noise


def draw_timesteps(count: int, steps: int, shift: float = 1.0, device: torch.device | None = None) -> Tensor:
    """Sample `count` random timesteps in [0, `steps`).

    Args:
        count: number of timesteps.
        steps: length of the noise schedule.
        shift: 1 samples uniformly; higher values sample high noise levels more often, u -> s u / (1 + (s - 1) u) (Esser
            et al., arXiv 2403.03206, section 5.3.2), where the prompt matters most. With 3, 43% are in the upper fifth.
        device: device of the result.

    Raises:
        UserError: `shift` is not positive.
    """
    if not shift > 0:
        raise UserError(f"timestep_shift must be positive (1 is uniform), got {shift}")
    if shift == 1:
        return torch.randint(steps, (count,), device=device)
    even = torch.rand(count, device=device)
    return (shift * even / (1 + (shift - 1) * even) * steps).long().clamp(max=steps - 1)


def checkpoint_layer(layer: nn.Module, enable: bool = True) -> None:
    """Enable or disable gradient checkpointing for a layer that does not support it itself.

    It is set on the instance: names, state dict and copies are not affected.
    """
    layer.__dict__.pop("forward", None)
    if enable:
        layer.forward = partial(recomputed, layer)


def recomputed(layer: nn.Module, *inputs: Any, **options: Any) -> Any:
    """The forward pass of the layer's class, checkpointed if gradients are enabled."""
    forward = type(layer).forward
    if not torch.is_grad_enabled():
        return forward(layer, *inputs, **options)
    return checkpoint(forward, layer, *inputs, use_reentrant=False, **options)


def enable_checkpointing(*networks: nn.Module) -> None:
    """Enable gradient checkpointing in diffusers' networks, which saves memory at the cost of time.

    In an `AutoencoderKL`, each residual block is checkpointed separately. diffusers checkpoints whole scales, where the
    finest scale alone then needs most of the memory of a step.

    Raises:
        UserError: a network does not support it.
    """
    for network in networks:
        if not getattr(network, "_supports_gradient_checkpointing", False):
            raise UserError(f"gradient_checkpointing must be false for a {type(network).__name__}, which has none")
        if isinstance(network, AutoencoderKL):
            for layer in network.modules():
                if isinstance(layer, ResnetBlock2D):
                    checkpoint_layer(layer)
        else:
            network.enable_gradient_checkpointing()  # type: ignore[operator]


@contextmanager
def float32_attention() -> Iterator[None]:
    """Context in which attention of bfloat16 tensors `b h n d` is computed in float32, on a CPU.

    The backward pass of torch's fused attention takes 30 ms in bfloat16 on a CPU however few tokens there are (5 in
    float32); a training step of the tiny video networks takes 1.4 times as long with it.

    The function itself is replaced: a `TorchFunctionMode` is off during a backward pass, where gradient checkpointing
    computes attention once more.
    """
    fused = F.scaled_dot_product_attention

    def attention(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        if query.dtype != torch.bfloat16 or query.is_cuda:
            return fused(query, key, value, attn_mask, *args, **kwargs)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.float()
        with torch.autocast("cpu", enabled=False):
            return fused(query.float(), key.float(), value.float(), attn_mask, *args, **kwargs).to(query.dtype)

    F.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused


def zero_module(module: M) -> M:
    """The module with all its parameters set to zero: a residual branch ending in it adds nothing at initialization."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
