"""Which emoji is in a picture: the evaluator that counts how many generated stickers can be recognized."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.errors import UserError
from glassine.models.sticker_clip import ClipEncoder

NAME_BYTES = 64


class StickerNames(nn.Module):
    """A classifier over the groups of stickers, by the cosine between a picture's embedding and a prototype a group.

    The names of the groups are part of the weights, so that a file of them says which class is which. They are kept as
    float bytes, since averaging weights would round integers.

    Args:
        encoder: pictures, as clips of one frame, to embeddings.
        classes: prototypes there are; as many groups can be told apart at most.
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
        """Say which groups there are.

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

        Embeddings of one group are drawn together, whatever it looks like; these tell how pictures look.
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
