"""CLIP's two encoders, for scores that compare images with captions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPProcessor

from glassine.pretrained.hub import hub_errors, load_transformers

EXAMPLE = "openai/clip-vit-large-patch14"


class CLIP(nn.Module):
    """CLIP (Radford et al. 2021, arXiv 2103.00020) in transformers' format, with its tokenizer and preprocessing.

    `encode_images` and `encode_texts` are the functions to pass to `glassine.metrics.clip_score.ClipScores`.

    Args:
        source: a hub id such as `openai/clip-vit-large-patch14`, or the path of a local copy.
        revision: branch, tag or commit on the hub.
        batch_size: number of captions and images encoded at once.

    Raises:
        UserError: the model is not on the hub or at the path, is a different model, or is incomplete.
    """

    def __init__(self, source: str, revision: str | None = None, batch_size: int = 64) -> None:
        super().__init__()
        self.network, self.processor = load_clip(source, revision or "main")
        self.network.requires_grad_(False)
        self.batch_size = batch_size

    @property
    def logit_scale(self) -> float:
        """The factor by which cosine similarities are multiplied before a softmax."""
        return self.network.logit_scale.exp().item()

    def encode_images(self, frames: Tensor) -> Tensor:
        """Embeddings `n d`, not normalized, of opaque images `n 3 h w` in [0, 1].

        Images are first rounded to 8 bits, since CLIP's bicubic resizing is defined on 8-bit images and clips them.
        """
        pictures = (frames * 255).round().to(torch.uint8)
        device = self.network.device
        parts = []
        for batch in pictures.split(self.batch_size):
            pixels = self.processor.image_processor(images=list(batch.cpu()), return_tensors="pt")["pixel_values"]
            parts.append(pooled(self.network.get_image_features(pixel_values=pixels.to(device))))
        return torch.cat(parts)  # n d

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings `n d`, not normalized, of captions as given; captions too long for CLIP are truncated."""
        config: Any = self.network.config.text_config
        parts = []
        for start in range(0, len(texts), self.batch_size):
            tokens = self.processor.tokenizer(
                list(texts[start : start + self.batch_size]),
                padding=True, truncation=True, max_length=config.max_position_embeddings, return_tensors="pt",
            ).to(self.network.device)  # fmt: skip
            parts.append(
                pooled(
                    self.network.get_text_features(
                        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
                    )
                )
            )
        return torch.cat(parts)  # n d


def pooled(features: Any) -> Tensor:
    """The features from `get_*_features`: a tensor before transformers 5, a field of an output object since then."""
    return features if isinstance(features, Tensor) else features.pooler_output


def load_clip(source: str, revision: str) -> tuple[CLIPModel, Any]:
    """The network in eval mode and its processor; raises UserError if `source` does not have both."""
    network = load_transformers(CLIPModel, CLIPConfig, "CLIP", source, revision, EXAMPLE)
    places = f"a reachable hub id such as {EXAMPLE} or a local folder with its tokenizer and processor"
    with hub_errors("CLIP", source, places):
        processor = CLIPProcessor.from_pretrained(source, revision=revision, trust_remote_code=False)
    return network, processor
