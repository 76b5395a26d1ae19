"""What the proxy looks at: numbers about a clip, its still and its caption."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glassine.bench.evaluators import VideoFeatures, own_network
from glassine.data.clips import ShardClips
from glassine.data.shards import StickerShards, resize_frames
from glassine.metrics.generated import nearest, opaque_clips
from glassine.metrics.looping import loop_gap
from glassine.metrics.temporal import alpha_flicker
from glassine.models.sticker_clip import StickerCLIP
from glassine.nn.conditioning import motion_amount
from glassine.utils.errors import UserError

BACKGROUND = "white"


def as_clip(frames: np.ndarray) -> Tensor:
    """`f h w 4` uint8 to `1 f 4 h w` in [0, 1]."""
    return torch.from_numpy(frames).movedim(-1, 1)[None].float() / 255


class Measures:
    """Measures clips; the networks are loaded when they are first needed.

    The evaluators are those of `glassine benchmark`: a `StickerCLIP` of pictures and captions, and one of clips.

    Args:
        image_text: bundle or run of a `StickerCLIP` without temporal layers.
        video: bundle or run of one with temporal layers.
        frames: of every clip.
        size: height and width of every clip.
        train: shards of training data that near copies are looked for in; none are if it is empty.

    Raises:
        UserError: weights or shards that are not there.
    """

    def __init__(
        self, image_text: str, video: str, frames: int, size: tuple[int, int], train: Sequence[Path] = ()
    ) -> None:
        self._network = own_network(image_text)
        self._video, self._frames, self._size = video, frames, size
        self._shards = [StickerShards(folder) for folder in train]
        if self._shards and not any(self._rows(shards) for shards in self._shards):
            raise UserError(f"training data must have animated stickers of the split train, got none in {train[0]}")

    @torch.no_grad()
    def __call__(self, frames: np.ndarray, still: np.ndarray, caption: str, group: str) -> dict[str, float]:
        """The measures of a clip by their names, which are those of the thresholds.

        `motion`: mean absolute change between neighboring frames of premultiplied RGBA, as motion buckets have it
        (`glassine.nn.conditioning.motion_amount`). `flicker`: `glassine.metrics.temporal.alpha_flicker`, x1000.
        `loop_gap`: `glassine.metrics.looping.loop_gap`. `caption_drop`: the cosine of the still and the caption minus
        that of the frames and the caption. `still_agreement`: the mean cosine of the frames and the still.
        `distance`: the cosine distance to the nearest training clip of another group, where training data is given.

        Args:
            frames: `f h w 4` uint8, straight RGBA.
            still: `h w 4` likewise.
            caption: English.
            group: of the still.
        """
        clip = as_clip(frames)
        found = {
            "motion": float(motion_amount(clip[:, :, :3], clip[:, :, 3:])),
            "flicker": float(alpha_flicker(clip[:, :, 3:])),
            "loop_gap": float(loop_gap(torch.cat([clip[:, :, :3] * clip[:, :, 3:], clip[:, :, 3:]], dim=2))),
            **self._agreements(clip, as_clip(still[None]), caption),
        }
        if self._shards:
            features, groups = self._bank
            allowed = torch.tensor([[other != group for other in groups]])
            found["distance"] = float(nearest(self._features(clip), features, allowed)[0])
        return found

    def _agreements(self, clip: Tensor, still: Tensor, caption: str) -> dict[str, float]:
        network: StickerCLIP = self._network
        of_clip = network.embed_pictures(opaque_clips(clip, BACKGROUND)[0])  # f d
        of_still = network.embed_pictures(opaque_clips(still, BACKGROUND)[0])  # 1 d
        of_text = network.embed_texts([caption])  # 1 d
        drop = float(of_still @ of_text.T) - float((of_clip @ of_text.T).mean())
        return {"caption_drop": drop, "still_agreement": float((of_clip @ of_still.T).mean())}

    @cached_property
    def _encoder(self) -> VideoFeatures:
        return VideoFeatures(own_network(self._video))

    def _features(self, clip: Tensor) -> Tensor:
        features: Tensor = self._encoder(opaque_clips(clip, BACKGROUND))
        return features

    @staticmethod
    def _rows(shards: StickerShards) -> list[int]:
        return [row for row in range(len(shards)) if shards.split(row) == "train" and len(shards.durations(row)) > 1]

    @cached_property
    def _bank(self) -> tuple[Tensor, list[str]]:
        """Features and groups of all animated training stickers, at the clips' number of frames over a whole play."""
        features, groups = list[Tensor](), list[str]()
        for shards in self._shards:
            clips = ShardClips(shards, self._rows(shards), span="whole")
            for number in range(len(clips)):
                try:
                    frames, _, info = clips.clip(number, 0, self._frames, None)
                except ValueError:
                    continue  # damaged, which opening the shards has told
                with torch.no_grad():
                    features.append(self._features(as_clip(resize_frames(frames, *self._size, keep_shape=True))))
                groups.append(info.group)
        return torch.cat(features), groups
