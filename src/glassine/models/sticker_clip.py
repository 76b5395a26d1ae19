"""Networks to evaluate generated stickers, which do not need public weights.

`StickerCLIP` embeds clips and captions in one space, `StickerNames` classifies which emoji an image shows, and
`TagVocabulary` encodes a sticker's tags.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import timm
import torch
from einops import rearrange
from timm.models import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sam import IMAGENET_MEAN, IMAGENET_STD
from glassine.utils.errors import UserError


class TagVocabulary:
    """A vocabulary of tags, and encoding of a sticker's tags; ignores case and surplus whitespace.

    Args:
        words: the tags.

    Raises:
        ValueError: a tag occurs twice.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = [plain(word) for word in words]
        self.places = {word: place for place, word in enumerate(self.words)}
        if len(self.places) < len(self.words):
            raise ValueError(f"tags must differ, got {Counter(self.words).most_common(1)[0][0]!r} twice")

    @classmethod
    def count(cls, stickers: Iterable[Iterable[str]], min_count: int = 1) -> "TagVocabulary":
        """Vocabulary of the trigger words that at least `min_count` stickers have, most frequent first."""
        counts = Counter(word for words in stickers for word in {plain(word) for word in words})
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(word for word, stickers_with in ordered if stickers_with >= min_count)

    def mixture(self, stickers: Sequence[Iterable[str]]) -> Tensor:
        """`b v`: equal weights that sum to 1 for each sticker's known tags; zeros if none is known."""
        return equal_shares(stickers, len(self.words), self.places.get)


class HashedTags:
    """Tags hashed to one of `size` places by their SHA-256, for data whose vocabulary is not known in advance.

    Collisions are rare for few words: of 500 words in 2,048 places, four fifths share their place with no other.

    Args:
        size: number of places.

    Raises:
        ValueError: `size` is below 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size

    def mixture(self, stickers: Sequence[Iterable[str]]) -> Tensor:
        """`b v`: equal weights that sum to 1 for the places of each sticker's words; zeros if it has no words."""
        return equal_shares(stickers, self.size, self.place)

    def place(self, word: str) -> int | None:
        """The place of a word, the same on every machine; None for an empty word."""
        return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % self.size if word else None


def equal_shares(stickers: Sequence[Iterable[str]], size: int, place: Callable[[str], int | None]) -> Tensor:
    """`b size`: equal weights that sum to 1 for the places of each sticker's words; zeros if no word has a place."""
    shares = torch.zeros(len(stickers), size)
    for row, words in zip(shares, stickers, strict=True):
        places = map(place, map(plain, [words] if isinstance(words, str) else words))
        row[[one for one in places if one is not None]] = 1
    return shares / shares.sum(1, keepdim=True).clamp(min=1)


def plain(word: str) -> str:
    """Normalize a tag for comparison: whitespace collapsed, case folded."""
    return " ".join(word.split()).casefold()


class ClipEncoder(nn.Module):
    """Features of a clip: a timm network on each frame, then residual convolutions over time.

    With `shifted`, stages of the network exchange channels between neighboring frames (Temporal Shift Module, arXiv
    1811.08383, section 3), which preserves small movements that spatial pooling would lose.

    Args:
        name: timm model, created without weights; for `shifted` or `kept_stages` one with the structure of MobileNet or
            EfficientNet (stem, stages, head). `tf_efficientnet_lite0` can be initialized from ImageNet weights with
            `glassine.pretrained.efficientnet_lite.start_from_imagenet`. EfficientNets get images scaled to [-1, 1].
        size: height and width in pixels to which frames are resized.
        channels: channels of the features; few, so that the covariance of a few hundred clips has full rank.
        temporal_layers: number of residual convolutions over three frames.
        shifted: fraction of channels taken from neighboring frames, half from each side; 0 for none.
        kept_stages: number of stages that are frozen together with the stem, which saves a third of the time if they
            are initialized from ImageNet; 0 trains all.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str = "mobilenetv4_conv_small_050",
        size: int = 96,
        channels: int = 128,
        temporal_layers: int = 2,
        shifted: float = 0.0,
        kept_stages: int = 0,
    ) -> None:
        super().__init__()
        self.frames: Any = timm.create_model(name, num_classes=channels)
        self.efficient = isinstance(self.frames, EfficientNet)
        if self.efficient:  # channels_last makes depthwise convolutions a third faster on a CPU
            self.frames.to(memory_format=torch.channels_last)
        self.out_channels = channels
        self.temporal = nn.ModuleList(TemporalBlock(self.out_channels) for _ in range(temporal_layers))
        self.size, self.shifted, self.kept_stages = size, shifted, kept_stages
        mean, std = ((0.5,) * 3,) * 2 if self.efficient else (IMAGENET_MEAN, IMAGENET_STD)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "ClipEncoder":
        """Set the mode; frozen stages stay in eval mode."""
        super().train(mode)
        for part in self.kept():
            part.eval()
        return self

    def kept(self) -> list[nn.Module]:
        """The frozen parts."""
        if not self.kept_stages:
            return []
        return [self.frames.conv_stem, self.frames.bn1, *self.frames.blocks[: self.kept_stages]]

    def forward(self, clip: Tensor) -> Tensor:
        """Features `b d` of opaque clips `b f 3 h w` in [0, 1]."""
        pictures = self.prepared(rearrange(clip, "b f c h w -> (b f) c h w"))
        by_stage = self.shifted or self.kept_stages
        features = self.through_stages(pictures, clip.shape[1]) if by_stage else self.frames(pictures)  # (b f) d
        features = rearrange(features, "(b f) d -> b d f", f=clip.shape[1])
        for block in self.temporal:
            features = block(features)
        return features.mean(dim=2)

    def prepared(self, pictures: Tensor) -> Tensor:
        """Images `n 3 h w` in [0, 1], resized and normalized for the network."""
        if pictures.shape[-2:] != (self.size, self.size):
            pictures = F.interpolate(
                pictures, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        pictures = (pictures - self.mean) / self.std
        return pictures.contiguous(memory_format=torch.channels_last) if self.efficient else pictures

    def through_stages(self, pictures: Tensor, frames: int) -> Tensor:
        """Features `(b f) d` of images `(b f) 3 h w`; the trained stages exchange channels between frames."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.kept_stages):
            hidden = self.frames.bn1(self.frames.conv_stem(pictures))
            for stage in self.frames.blocks[: self.kept_stages]:
                hidden = stage(hidden)
        for stage in self.frames.blocks[self.kept_stages :]:
            hidden = stage(shift(hidden, frames, self.shifted))
        if self.efficient:  # MobileNetV4's head applies its last convolution after the pooling
            hidden = self.frames.bn2(self.frames.conv_head(hidden))
        return self.frames.forward_head(hidden)


def shift(hidden: Tensor, frames: int, share: float) -> Tensor:
    """Replace a `share` of the channels of `(b f) c h w`, half by those of the previous and half of the next frame.

    The first and last frame keep their own channels where they have no neighbor, so that static clips do not change.
    """
    moved = int(hidden.shape[1] * share / 2)
    if not moved or frames == 1:
        return hidden
    clips = rearrange(hidden, "(b f) c h w -> b f c h w", f=frames)
    before = torch.cat([clips[:, :1, :moved], clips[:, :-1, :moved]], dim=1)
    after = torch.cat([clips[:, 1:, moved : 2 * moved], clips[:, -1:, moved : 2 * moved]], dim=1)
    return rearrange(torch.cat([before, after, clips[:, :, 2 * moved :]], dim=2), "b f c h w -> (b f) c h w")


class TemporalBlock(nn.Module):
    """A residual depthwise convolution over three frames, with an MLP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.mix = nn.Conv1d(channels, channels, 3, padding=1, groups=channels)
        self.widen, self.narrow = nn.Conv1d(channels, channels // 2, 1), nn.Conv1d(channels // 2, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """`b d f` to the same."""
        hidden = self.widen(self.mix(self.norm(features)))
        return features + self.narrow(F.gelu(hidden))


class StickerCLIP(nn.Module):
    """Contrastive model of stickers and captions (CLIP, arXiv 2103.00020, section 2.3).

    With temporal layers and a motion head, it is the video encoder of `fvd_glassine`; without them, the image-text
    model of `clip_glassine`. These scores are not comparable with those of FVD's I3D or of CLIP.

    Args:
        encoder: clips to features `b d`.
        text_encoder: `list[str]` to `b n d'`, with zeros at padded positions; frozen.
        text_channels: d'.
        width: dimension of the joint embedding.
        motions: classes of the motion head, see `glassine.tasks.sticker_clip`; 0 for no head.
    """

    def __init__(
        self, encoder: ClipEncoder, text_encoder: nn.Module, text_channels: int, width: int = 128, motions: int = 0
    ) -> None:
        super().__init__()
        self.encoder, self.text_encoder = encoder, text_encoder.requires_grad_(False).eval()
        self.of_clip = nn.Linear(encoder.out_channels, width)
        self.of_text = nn.Sequential(nn.Linear(text_channels, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))  # ln(1 / 0.07), section 2.5
        self.motion_head = nn.Linear(encoder.out_channels, motions) if motions else None

    def train(self, mode: bool = True) -> "StickerCLIP":
        """Set the mode; the text encoder stays in eval mode."""
        super().train(mode)
        self.text_encoder.eval()
        return self

    def features(self, clip: Tensor) -> Tensor:
        """Features `b d` of clips `b f 3 h w` in [0, 1], for Fréchet distances."""
        return self.encoder(clip)

    def embed_clips(self, clip: Tensor) -> Tensor:
        """Normalized embeddings `b width` of opaque clips `b f 3 h w` in [0, 1]."""
        return self.embed_features(self.features(clip))

    def embed_features(self, features: Tensor) -> Tensor:
        """Normalized embeddings `b width` from the features `b d` of clips."""
        return F.normalize(self.of_clip(features), dim=-1)

    def embed_pictures(self, pictures: Tensor) -> Tensor:
        """Normalized embeddings `b width` of opaque images `b 3 h w` in [0, 1]."""
        return self.embed_clips(pictures[:, None])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Normalized embeddings `b width` of b texts."""
        with torch.no_grad():
            states = self.text_encoder(list(texts))  # b n d'
        counted = states.abs().sum(dim=-1, keepdim=True) > 0  # b n 1
        pooled = (states * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)  # b d'
        return F.normalize(self.of_text(pooled), dim=-1)


NAME_BYTES = 64


class StickerNames(nn.Module):
    """Classifier over sticker groups, by the cosine of an image's embedding with one prototype per group.

    The names of the groups are saved with the weights, so that a weight file identifies its classes. Their bytes are
    stored as floats, because averaging of weights would round integers.

    Args:
        encoder: images, as clips of one frame, to embeddings.
        classes: number of prototypes, the maximum number of groups.
    """

    labels: Tensor

    def __init__(self, encoder: ClipEncoder, classes: int = 2048) -> None:
        super().__init__()
        self.encoder, self.classes = encoder, classes
        self.prototypes = nn.Parameter(torch.randn(classes, encoder.out_channels))
        self.logit_scale = nn.Parameter(torch.tensor(3.0))  # ln 20
        self.register_buffer("labels", torch.zeros(classes, NAME_BYTES))

    @property
    def names(self) -> list[str]:
        """Names of the groups, in the order of the logits; empty before `set_names`."""
        rows = self.labels.round().to(torch.uint8).cpu().numpy()
        return [bytes(row).rstrip(b"\0").decode() for row in rows if row.any()]

    def set_names(self, names: Sequence[str]) -> None:
        """Set the names of the groups.

        Raises:
            UserError: more names than classes, a duplicate, or a name that is empty or longer than 64 bytes.
        """
        if len(names) > self.classes:
            raise UserError(f"classes must be at least the {len(names)} groups of the data, got {self.classes}")
        if len(set(names)) < len(names):
            raise UserError("names of groups must differ, got one twice")
        labels = torch.zeros(self.classes, NAME_BYTES)
        for row, name in enumerate(names):
            data = name.encode()
            if not 0 < len(data) <= NAME_BYTES:
                raise UserError(f"names of groups must have 1 to {NAME_BYTES} bytes, got {name!r}")
            labels[row, : len(data)] = torch.tensor(list(data), dtype=torch.float32)
        self.labels.copy_(labels)

    def features(self, pictures: Tensor) -> Tensor:
        """Embeddings `b d` of opaque images `b 3 h w` in [0, 1], not normalized."""
        return self.encoder(pictures[:, None])

    def appearance(self, pictures: Tensor) -> Tensor:
        """Pooled features `b d'` of opaque images `b 3 h w` in [0, 1], before the embedding layer.

        They describe the appearance of an image; embeddings do so less, since training makes those of a group similar.
        """
        frames = self.encoder.frames
        return frames.forward_head(frames.forward_features(self.encoder.prepared(pictures)), pre_logits=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `b n` of opaque images `b 3 h w` in [0, 1], one per name in `names`."""
        return self.classify(self.features(pictures))

    def classify(self, features: Tensor) -> Tensor:
        """Logits `b n` of embeddings `b d`, in float32."""
        prototypes = F.normalize(self.prototypes[: self.count], dim=1)
        cosines = F.normalize(features.float(), dim=1) @ prototypes.T
        return self.logit_scale.clamp(max=4.6052).exp() * cosines

    @property
    def count(self) -> int:
        """Number of named groups."""
        return int((self.labels[:, 0] > 0).sum())
