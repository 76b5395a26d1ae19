"""Looping motion for a still from a text: diffusion of motion fields instead of frames."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sampling import Progress, SamplerConfig, check_seeds, make_solver
from glassine.nn.conditioning import fill_padding
from glassine.nn.motion_fields import GRID, HARMONICS, amount_of, smoothed, without_folds
from glassine.utils.errors import UserError

SHRINK = 4  # the still is read at this many pixels a cell and side


class ImageDynamics(nn.Module):
    """Generative Image Dynamics (Li et al., arXiv 2309.07906) for stickers: predicts how a still moves in a loop.

    Diffusion over a field of Fourier terms (section 4.1 there; `glassine.nn.motion_fields`), given the still and,
    unlike there, a text and the amount of motion. Frames are then the still, moved, so its lines, colors and alpha stay
    as they are, and nothing new appears: no eye closes and no mouth opens. Terms are divided by their deviations, in
    the place of the paper's adaptive normalization. All harmonics are predicted at once, not one after the other, since
    a field has only 16 x 16 cells.

    Args:
        unet: a `FrameUNet` that reads noisy terms, and the still at 4 x 4 pixels a cell, premultiplied: `2k + 64`
            channels; and predicts 2k.
        text_encoder: `list[str]` to `b n d`; frozen.
        scheduler: noise schedule and prediction type.
        deviations: k, root mean square of each term in fields whose amount is 1.
        amounts: root mean square displacements in shares of the frame's side, ascending, that `motion` chooses from.
        usual_motion: index of the amount that is used if none is asked for; None is the middle one.
        smoothing: blur of sampled fields, a standard deviation in cells. What a small network leaves of the noise is
            rough, and the more a rough field moves, the sooner it folds.

    Raises:
        ValueError: channels of the UNet, or numbers of terms or amounts, that do not fit.
    """

    distilled = None  # it takes any solver

    def __init__(
        self,
        unet: nn.Module,
        text_encoder: nn.Module,
        scheduler: DDPMScheduler,
        deviations: Sequence[float] = (1.0,) * (2 * HARMONICS),
        amounts: Sequence[float] = (0.01, 0.02, 0.04),
        usual_motion: int | None = None,
        smoothing: float = 1.5,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.scheduler: Any = scheduler  # diffusers hides its classes from type checkers
        self.text_encoder = text_encoder.requires_grad_(False).eval()
        self.terms, self.amounts = len(deviations), tuple(amounts)
        self.deviations, self.smoothing = tuple(deviations), smoothing
        config: Any = unet.config
        needed = (2 * self.terms + 4 * SHRINK**2, 2 * self.terms)
        if (config["in_channels"], config["out_channels"]) != needed:
            got = config["in_channels"], config["out_channels"]
            raise ValueError(f"in_channels and out_channels of the UNet must be {needed} for this, got {got}")
        if self.terms % 2 or min(self.deviations, default=0) <= 0:
            raise ValueError(f"deviations must be an even number of positive numbers, got {self.deviations}")
        if not self.amounts or list(self.amounts) != sorted(self.amounts) or self.amounts[0] <= 0:
            raise ValueError(f"amounts must be ascending and above 0, got {self.amounts}")
        self.usual_motion = len(self.amounts) // 2 if usual_motion is None else usual_motion
        if not 0 <= self.usual_motion < len(self.amounts):
            raise ValueError(f"usual_motion must be in [0, {len(self.amounts) - 1}], got {usual_motion}")
        if smoothing < 0:
            raise ValueError(f"smoothing must be at least 0, got {smoothing}")
        width = int(config["cross_attention_dim"])
        self.amount_token = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.fast = False

    @property
    def usual_frames(self) -> int:
        """Default number of frames, that of the clips of training; any number may be asked for."""
        return 16

    def check_size(self, size: tuple[int, int], num_frames: int) -> None:
        """Raise UserError unless clips have at least 2 frames; any size will do."""
        if num_frames < 2:
            raise UserError(f"num_frames must be at least 2, got {num_frames}")

    def train(self, mode: bool = True) -> "ImageDynamics":
        """Set the mode of the trained parts; the text encoder stays in eval mode."""
        super().train(mode)
        self.text_encoder.eval()
        return self

    def forward(self, noisy: Tensor, timesteps: Tensor, still: Tensor, prompt_embeds: Tensor, amount: Tensor) -> Tensor:
        """The UNet's prediction `b 2k g g`.

        Args:
            noisy: normalized terms `b 2k g g`.
            timesteps: `b`.
            still: straight RGBA `b 4 4g 4g` in [0, 1].
            prompt_embeds: `b n d`.
            amount: `b`, as a share of the frame's side.
        """
        seen = torch.cat([still[:, :3] * still[:, 3:], still[:, 3:]], 1)
        seen = F.pixel_unshuffle(2 * seen - 1, SHRINK).to(noisy)  # b 64 g g
        low, high = (torch.as_tensor(end).log().item() for end in (self.amounts[0], self.amounts[-1]))
        place = (amount.log() - (low + high) / 2) / max((high - low) / 2, 1e-3)  # about -1 to 1
        token = self.amount_token(place[:, None].to(noisy))[:, None]  # b 1 d
        context = torch.cat([fill_padding(prompt_embeds), token.to(prompt_embeds)], 1)
        sample = rearrange(torch.cat([noisy, seen], 1), "b c h w -> b c 1 h w")
        return rearrange(self.unet(sample, timesteps, context).sample, "b c 1 h w -> b c h w")

    def normalize(self, fields: Tensor, amount: Tensor) -> Tensor:
        """Fields `b k g g 2` of these amounts `b` as terms `b 2k g g` with deviations of about 1."""
        scale = fields.new_tensor(self.deviations).view(-1, 1, 1, 1)
        return rearrange(fields / amount.view(-1, 1, 1, 1, 1) / scale, "b k h w c -> b (k c) h w")

    def denormalize(self, terms: Tensor) -> Tensor:
        """Terms `b 2k g g` as fields `b k g g 2` whose amount is about 1."""
        fields = rearrange(terms, "b (k c) h w -> b k h w c", c=2)
        return fields * fields.new_tensor(self.deviations).view(-1, 1, 1, 1)

    def amount(self, motion: int | None) -> float:
        """The displacement that `motion` stands for; None is the usual one.

        Raises:
            UserError: there is no such amount.
        """
        if motion is not None and not 0 <= motion < len(self.amounts):
            raise UserError(f"motion must be in [0, {len(self.amounts) - 1}], got {motion}")
        return self.amounts[self.usual_motion if motion is None else motion]

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        still: Tensor,
        negative_prompt: str = "",
        sampling: SamplerConfig | None = None,
        motion: int | None = None,
        progress: Progress = lambda *_: None,
    ) -> Tensor:
        """Fields `b k g g 2` of one still, none of which folds it, each with the amount that was asked for or less.

        Args:
            prompts: one per field.
            seeds: one per field; prompt, seed and settings determine the field, up to rounding that depends on the
                batch.
            still: straight RGBA `4 4g 4g` in [0, 1].
            negative_prompt: prompt of the unconditional prediction in classifier-free guidance.
            sampling: None for the defaults of `SamplerConfig`; a guidance scale of None is 1.
            motion: amount, from 0 for the smallest of `amounts`; None is the usual one.
            progress: called after each step with its number and the number of steps.

        Raises:
            UserError: an amount that the network does not have, a negative prompt without guidance, or different
                numbers of prompts and seeds.
        """
        sampling, amount = sampling or SamplerConfig(), self.amount(motion)
        check_seeds(prompts, seeds)
        scale = 1.0 if sampling.guidance_scale is None else sampling.guidance_scale
        guided = scale != 1
        if negative_prompt and not guided:
            raise UserError("negative_prompt needs a guidance_scale other than 1, for instance 3")
        embeds = self.text_encoder([negative_prompt] * len(prompts) * guided + list(prompts))  # (2)b n d
        solver = make_solver(self.scheduler, sampling, embeds.device)
        shape = (2 * self.terms, GRID, GRID)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        terms = torch.stack(noise).to(embeds) * solver.init_noise_sigma
        stills = still.to(embeds).expand(len(embeds), -1, -1, -1)
        amounts = embeds.new_full((len(embeds),), amount)
        for number, timestep in enumerate(solver.timesteps):
            noisy = torch.cat([solver.scale_model_input(terms, timestep)] * (1 + guided))
            prediction = self(noisy, timestep.expand(len(noisy)), stills, embeds, amounts)
            if guided:
                without, with_text = prediction.chunk(2)
                prediction = without + scale * (with_text - without)
            terms = solver.step(prediction, timestep, terms).prev_sample
            progress(number + 1, len(solver.timesteps))
        alpha = (still[3] * 255).round().byte().cpu().numpy()
        fields = []
        for field in self.denormalize(terms).float().cpu().numpy():
            field = smoothed(field, self.smoothing)
            field = field * (amount / max(amount_of(field, alpha), 1e-6))
            fields.append(torch.from_numpy(without_folds(field)))
        return torch.stack(fields)
