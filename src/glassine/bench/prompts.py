"""Score text-to-sticker networks on emoji names drawn from all groups: `glassine benchmark prompts`."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from glassine.bench.loading import load_network
from glassine.bench.names import EmojiName, draw_names, make_bank, score_names, true_pictures
from glassine.bench.progress import Progress, progress_bar
from glassine.bench.records import Cell, Record, plain
from glassine.data.shards import StickerShards
from glassine.data.sticker import Sticker
from glassine.data.thumbnails import Thumbnails
from glassine.models.sticker_clip import StickerNames
from glassine.utils.devices import processor
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

Make = Callable[[str, Sequence[int]], Sequence[Sticker]]
"""`(prompt, seeds)` -> one sticker for each seed."""

TINY_NAMES = "glassine:tiny-names"
MEASURED = (
    "stickers made for emoji names drawn at random over all groups, their middle frame; named by an evaluator that has "
    "seen true stickers alone; LOW and HIGH are a 95% bootstrap interval over names"
)


def score_prompts(
    make: Make,
    network: StickerNames,
    shards: StickerShards,
    thumbnails: Thumbnails,
    folder: Path,
    method: str,
    weights: str,
    count: int = 200,
    seeds: Sequence[int] = (0, 1),
    draw: int = 0,
    prompt: str = "{}",
    backgrounds: Sequence[str] = ("white", "gray"),
    progress: Progress = lambda *_: None,
) -> Record:
    """Generate stickers for emoji names, score them, and write the record.

    Args:
        make: generates the stickers.
        network: the evaluator.
        shards: all true stickers.
        thumbnails: cache of the same stickers, among which the nearest one is searched.
        folder: of the records.
        method: short name of the scored method.
        weights: source of its weights.
        count: number of names.
        seeds: one sticker per seed for each name; distances between seeds need at least two.
        draw: seed of the drawn names.
        prompt: `{}` is replaced by the name.
        backgrounds: on which stickers are composited.
        progress: called with the current work, the number of steps done, and the total.

    Raises:
        UserError: the evaluator knows fewer groups with stickers than `count`, there are no seeds, or the prompt has no
            `{}`.
    """
    if "{}" not in prompt or not seeds:
        raise UserError(
            f"prompt must contain {{}} for the name, and seeds at least one number, got {prompt!r} and {list(seeds)}"
        )
    names = draw_names(shards, count, draw, set(network.names))
    network = network.eval()
    made = []
    for number, name in enumerate(names):
        progress("making", number, count)
        made.append(middle_frames(make(prompt.format(name.name), seeds)))
    size = (made[0].shape[-2], made[0].shape[-1])
    true = [true_pictures(shards, name, size) for name in names]
    record = Record(
        method, method, "all", size[0], 1, [name.group for name in names], data="names", weights=weights,
        seed=draw, measured=MEASURED, costs_on=processor(torch.device("cpu")),
        settings={
            "names": count, "seeds": " ".join(map(str, seeds)), "prompt": prompt, "candidates": network.count,
            "evaluator": weights_digest(network), "true_stickers": sum(map(len, true)),
        },
    )  # fmt: skip
    dataset = thumbnails.evaluation("val").setup()
    drawings = [thumbnails.drawing(variants[0].source) for variants in dataset.rows]
    for number, background in enumerate(backgrounds):
        progress("scoring", number, len(backgrounds))
        bank = make_bank(network, dataset, drawings, background)
        of_true = [name.drawings for name in names]
        scores = score_names(network, record.stickers, made, true, of_true, bank, background)
        cells: dict[str, float | None] = {}
        for score, interval in scores.items():
            ends = zip(("", "_low", "_high"), interval, strict=True)
            cells |= {score + end: plain(value) for end, value in ends}
        record.conditions[background] = Cell(names_fingerprint(names, record), len(names) * len(seeds), cells)
    record.save(folder)
    return record


def middle_frames(stickers: Sequence[Sticker]) -> Tensor:
    """The middle frame of each of `k` stickers, `k 4 h w` straight RGBA in [0, 1]."""
    frames = [torch.from_numpy(sticker.frames[sticker.num_frames // 2].copy()) for sticker in stickers]
    return torch.stack(frames).permute(0, 3, 1, 2).float() / 255


def names_fingerprint(names: Sequence[EmojiName], record: Record) -> str:
    """Fingerprint of the names and their drawings, the settings of the record, and the weights."""
    what = [(name.group, name.name, name.drawings) for name in names], sorted(record.settings.items()), record.weights
    return hashlib.blake2b(repr(what).encode(), digest_size=6).hexdigest()


def lines(record: Record) -> list[str]:
    """Lines for the terminal: number of names, groups and seeds, then each score with its interval."""
    settings = record.settings
    known, true = settings["candidates"], settings["true_stickers"]
    text = [
        f"{record.method} ({record.weights}): {len(record.stickers)} names, as many groups, of {known} that the "
        f"evaluator knows; seeds {settings['seeds']}; {true} true stickers; {record.size} px"
    ]
    for background, cell in record.conditions.items():
        for score in [name for name in cell.scores if f"{name}_low" in cell.scores]:
            value, low, high = (cell.scores[score + end] for end in ("", "_low", "_high"))
            shown = "not measured" if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
            text.append(f"  on {background}, {score}: {shown}")
    return text


def prompt_maker(source: str, size: int, transparency: str, num_frames: int | None) -> Make:
    """A pipeline as the argument `make` of `score_prompts`.

    Args:
        source: bundle of a `TextToVideo`; of a `TransparentVideo` if `transparency` is `latents`.
        size: height and width in pixels.
        transparency: `opaque`, `ildiff` or `latents`, as for `glassine generate`.
        num_frames: of each sticker; None for the network's default.
    """
    if transparency == "latents":
        from glassine.pipelines.animate import AnimatePipeline

        animate = AnimatePipeline.from_pretrained(source)
        return lambda prompt, seeds: animate(prompt, None, num_frames, size, size, seed=seeds)
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.text_to_sticker import TextToStickerPipeline

    cut_out = CutoutPipeline.from_pretrained() if transparency == "ildiff" else None
    pipeline = TextToStickerPipeline.from_pretrained(source, cut_out)
    return lambda prompt, seeds: pipeline(prompt, num_frames, size, size, seed=seeds)


def names_network(source: str) -> StickerNames:
    """The evaluator of a bundle or run, in eval mode.

    Raises:
        UserError: `source` does not exist or does not hold a `StickerNames`.
    """
    network = load_network(source, "network").network
    if not isinstance(network, StickerNames):
        raise UserError(f"evaluator must be a StickerNames, such as {TINY_NAMES}, got a {type(network).__name__}")
    return network.eval()


def score_bundle(
    weights: str,
    evaluator: str = TINY_NAMES,
    data: str = "data/world",
    thumbnails: str = "data/thumbnails",
    folder: Path = Path("benchmarks/results/names"),
    transparency: str = "opaque",
    size: int = 128,
    num_frames: int | None = None,
    count: int = 200,
    seeds: int = 2,
    draw: int = 0,
    prompt: str = "{}",
) -> Record:
    """Load the networks and data, and call `score_prompts`.

    Args:
        weights: bundle of the scored network.
        evaluator: bundle or run of a `StickerNames`.
        data: shards of all true stickers.
        thumbnails: folder of their thumbnail cache.
        folder: of the records.
        transparency: `opaque`, `ildiff` or `latents`.
        size: height and width of the generated stickers, pixels.
        num_frames: of each sticker; None for the network's default.
        count: number of names.
        seeds: number of stickers for each name.
        draw: seed of the drawn names.
        prompt: `{}` is replaced by the name.

    Raises:
        UserError: data or weights are missing, or see `score_prompts`.
    """
    network, shards = names_network(evaluator), StickerShards(data)  # first, so that errors show before slow work
    make = prompt_maker(weights, size, transparency, num_frames)
    with progress_bar() as progress:
        return score_prompts(
            make, network, shards, Thumbnails(data, thumbnails), folder, transparency, weights, count, range(seeds),
            draw, prompt, progress=progress,
        )  # fmt: skip
