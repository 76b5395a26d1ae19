"""Real or cartoon: an EfficientNet with two answers, as VSD2M's domain classifier."""

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StickerDomain(nn.Module):
    """VSD2M, "Data Construction", b: "a classification model based on EfficientNet to provide discrimination between
    real and cartoon scenes". The paper names neither the variant nor the training data.

    Args:
        name: timm model without weights; `tf_efficientnet_lite0` can start from ImageNet weights.
        size: pixels of both sides of what it sees.
        train_encoder: False trains the last layer alone, which is what a few hundred labels are enough for.
    """

    temperature: Tensor

    def __init__(self, name: str = "tf_efficientnet_lite0", size: int = 160, train_encoder: bool = False) -> None:
        super().__init__()
        self.size, self.train_encoder = size, train_encoder
        encoder: Any = timm.create_model(name, num_classes=2)
        self.encoder, head = encoder, encoder.get_classifier()
        # timm's weights are up to 0.7 for two answers: random logits of tens, which a short fit could not undo
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.register_buffer("temperature", torch.ones(()))

    def train(self, mode: bool = True) -> "StickerDomain":
        """Train mode; an encoder that is not trained keeps the statistics of its batch norms."""
        super().train(mode)
        if not self.train_encoder:
            self.encoder.eval()
        return self

    def features(self, pictures: Tensor) -> Tensor:
        """Pooled features `b d` of opaque pictures `b 3 h w` in [0, 1]."""
        if pictures.shape[-2:] != (self.size, self.size):
            pictures = F.interpolate(pictures, (self.size, self.size), mode="bilinear", antialias=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_encoder):
            hidden = self.encoder.forward_features((pictures - 0.5) / 0.5)
            return self.encoder.forward_head(hidden, pre_logits=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `b 2`, cartoon and real, of opaque pictures `b 3 h w` in [0, 1]."""
        return self.encoder.get_classifier()(self.features(pictures))

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Calibrated probabilities `b 2`: logits over the temperature that fitted the validation labels."""
        return (self(pictures).float() / self.temperature).softmax(dim=1)

    @torch.no_grad()
    def calibrate(self, logits: Tensor, labels: Tensor) -> float:
        """Set the temperature (Guo et al. 2017, arXiv 1706.04599, section 4.2) that fits labels best.

        Args:
            logits: `n 2` of held-out pictures.
            labels: `n`, 0 or 1.

        Returns:
            The temperature: of 121 between 0.25 and 16 the one of least cross-entropy.
        """
        choices = torch.logspace(-2, 4, 121, base=2.0)
        losses = torch.stack([F.cross_entropy(logits.float() / choice, labels) for choice in choices])
        self.temperature.fill_(float(choices[int(losses.argmin())]))
        return float(self.temperature)
