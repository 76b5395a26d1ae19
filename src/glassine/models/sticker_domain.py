"""VSD2M's domain classifier: an EfficientNet that classifies images as real or cartoon."""

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StickerDomain(nn.Module):
    """Classifier of VSD2M ("Data Construction", b).

    The paper describes it as "a classification model based on EfficientNet to provide discrimination between real and
    cartoon scenes", without the variant or the training data.

    Args:
        name: timm model, created without weights; `tf_efficientnet_lite0` can be initialized from ImageNet weights.
        size: height and width in pixels to which images are resized.
        train_encoder: False only trains the last layer, for which a few hundred labels suffice.
    """

    temperature: Tensor

    def __init__(self, name: str = "tf_efficientnet_lite0", size: int = 160, train_encoder: bool = False) -> None:
        super().__init__()
        self.size, self.train_encoder = size, train_encoder
        encoder: Any = timm.create_model(name, num_classes=2)
        self.encoder, head = encoder, encoder.get_classifier()
        # timm's initial weights are up to 0.7 for two classes: random logits in the tens, too large for a short fit
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.register_buffer("temperature", torch.ones(()))

    def train(self, mode: bool = True) -> "StickerDomain":
        """Set the mode; a frozen encoder stays in eval mode, so that its batch norms keep their statistics."""
        super().train(mode)
        if not self.train_encoder:
            self.encoder.eval()
        return self

    def features(self, pictures: Tensor) -> Tensor:
        """Pooled features `b d` of opaque images `b 3 h w` in [0, 1]."""
        if pictures.shape[-2:] != (self.size, self.size):
            pictures = F.interpolate(pictures, (self.size, self.size), mode="bilinear", antialias=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_encoder):
            hidden = self.encoder.forward_features((pictures - 0.5) / 0.5)
            return self.encoder.forward_head(hidden, pre_logits=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `b 2` (cartoon, real) of opaque images `b 3 h w` in [0, 1]."""
        return self.encoder.get_classifier()(self.features(pictures))

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Probabilities `b 2` (cartoon, real), calibrated by the temperature fitted on validation labels."""
        return (self(pictures).float() / self.temperature).softmax(dim=1)

    @torch.no_grad()
    def calibrate(self, logits: Tensor, labels: Tensor) -> float:
        """Fit the temperature to held-out labels (Guo et al. 2017, arXiv 1706.04599, section 4.2).

        Args:
            logits: `n 2` of held-out images.
            labels: `n`, 0 or 1.

        Returns:
            The temperature with the lowest cross-entropy out of 121 values in [0.25, 16].
        """
        choices = torch.logspace(-2, 4, 121, base=2.0)
        losses = torch.stack([F.cross_entropy(logits.float() / choice, labels) for choice in choices])
        self.temperature.fill_(float(choices[int(losses.argmin())]))
        return float(self.temperature)
