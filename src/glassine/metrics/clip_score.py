"""Agreement of generated clips with their captions, by a network that embeds images and texts in one space."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.metrics.image import background_color
from glassine.utils.errors import UserError

Reading = Literal["softmax", "cosine", "relative"]
ID_COLUMNS = 2  # 24 bits of a caption's digest each, integers that float32 represents exactly
CLIPS_AT_ONCE = 64
TIE = 1e-6  # similarities of equal clips differ by less than this, due to rounding


def caption_id(caption: str) -> list[int]:
    """Two numbers below 2^24 that identify a caption, the same in all processes."""
    digest = hashlib.sha256(caption.encode()).digest()
    return [int.from_bytes(digest[:3]), int.from_bytes(digest[3:6])]


def own_probability(frames: Tensor, candidates: Tensor, own: Tensor, logit_scale: float) -> Tensor:
    """Probability of each clip's own caption: softmax over all candidate captions, averaged over frames.

    Args:
        frames: normalized embeddings, `n f d`.
        candidates: normalized embeddings of the captions, `k d`.
        own: index of each clip's caption, `n`.
        logit_scale: factor of the cosines.

    Returns:
        `n`, 0 to 1.
    """
    parts = [
        (logit_scale * part @ candidates.T).softmax(-1).mean(1).gather(1, index[:, None])[:, 0]  # n f k -> n k -> n
        for part, index in zip(frames.split(CLIPS_AT_ONCE), own.split(CLIPS_AT_ONCE), strict=True)
    ]
    return torch.cat(parts)


def recall(similarity: Tensor, matches: Tensor, top: int) -> float:
    """Fraction of rows with a match among their `top` most similar columns.

    In ties, columns that do not match rank before the best match, so that a model that generates the same clip for
    every caption scores 0.

    Args:
        similarity: `q k`.
        matches: bool `q k`, true for correct columns, at least one per row.
        top: number of columns considered.
    """
    best = similarity.masked_fill(~matches, -torch.inf).amax(1, keepdim=True)  # q 1
    before = ((similarity > best - TIE) & ~matches).sum(1)  # q
    return (before < top).double().mean().item()


class ClipScores(GeneratedClipMetric):
    """CLIP score, CLIP similarity and retrieval between clips and their captions, in one pass over the networks.

    `clip_NAME_score_BACKGROUND`
        Mean over clips and frames of 100 cos(frame, caption), at least 0: torchmetrics' `CLIPScore` with all frames as
        samples, which clamps the mean and not each pair. Hessel et al. 2021 multiply by 2.5 instead.
    `clip_NAME_similarity_READING_BACKGROUND`
        VSD2M's CLIP similarity (arXiv 2412.08259, Metrics), whose "candidates [...] are all texts in the test set". It
        follows GODIVA (arXiv 2104.14806, section 4.2.1): the mean over frames of CLIP(text, frame). GODIVA has no
        candidates and VSD2M does not say how it uses them, so the reading is an argument:
        `softmax` (default): CLIP's zero-shot classification, i.e. the probability of the clip's own caption among all
        distinct captions of the updates, which should be the whole test set. Only this reading uses candidates.
        `cosine`: GODIVA's SIM (equation 14), the plain cosine.
        `relative`: GODIVA's relative matching (equation 15): SIM divided by the SIM of the real clip with the same
        caption, averaged over pairs; `update` needs the real clips.
    `clip_NAME_t2v_r1_BACKGROUND`, `..._t2v_r5_...`, `..._v2t_r1_...`, `..._v2t_r5_...`
        Recall at 1 and at 5 of clips by text and of texts by clip among all updates, ranked by SIM. Equal captions are
        one text, and every clip generated for it is a correct answer; see `recall` for ties.

    Captions are embedded unchanged; the caller decides whether to keep a prefix such as `Cartoon\\t`.

    Args:
        images: opaque images `n 3 h w` in [0, 1] to embeddings `n d`, including any resizing and normalization.
        texts: list of `n` captions to embeddings `n d`.
        name: name of the network in the results, such as `vit_l_14` or `glassine`.
        background: color on which transparent clips are composited; RGB clips are assumed to be on it already.
        reading: reading of CLIP similarity, see above.
        logit_scale: factor of the cosines before the softmax; 100 for OpenAI's CLIP.

    Raises:
        UserError: an unknown color, reading or name.
    """

    higher_is_better = True
    rows: list[Tensor]
    shape: Tensor

    def __init__(
        self,
        images: Callable[[Tensor], Tensor],
        texts: Callable[[list[str]], Tensor],
        name: str,
        background: str = "white",
        reading: Reading = "softmax",
        logit_scale: float = 100.0,
    ) -> None:
        super().__init__()
        if reading not in get_args(Reading):
            raise UserError(f"reading must be one of {', '.join(get_args(Reading))}, got {reading!r}")
        background_color(background)
        self.images, self.texts = self.hold(images), self.hold(texts)
        self.background, self.reading, self.logit_scale = background, reading, logit_scale
        wanted = ("score", f"similarity_{reading}", "t2v_r1", "t2v_r5", "v2t_r1", "v2t_r5")
        self.names = [score_name("clip", name, what, background) for what in wanted]
        self.name_n = score_name("clip", name, background, "n")
        # rows are flat, so that the empty list of a process without clips can be gathered with those of the others
        self.add_state("rows", default=[], dist_reduce_fx="cat")
        self.add_state("shape", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="max")

    def embed(self, clips: Tensor) -> Tensor:
        """Normalized embeddings of all frames, `b f d`."""
        opaque = opaque_clips(clips, self.background)
        with exactly(clips.device):
            flat = self.images(rearrange(opaque, "b f c h w -> (b f) c h w"))  # (b f) d
        return functional.normalize(rearrange(flat.float(), "(b f) d -> b f d", b=len(clips)), dim=-1)

    def update(self, clips: Tensor, captions: Sequence[str], real: Tensor | None = None) -> None:
        """Add generated clips and their captions.

        Args:
            clips: `b f c h w` in [0, 1], straight RGBA or RGB; the same number of frames in all updates.
            captions: one per clip.
            real: real clips with these captions; only used, and required, by the `relative` reading.

        Raises:
            ValueError: clips of another shape or type, or different numbers of captions and clips.
            UserError: values that are NaN or outside [0, 1], another number of frames than in earlier updates, or
                missing real clips.
        """
        if len(captions) != len(clips):
            raise ValueError(f"captions must be as many as clips, {len(clips)}, got {len(captions)}")
        if self.reading == "relative" and real is None:
            raise UserError("real must be given for the relative reading, got None: pass the real clips or use cosine")
        frames = self.embed(clips)  # b f d
        with exactly(clips.device):
            texts = functional.normalize(self.texts(list(captions)).to(frames).detach(), dim=-1)  # b d
        if frames.shape[2] != texts.shape[1]:
            raise ValueError(
                f"images and texts must embed to one width, got {frames.shape[2]} and {texts.shape[1]} features"
            )
        shape = torch.tensor(frames.shape[1:], device=self.shape.device)
        if self.shape.any() and not torch.equal(shape, self.shape):
            raise UserError(f"clips must have as many frames as those before, {self.shape[0]}, got {shape[0]}")
        reference = torch.full((len(clips),), torch.nan, device=frames.device)
        if self.reading == "relative" and real is not None:
            reference = torch.einsum("b f d, b d -> b f", self.embed(real), texts).mean(1)  # b
        ids = torch.tensor([caption_id(caption) for caption in captions], device=frames.device)  # b 2
        columns = [ids.to(frames), reference[:, None], texts, frames.flatten(1)]
        self.shape = shape
        self.rows.append(torch.cat(columns, dim=1).flatten())  # (b columns)

    def compute(self) -> dict[str, float]:
        """All scores by name, NaN if there are no clips, and the number of clips as `..._n`."""
        if not self.shape.any():
            return dict.fromkeys(self.names, float("nan")) | {self.name_n: 0}
        similarity, own, read = self.similarities()
        cosine = similarity.gather(1, own[:, None])[:, 0]  # n
        scores = [max(100 * cosine.mean().item(), 0.0), read.mean().item()]
        matches = functional.one_hot(own, similarity.shape[1]).bool()  # n k
        scores += [recall(similarity.T, matches.T, top) for top in (1, 5)]
        scores += [recall(similarity, matches, top) for top in (1, 5)]
        return dict(zip(self.names, scores, strict=True)) | {self.name_n: len(own)}

    def per_clip(self) -> dict[str, Tensor]:
        """CLIP score and similarity of each clip, `n`, by the names of their means; empty if there are no clips.

        The score of a clip can be negative; only the mean is clamped.
        """
        if not self.shape.any():
            return {}
        similarity, own, read = self.similarities()
        return {self.names[0]: 100 * similarity.gather(1, own[:, None])[:, 0], self.names[1]: read}

    def similarities(self) -> tuple[Tensor, Tensor, Tensor]:
        """SIM of all clips and captions `n k`, the index of each clip's caption `n`, and its CLIP similarity `n`."""
        length, width = self.shape.tolist()
        table = dim_zero_cat(self.rows).view(-1, ID_COLUMNS + 1 + width * (1 + length))
        ids, reference, texts, frames = table.split([ID_COLUMNS, 1, width, width * length], dim=1)
        frames, texts = frames.double().unflatten(1, (length, width)), texts.double()  # n f d, n d
        _, own = torch.unique(ids, dim=0, return_inverse=True)  # n, the index of each clip's caption
        candidates = texts.new_zeros(int(own.max()) + 1, width).index_copy(0, own, texts)  # k d
        similarity = frames.mean(1) @ candidates.T  # n k
        cosine = similarity.gather(1, own[:, None])[:, 0]  # n
        if self.reading == "softmax":
            read = own_probability(frames, candidates, own, self.logit_scale)
        else:
            read = cosine / reference[:, 0].double() if self.reading == "relative" else cosine
        return similarity, own, read
