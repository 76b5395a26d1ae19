"""Train ILDiff (arXiv 2412.20901, section II-B and figure 1)."""

from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.ildiff import ILDiff, PixelSource
from glassine.nn.diffusion import enable_checkpointing
from glassine.tasks.base import ScoredTask

Part = Literal["image_encoder", "adapter", "decoder", "hint"]
RELATIVE_FLOOR = 1e-5  # 50 dB; lower errors are not rewarded further


class ILDiffTask(ScoredTask):
    """L = alpha_weight * L_alpha + rgb_weight * L_rgb + harmless_weight * L_p.

    L_alpha and L_rgb are squared errors of the transparency decoder's output. L_p is the squared error between the clip
    and the frozen VAE's decoding of the adjusted latents. All pixels are in [0, 1], as in LayerDiffuse's L_identity.
    The paper gives no weights: all default to 1 except that of L_rgb, since padded colors outside the sticker are
    invisible.

    Args:
        ildiff: the network (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        train_parts: parts to train: `image_encoder` (of the adapter), `adapter` (the rest of it), `decoder`, `hint`
            (its weights). Parts that are already frozen stay frozen. The paper says both "only fine-tune the layout
            adapter" (V-A) and "fine-tune the transparent decoder" (II-B); the default trains all, because L_alpha is
            computed from the decoder's output.
        alpha_weight: weight of L_alpha.
        alpha_l1_weight: weight of an additional absolute alpha error; 0 in the paper. It sharpens edges that L_alpha
            leaves soft.
        relative_weight: weight of an additional ln L_alpha per clip (HINet's loss, arXiv 2105.06070, i.e. PSNR); 0 in
            the paper. Halving the error then counts the same for easy and hard clips, whereas the other terms are
            dominated by hard clips.
        own_alpha_weight: weight of the same alpha errors on the decoder's own alpha, before the hint's candidates are
            mixed in. Ours, for networks with a hint: candidates are correct so often that the decoder would otherwise
            get no gradient at pixels where all of them are wrong.
        rgb_weight: weight of L_rgb.
        harmless_weight: weight of L_p.
        harmless_frames: frames of each clip on which L_p is computed, chosen at random; None uses all. The VAE's
            decoder is the most expensive part of a step if the transparency decoder sees the input.
        pixel_sources: fraction of training steps for each decoder input, so that the weights work with both; None uses
            the network's own setting.
        gradient_checkpointing: of the decoder and the VAE; saves memory, costs time.
    """

    frozen: tuple[str, ...] = ("ildiff.vae",)

    def __init__(
        self,
        ildiff: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        train_parts: tuple[Part, ...] = ("image_encoder", "adapter", "decoder", "hint"),
        alpha_weight: float = 1.0,
        alpha_l1_weight: float = 0.0,
        relative_weight: float = 0.0,
        own_alpha_weight: float = 0.0,
        rgb_weight: float = 0.3,
        harmless_weight: float = 1.0,
        harmless_frames: int | None = None,
        pixel_sources: dict[PixelSource, float] | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(ildiff, ILDiff):
            raise TypeError(f"ildiff must be an ILDiff, got a {type(ildiff).__name__}")
        if gradient_checkpointing:
            enable_checkpointing(ildiff.decoder, ildiff.vae)
        self.ildiff, self.train_parts = ildiff, train_parts
        self.alpha_weight, self.alpha_l1_weight = alpha_weight, alpha_l1_weight
        self.relative_weight, self.own_alpha_weight, self.rgb_weight = relative_weight, own_alpha_weight, rgb_weight
        self.harmless_weight, self.harmless_frames = harmless_weight, harmless_frames
        self.pixel_sources = pixel_sources
        if ildiff.adapter is not None and not any(p.requires_grad for p in ildiff.adapter.image_encoder.parameters()):
            self.frozen = (*self.frozen, "ildiff.adapter.image_encoder")  # frozen by its loader, which loads it again
        for part, modules in parts_of(ildiff).items():
            for module in modules if part not in train_parts else ():
                module.requires_grad_(False)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of composited clips."""
        clip, alpha = batch["clip"], batch["alpha"]
        out = self.ildiff(clip, batch["background"], self.draw_pixel_source())
        losses = {
            "alpha": self.alpha_loss(out.alpha, alpha),
            "own_alpha": self.own_alpha_weight * self.alpha_loss(out.own_alpha, alpha),
            "rgb": self.rgb_weight * F.mse_loss(out.foreground, batch["foreground"]),
        }
        if self.harmless_weight and self.ildiff.adapter is not None:
            chosen = torch.randperm(clip.shape[1], device=clip.device)[: self.harmless_frames]
            decoded = out.reconstruction
            decoded = self.ildiff.reconstruct(out.latents[:, chosen]) if decoded is None else decoded[:, chosen]
            losses["harmless"] = self.harmless_weight * F.mse_loss(decoded / 2 + 0.5, clip[:, chosen])
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({f"train/{name}": value for name, value in losses.items()} | {"train/loss": loss})
        return loss

    def alpha_loss(self, alpha: Tensor, truth: Tensor) -> Tensor:
        """L_alpha with its absolute and relative terms."""
        squared = (alpha - truth).square().flatten(1).mean(1)  # b
        relative = squared.add(RELATIVE_FLOOR).log().mean()
        absolute = F.l1_loss(alpha, truth)
        return self.alpha_weight * squared.mean() + self.alpha_l1_weight * absolute + self.relative_weight * relative

    def draw_pixel_source(self) -> PixelSource | None:
        """The decoder's input in this step."""
        if self.pixel_sources is None:
            return None
        names, shares = list(self.pixel_sources), torch.tensor(list(self.pixel_sources.values()))
        return names[int(torch.multinomial(shares, 1))]

    def evaluation_step(self, batch: dict[str, Any]) -> None:
        """Score a batch of whole clips; the background is estimated, and only given in training."""
        alpha, foreground = self.ildiff.decode(batch["clip"])
        self.scores.update(alpha, batch["alpha"], foreground, batch["foreground"])

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """RGBA clips: `rgba` `b f 4 h w` in [0, 1], straight, with their `key`."""
        alpha, foreground = self.ildiff.decode(batch["clip"])
        return {"rgba": torch.cat([foreground, alpha], dim=2), "key": batch["key"]}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Input, ground truth, result, and both alphas as gray images."""
        clip, truth = batch["clip"], batch["alpha"]
        alpha, foreground = self.ildiff.decode(clip)
        gray = {"true alpha": truth, "alpha": alpha}
        return {
            "input": clip,
            "truth": torch.cat([batch["foreground"], truth], dim=2),
            "result": torch.cat([foreground, alpha], dim=2),
            **{name: a.expand(-1, -1, 3, -1, -1) for name, a in gray.items()},
        }


def parts_of(ildiff: ILDiff) -> dict[Part, list[nn.Module]]:
    """The modules for each name in `train_parts`."""
    adapter = dict(ildiff.adapter.named_children()) if ildiff.adapter is not None else {}
    encoder = [adapter.pop("image_encoder")] if adapter else []
    hint = [ildiff.hint] if ildiff.hint is not None else []
    return {"decoder": [ildiff.decoder], "image_encoder": encoder, "adapter": list(adapter.values()), "hint": hint}
