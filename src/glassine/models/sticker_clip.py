"""Networks that evaluate generated stickers, for use without public weights.

`StickerCLIP` embeds clips and captions in one space; `StickerNames` classifies which emoji a picture shows;
`TagVocabulary` turns a sticker's tags into network input.
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
    """Known tags, and the shares in which a sticker has them; case and outer spaces do not count.

    Args:
        words: the tags; ValueError where one comes twice.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = [plain(word) for word in words]
        self.places = {word: place for place, word in enumerate(self.words)}
        if len(self.places) < len(self.words):
            raise ValueError(f"tags must differ, got {Counter(self.words).most_common(1)[0][0]!r} twice")

    @classmethod
    def count(cls, stickers: Iterable[Iterable[str]], min_count: int = 1) -> "TagVocabulary":
        """The trigger words that at least `min_count` stickers have, the most frequent first."""
        counts = Counter(word for words in stickers for word in {plain(word) for word in words})
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(word for word, stickers_with in ordered if stickers_with >= min_count)

    def mixture(self, stickers: Sequence[Iterable[str]]) -> Tensor:
        """`b v`: a sticker's known tags in equal shares that sum up to 1; zeros where none is known."""
        return equal_shares(stickers, len(self.words), self.places.get)


class HashedTags:
    """Any words as tags, each in one of `size` places by its SHA-256: for data whose words are not known beforehand.

    Of a few words, two rarely share a place: of 500 in 2,048 places four fifths have one of their own.

    Args:
        size: number of places.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size

    def mixture(self, stickers: Sequence[Iterable[str]]) -> Tensor:
        """`b v`: the places of a sticker's words in equal shares that sum up to 1; zeros where it has no word."""
        return equal_shares(stickers, self.size, self.place)

    def place(self, word: str) -> int | None:
        """That of a word, the same on every machine; None for an empty one."""
        return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % self.size if word else None


def equal_shares(stickers: Sequence[Iterable[str]], size: int, place: Callable[[str], int | None]) -> Tensor:
    """`b size`: the places of each sticker's words in equal shares that sum up to 1; zeros where none has one."""
    shares = torch.zeros(len(stickers), size)
    for row, words in zip(shares, stickers, strict=True):
        places = map(place, map(plain, [words] if isinstance(words, str) else words))
        row[[one for one in places if one is not None]] = 1
    return shares / shares.sum(1, keepdim=True).clamp(min=1)


def plain(word: str) -> str:
    """A tag as it is compared."""
    return " ".join(word.split()).casefold()


class ClipEncoder(nn.Module):
    """Features of a clip: a timm network on each frame, then residual convolutions over the frames.

    With `shifted`, the frames see each other before their features are pooled: stages of the network take channels from
    the frames beside (Temporal Shift Module, arXiv 1811.08383, section 3). What moves a little is lost in the pooling.

    Args:
        name: timm model, without weights; with `shifted` or `kept_stages` of MobileNet's or EfficientNet's kind (stem,
            stages, head). `tf_efficientnet_lite0` can start from ImageNet weights, see `kept_stages` and
            `glassine.pretrained.efficientnet_lite.start_from_imagenet`; its pictures are scaled to [-1, 1] then.
        size: pixels of both sides of what it sees; clips are resized to that.
        channels: of the features; few, so that the covariance of a few hundred clips has full rank.
        temporal_layers: convolutions over three frames each; 0 has none.
        shifted: share of the channels that come from the frames beside, half from either; 0 shifts none.
        kept_stages: the stem and so many stages keep the weights that they were given and are never trained, which
            saves a third of the time where they come from ImageNet; 0 trains all.
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
        if self.efficient:  # depthwise convolutions: a third faster on a CPU
            self.frames.to(memory_format=torch.channels_last)
        self.out_channels = channels
        self.temporal = nn.ModuleList(TemporalBlock(self.out_channels) for _ in range(temporal_layers))
        self.size, self.shifted, self.kept_stages = size, shifted, kept_stages
        mean, std = ((0.5,) * 3,) * 2 if self.efficient else (IMAGENET_MEAN, IMAGENET_STD)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "ClipEncoder":
        """Train mode for all but the stages that are kept as they are."""
        super().train(mode)
        for part in self.kept():
            part.eval()
        return self

    def kept(self) -> list[nn.Module]:
        """The parts that are never trained."""
        if not self.kept_stages:
            return []
        return [self.frames.conv_stem, self.frames.bn1, *self.frames.blocks[: self.kept_stages]]

    def forward(self, clip: Tensor) -> Tensor:
        """Opaque clips `b f 3 h w` in [0, 1] to features `b d`."""
        pictures = self.prepared(rearrange(clip, "b f c h w -> (b f) c h w"))
        by_stage = self.shifted or self.kept_stages
        features = self.through_stages(pictures, clip.shape[1]) if by_stage else self.frames(pictures)  # (b f) d
        features = rearrange(features, "(b f) d -> b d f", f=clip.shape[1])
        for block in self.temporal:
            features = block(features)
        return features.mean(dim=2)

    def prepared(self, pictures: Tensor) -> Tensor:
        """Pictures `n 3 h w` in [0, 1] at the size and on the scale of the network."""
        if pictures.shape[-2:] != (self.size, self.size):
            pictures = F.interpolate(
                pictures, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        pictures = (pictures - self.mean) / self.std
        return pictures.contiguous(memory_format=torch.channels_last) if self.efficient else pictures

    def through_stages(self, pictures: Tensor, frames: int) -> Tensor:
        """Features `(b f) d` of pictures `(b f) 3 h w`, whose trained stages see the frames beside them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.kept_stages):
            hidden = self.frames.bn1(self.frames.conv_stem(pictures))
            for stage in self.frames.blocks[: self.kept_stages]:
                hidden = stage(hidden)
        for stage in self.frames.blocks[self.kept_stages :]:
            hidden = stage(shift(hidden, frames, self.shifted))
        if self.efficient:  # MobileNet's head has its last convolution behind the pooling
            hidden = self.frames.bn2(self.frames.conv_head(hidden))
        return self.frames.forward_head(hidden)


def shift(hidden: Tensor, frames: int, share: float) -> Tensor:
    """`(b f) c h w` with some channels from the frame before and as many from the frame after.

    The first and the last frame keep their own where there is none beside, so that a still clip stays as it is.
    """
    moved = int(hidden.shape[1] * share / 2)
    if not moved or frames == 1:
        return hidden
    clips = rearrange(hidden, "(b f) c h w -> b f c h w", f=frames)
    before = torch.cat([clips[:, :1, :moved], clips[:, :-1, :moved]], dim=1)
    after = torch.cat([clips[:, 1:, moved : 2 * moved], clips[:, -1:, moved : 2 * moved]], dim=1)
    return rearrange(torch.cat([before, after, clips[:, :, 2 * moved :]], dim=2), "b f c h w -> (b f) c h w")


class TemporalBlock(nn.Module):
    """A residual convolution over time."""

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
    """Contrastive image-text training (CLIP, arXiv 2103.00020, section 2.3) on stickers and their captions.

    With temporal layers and a motion head it is the video encoder behind `fvd_glassine`, without them the image-text
    model behind `clip_glassine`. Neither is FVD's I3D or CLIP; numbers of theirs compare with each other alone.

    Args:
        encoder: clips to `b d`.
        text_encoder: `list[str]` to `b n d'`, padded positions zero; frozen.
        text_channels: d'.
        width: of the space.
        motions: number of classes of a motion head, see `glassine.tasks.sticker_clip`; 0 is no head.
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
        """Train mode for all but the text encoder."""
        super().train(mode)
        self.text_encoder.eval()
        return self

    def features(self, clip: Tensor) -> Tensor:
        """What a Fréchet distance is taken of: `b d`."""
        return self.encoder(clip)

    def embed_clips(self, clip: Tensor) -> Tensor:
        """Unit vectors `b width` of opaque clips `b f 3 h w` in [0, 1]."""
        return self.embed_features(self.features(clip))

    def embed_features(self, features: Tensor) -> Tensor:
        """Unit vectors `b width` of clips' features `b d`."""
        return F.normalize(self.of_clip(features), dim=-1)

    def embed_pictures(self, pictures: Tensor) -> Tensor:
        """Unit vectors `b width` of pictures `b 3 h w` in [0, 1]."""
        return self.embed_clips(pictures[:, None])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors `b width`."""
        with torch.no_grad():
            states = self.text_encoder(list(texts))  # b n d'
        counted = states.abs().sum(dim=-1, keepdim=True) > 0  # b n 1
        pooled = (states * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)  # b d'
        return F.normalize(self.of_text(pooled), dim=-1)


NAME_BYTES = 64


class StickerNames(nn.Module):
    """A classifier over the groups of stickers, by the cosine between a picture's embedding and a prototype a group.

    The names of the groups are part of the weights, so that a file of them says which class is which. They are kept as
    float bytes, since averaging weights would round integers.

    Args:
        encoder: pictures, as clips of one frame, to embeddings.
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
        """Of the groups, in the order of the logits; none before `set_names`."""
        rows = self.labels.round().to(torch.uint8).cpu().numpy()
        return [bytes(row).rstrip(b"\0").decode() for row in rows if row.any()]

    def set_names(self, names: Sequence[str]) -> None:
        """Set the names of the groups.

        Raises:
            UserError: more names than classes, a name twice, an empty or a long one.
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
        """Embeddings `b d` of opaque pictures `b 3 h w` in [0, 1], of any length."""
        return self.encoder(pictures[:, None])

    def appearance(self, pictures: Tensor) -> Tensor:
        """Pooled features `b d'` of opaque pictures `b 3 h w` in [0, 1], before they are turned into an embedding.

        Training pulls embeddings of a group together, whatever its pictures look like; these features describe
        their appearance.
        """
        frames = self.encoder.frames
        return frames.forward_head(frames.forward_features(self.encoder.prepared(pictures)), pre_logits=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `b n` of opaque pictures `b 3 h w` in [0, 1], one for each of `names`."""
        return self.classify(self.features(pictures))

    def classify(self, features: Tensor) -> Tensor:
        """Logits `b n` of embeddings `b d`, in float32."""
        prototypes = F.normalize(self.prototypes[: self.count], dim=1)
        cosines = F.normalize(features.float(), dim=1) @ prototypes.T
        return self.logit_scale.clamp(max=4.6052).exp() * cosines

    @property
    def count(self) -> int:
        """How many groups have a name."""
        return int((self.labels[:, 0] > 0).sum())
