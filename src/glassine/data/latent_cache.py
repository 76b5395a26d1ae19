"""Latents and text embeddings of stickers on disk, so that training steps run neither VAE nor text encoder.

A cache is a folder of `latents-NNNNNN.safetensors`. Each holds, for n stickers in v views, `latents` `n v f c h w`
float16 (the posterior's mean, unscaled; or the adjusted latents of a transparency VAE), `prompt_embeds` `m t d` float16
(English and Chinese captions, with and without the style; t is the longest length needed), `fps` `n v` and, if
measured, `motion` `n v f-1`; the first file also holds the embedding of the empty prompt. The header records what made
them, how, and the stickers' metadata. :class:`CachedLatents` reads one or several such folders.
"""

import json
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from glassine.data.cache_files import CacheFiles, CacheKind, Content, Identity, Progress, write_cache
from glassine.data.dataset import LazyDataset
from glassine.data.sampler import SampleId, sample_generator
from glassine.utils.errors import UserError

WHOLE = {"frames": "of the whole sticker"}  # in the settings of caches whose clips are not random parts
LATENTS = CacheKind("latents", what="latents", makers="VAE or text encoder", verb="cache-latents")
OTHER_CAPTIONS = 0.3  # share of samples with another caption than their first, such as one without style
ABOUT = ("key", "group", "domain", "caption", "caption_zh", "trigger_words")


def write_latents(
    dataset: Dataset[dict[str, Any]],
    stickers: int,
    views: int,
    encode: Callable[[Tensor], Tensor],
    embed: Callable[[list[str]], Tensor],
    identity: Identity,
    settings: Identity,
    folder: Path,
    flip: bool = False,
    stickers_a_file: int = 64,
    progress: Progress = lambda *_: None,
) -> int:
    """Write the missing files of a cache; returns the number of new files.

    Args:
        dataset: sample (view, row) has `clip` `f c h w` in [0, 1], `fps`, optionally `motion` `f-1` (see
            `StickerViews`), `caption`, `caption_zh` (empty if there is none), optionally `captions` and `captions_zh`
            (several phrasings, the first of which is the caption), `trigger_words`, `key`, `group` and `domain`; all
            but the first three the same in every view.
        stickers: number of rows to use.
        views: number of random views of each sticker's frames.
        encode: maps a clip to latents `f c h/8 w/8`.
        embed: maps texts to `b n d`.
        identity: identity of both.
        settings: how the clips were made; `num_frames` and `size` (`128 x 128`) are used by `CachedLatents`.
        folder: folder of the cache.
        flip: also add each view mirrored, since latents cannot be mirrored: odd views are the mirrored ones.
        stickers_a_file: stickers per file, except the last.
        progress: called with the number of stickers done and the total.

    Raises:
        UserError: the folder contains a cache of other networks or stickers.
    """
    empty = embed([""]).half().cpu()  # 1 n d

    def make(part: Sequence[SampleId], tell: Callable[[int], None]) -> Content:
        latents, rates, moves, about, firsts = [], [], [], [], []
        for done, (_, row) in enumerate(part):
            samples = [dataset[view, row] for view in range(views)]
            if len({sample["key"] for sample in samples}) > 1:  # one is damaged and replaced by the next from now on
                samples = [dataset[view, row] for view in range(views)]
            clips = [clip for sample in samples for clip in mirrored(sample["clip"], flip)]
            latents.append(torch.stack([encode(clip).half().cpu() for clip in clips]))  # v f c h w
            rates.append([float(sample["fps"]) for sample in samples for _ in range(1 + flip)])
            measured = [sample["motion"].float() for sample in samples if "motion" in sample]  # f-1 each
            moves.append([steps for steps in measured for _ in range(1 + flip)])
            about.append({name: samples[0][name] for name in (*ABOUT, "subject") if name in samples[0]})
            firsts.append({name: value for name, value in samples[0].items() if name.startswith("caption")})
            tell(done + 1)
        texts: list[str] = []
        for one, sample in zip(about, firsts, strict=True):
            for language, name in (("english", "caption"), ("chinese", "caption_zh")):
                found = sample.get(f"{name}s") or [sample[name]] if sample[name] else []
                one[language] = list(range(len(texts), len(texts) + len(found)))
                texts += found
        embeds = torch.cat([embed(texts[at : at + 32]).half().cpu() for at in range(0, len(texts), 32)])  # m n d
        tensors = {"latents": torch.stack(latents), "fps": torch.tensor(rates), "prompt_embeds": without_end(embeds)}
        if part[0][1] == 0:
            tensors["empty_prompt_embeds"] = empty[0]
        said = {"about": json.dumps(about, ensure_ascii=False)}
        if all(moves):
            tensors["motion"] = torch.stack([torch.stack(steps) for steps in moves])  # n v f-1
            said["motion"] = "of each step"
        return tensors, said

    made_of = {**settings, "views": str(views), "flip": str(flip), "tokens": str(empty.shape[1])}
    rows = [(0, row) for row in range(stickers)]
    return write_cache(LATENTS, folder, identity, made_of, rows, make, stickers_a_file, progress)


def mirrored(clip: Tensor, flip: bool) -> list[Tensor]:
    """The clip `f c h w` and, if requested, its mirror image."""
    return [clip, clip.flip(-1)] if flip else [clip]


def without_end(embeds: Tensor) -> Tensor:
    """`m n d` without trailing tokens that are zero in every text, i.e. padding."""
    used = embeds.abs().amax((0, 2)).nonzero()
    return embeds[:, : int(used.max()) + 1 if len(used) else 1].contiguous()


class LatentFolder:
    """The samples of one cache; see :class:`CachedLatents`, which takes the same arguments.

    Raises:
        UserError: no cache, an incomplete or damaged one, or one of other clips.
    """

    def __init__(
        self,
        folder: Path,
        num_frames: int | None,
        size: tuple[int, int] | None,
        chinese: float,
        seed: int,
        by_group: bool,
    ) -> None:
        self.folder = folder
        self.files = CacheFiles(LATENTS, folder)
        self.identity, self.settings = self.files.identity, self.files.settings
        if size is not None and self.settings["size"] != f"{size[0]} x {size[1]}":
            raise UserError(f"clips in {folder} must be of size {size[0]} x {size[1]}, got {self.settings['size']}")
        found = int(self.settings["num_frames"])
        if num_frames is not None and found < num_frames:
            raise UserError(f"num_frames must be at most {found} for {folder}, got {num_frames}")
        if self.settings.items() >= WHOLE.items() and num_frames not in (None, 1, found):
            raise UserError(
                f"num_frames must be {found}, or 1 for pictures, for whole stickers in {folder}, got {num_frames}"
            )
        self.num_frames = num_frames or found
        self.chinese, self.seed = chinese, seed
        self.about = [json.loads(header["about"]) for header in self.files.headers]
        self.has_motion = all("motion" in header for header in self.files.headers)
        groups: dict[Any, list[int]] = {}
        for row, about in enumerate(chain.from_iterable(self.about)):
            name = about.get("subject") or about["group"]  # in the second edition, groups contain all look-alikes
            groups.setdefault(name if by_group else row, []).append(row)
        self._members = list(groups.values())
        self.empty_prompt_embeds: Tensor = self.files.file(0).get_tensor("empty_prompt_embeds").float()

    def __len__(self) -> int:
        return len(self._members)

    def sample(self, epoch: int, row: int) -> dict[str, Any]:
        """One sample."""
        round_number, turn = divmod(epoch, len(self._members[row]))
        number, place = self.files.find(self._members[row][turn])
        file, about = self.files.file(number), self.about[number][place]
        generator = sample_generator(self.seed, epoch, row)
        english, chinese = texts_of(about, place)
        in_chinese = bool(chinese) and float(torch.rand((), generator=generator)) < self.chinese
        texts = chinese if in_chinese else english
        latents = file.get_slice("latents")
        _, views, frames = latents.get_shape()[:3]
        view = round_number % views
        start = int(torch.randint(frames - self.num_frames + 1, (), generator=generator))
        text = texts[0]
        if len(texts) > 1 and float(torch.rand((), generator=generator)) < OTHER_CAPTIONS:
            text = texts[1 + int(torch.randint(len(texts) - 1, (), generator=generator))]
        embeds = file.get_slice("prompt_embeds")[text].float()  # t d
        sample = {
            "latents": latents[place, view, start : start + self.num_frames].float(),
            "prompt_embeds": F.pad(embeds, (0, 0, 0, int(self.settings["tokens"]) - len(embeds))),  # n d
            "caption": about["caption_zh" if in_chinese else "caption"],
            "trigger_words": about["trigger_words"],
            "domain": about["domain"],
            "fps": float(file.get_slice("fps")[place, view]),
            "key": about["key"],
            "group": about["group"],
        }
        if self.has_motion:
            sample["motion"] = self._motion(file, place, view, start)
        return sample

    def _motion(self, file: Any, place: int, view: int, start: int) -> float:
        if self.num_frames < 2:
            return 0.0
        steps = file.get_slice("motion")[place, view, start : start + self.num_frames - 1]
        return float(steps.mean())


def texts_of(about: dict[str, Any], place: int) -> tuple[list[int], list[int]]:
    """Rows of `prompt_embeds` with the English and Chinese captions of the sticker at index `place` in its file.

    Caches of the first edition have one English caption per sticker, in the stickers' order, and at most one Chinese
    caption.
    """
    if "english" in about:
        return about["english"], about["chinese"]
    return [place], [] if about["chinese"] is None else [about["chinese"]]


class CachedLatents(LazyDataset):
    """The samples of concatenated caches, one per sticker: epoch e uses view e, modulo the number of views.

    Or one per group, cycling over its stickers: an emoji with 24 skin tones is then seen as often as one with one
    image.

    A sample has `latents` `f c h w`, `prompt_embeds` `n d`, `caption`, `trigger_words`, `domain`, `fps`, `key`, `group`
    and, if all caches have it, `motion`: the mean amount over the steps between its frames, 0 for a single frame.

    Args:
        folders: one or several caches made with the same VAE and text encoder.
        num_frames: frames per sample; from longer clips, consecutive frames from a random position. None for all. Whole
            stickers are only cut into single frames.
        size: height and width that the clips must have; None for any.
        chinese: share of samples with their Chinese caption, if they have one.
        by_group: one sample per group and epoch, cycling over its variants (skin tones, genders).
        seed: seed of these choices; None uses the data module's.

    Attributes:
        identity: identity of VAE, text encoder and, if any, transparency encoder; available once opened.
        settings: how the clips were made; available once opened.
        has_motion: whether samples have `motion`; older caches have none.
        empty_prompt_embeds: `n d`, for training without a prompt.

    Raises:
        UserError: a share out of range; when opened, no cache, an incomplete or damaged one, one of other clips, or
            caches of different networks.
    """

    def __init__(
        self,
        folders: str | Path | list[str],
        num_frames: int | None = None,
        size: tuple[int, int] | None = None,
        chinese: float = 0.25,
        by_group: bool = False,
        seed: int | None = None,
    ) -> None:
        if not 0 <= chinese <= 1:
            raise UserError(f"chinese must be in [0, 1], got {chinese}")
        self.folders = [Path(one) for one in ([folders] if isinstance(folders, str | Path) else folders)]
        if not self.folders:
            raise UserError("folders must name at least one cache of `glassine data cache-latents`, got none")
        self.num_frames, self.size, self.chinese, self.by_group, self.seed = num_frames, size, chinese, by_group, seed

    def _open(self) -> None:
        how = (self.num_frames, self.size, self.chinese, self.seed or 0, self.by_group)
        self.caches = [LatentFolder(folder, *how) for folder in self.folders]
        first = self.caches[0]
        self.identity, self.settings = first.identity, first.settings
        for cache in self.caches:
            if (cache.identity, cache.settings["tokens"]) != (self.identity, self.settings["tokens"]):
                raise UserError(
                    f"caches must be made by the same VAE and text encoder, got different ones in {first.folder} and "
                    f"{cache.folder}"
                )
        self.empty_prompt_embeds = first.empty_prompt_embeds
        self.has_motion = all(cache.has_motion for cache in self.caches)
        self._ends = list(accumulate(len(cache) for cache in self.caches))

    def __len__(self) -> int:
        self.setup()
        return self._ends[-1]

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        self.setup()
        epoch, row = (0, item) if isinstance(item, int) else item
        for cache, end in zip(self.caches, self._ends, strict=True):
            if row < end:
                sample = cache.sample(epoch, row - end + len(cache))
                return sample if self.has_motion else {name: sample[name] for name in sample if name != "motion"}
        raise IndexError(row)
