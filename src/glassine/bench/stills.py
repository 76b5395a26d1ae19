"""Score what animates stills on drawings that no network has seen: `glassine benchmark stills`.

A still has no true motion, so these scores say what must hold of any: the middle frame is the still, other frames show
the same drawing wherever it went, and it moves as much as true stickers do.
"""

import hashlib
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from glassine.bench.intervals import mean_interval
from glassine.bench.progress import Progress, progress_bar
from glassine.bench.records import Cell, Record, plain, read_records
from glassine.bench.tables import Table, markdown, write_blocks, write_text
from glassine.data.shards import StickerShards, resize_frames
from glassine.data.sticker import Sticker
from glassine.metrics.dynamic_degree import flow_between
from glassine.nn.motion_fields import brightness, optical_flow, premultiplied, warp
from glassine.utils.devices import processor
from glassine.utils.errors import UserError

RESULTS = Path("results") / "stills"
CAP = 50.0  # dB; frames that are equal have no PSNR
SIZE, NUM_FRAMES = 128, 16
DRAW = 1  # seed of the drawn stills; those of 0 were looked at while the networks' settings were chosen
TRUE = "true"
SCORES = {
    "alpha_psnr": "middle frame, alpha PSNR ↑",
    "color_psnr": "middle frame, color PSNR ↑",
    "likeness": "other frames, after moving the still along: PSNR ↑",
    "sharpness": "sharpness of other frames over the still's",
    "flow": "mean flow, % of the sticker's longer side a frame",
}
MEASURED = (
    "stills of icon sets that no network has seen, though emoji of the same names were trained on; middle frame "
    "against the still; every other frame against the still moved along DIS flow; mean Farneback flow on gray, in "
    "shares of the sticker's longer side, between neighboring frames where the still shows something; LOW and HIGH are "
    "a 95% bootstrap interval over stills"
)
Animate = Callable[[str, np.ndarray, int], Sticker]
"""`(prompt, still h w 4, seed)` -> an animated sticker of the still's size."""


@dataclass(frozen=True)
class Still:
    """A drawing to animate: its key, group, prompt, and `h w 4` uint8; and true frames `f h w 4`, if it has any."""

    key: str
    group: str
    prompt: str
    image: np.ndarray
    frames: np.ndarray | None = None


def find_stills(folders: Sequence[Path], count: int, draw: int = DRAW) -> list[Still]:
    """Drawings of shards, as many of each folder, one a group, fitted into `SIZE` with a margin of an eighth.
    Raises:
        UserError: there are fewer than `count`.
    """
    found: list[Still] = []
    for number, folder in enumerate(folders):
        shards, groups = StickerShards(folder), set[str]()
        wanted = (count * (number + 1)) // len(folders) - len(found)
        for row in np.random.default_rng(draw).permutation(shards.select("test")):
            info = shards.metadata(int(row))
            if len(groups) == wanted:
                break
            if info.group in groups:
                continue
            image = np.zeros((SIZE, SIZE, 4), np.uint8)
            inner = SIZE * 3 // 4
            image[SIZE // 8 : -SIZE // 8, SIZE // 8 : -SIZE // 8] = resize_frames(
                shards.read(int(row), [0]), inner, inner, keep_shape=True
            )[0]
            if image[..., 3].max() == 255 and (image[..., 3] == 0).any():
                groups.add(info.group)
                found.append(Still(f"{folder.name}/{info.key}", info.group, info.description, image))
    if len(found) < count:
        raise UserError(
            f"the stills must be at least {count} groups of {' '.join(map(str, folders))}, got {len(found)}"
        )
    return found


def find_clips(folders: Sequence[Path], count: int, draw: int = 0) -> list[Still]:
    """True animated stickers, as many of each folder, one a group, with their middle frame as the still."""
    found: list[Still] = []
    for number, folder in enumerate(folders):
        shards, groups = StickerShards(folder), set[str]()
        wanted = (count * (number + 1)) // len(folders) - len(found)
        for row in np.random.default_rng(draw).permutation(shards.select(stills=False)):
            info = shards.metadata(int(row))
            if len(groups) == wanted:
                break
            if info.group in groups or info.num_frames < NUM_FRAMES:
                continue
            chosen = [at * info.num_frames // NUM_FRAMES for at in range(NUM_FRAMES)]
            frames = resize_frames(shards.read(int(row), chosen), SIZE, SIZE, keep_shape=True)
            if not (frames[NUM_FRAMES // 2, ..., 3] > 128).any():
                continue
            groups.add(info.group)
            image = frames[NUM_FRAMES // 2]
            found.append(Still(f"{folder.name}/{info.key}", info.group, info.description, image, frames))
    if folders and len(found) < count:
        raise UserError(f"--true must hold {count} groups of animated stickers, got {len(found)}")
    return found


def score_still(still: np.ndarray, frames: np.ndarray) -> dict[str, float]:
    """The scores of one animated still.

    Args:
        still: `h w 4` uint8, straight.
        frames: `f h w 4`, of which the middle one should be the still.
    """
    truth, made = premultiplied(still), [premultiplied(frame) for frame in frames]
    middle = len(frames) // 2
    weight = truth[..., 3:] * made[middle][..., 3:]
    color = frames[middle, ..., :3].astype(float) / 255 - still[..., :3].astype(float) / 255
    others = [frame for number, frame in enumerate(made) if number != middle]
    likeness = []
    for frame in others:
        moved = warp(truth, optical_flow(brightness(frame), brightness(truth)))
        likeness.append(_psnr(float(np.square(frame - moved).mean())))
    grays = [_gray(frame) for frame in made]
    shown = still[..., 3] > 128
    pairs = list(itertools.pairwise(grays))
    flow = [float(np.linalg.norm(flow_between(one, other), axis=-1)[shown].mean()) for one, other in pairs]
    edges = _edges(truth)
    return {
        "alpha_psnr": _psnr(float(np.square(truth[..., 3] - made[middle][..., 3]).mean())),
        "color_psnr": _psnr(float((weight * np.square(color)).sum() / max(1.0, 3 * float(weight.sum())))),
        "likeness": statistics.fmean(likeness),
        "sharpness": statistics.fmean(_edges(frame) for frame in others) / max(edges, 1e-6),
        "flow": 100 * statistics.fmean(flow) / max(len(np.flatnonzero(shown.any(axis))) for axis in (0, 1)),
    }


def _psnr(error: float) -> float:
    return float(min(CAP, -10 * np.log10(max(error, 1e-12))))


def _gray(frame: np.ndarray) -> np.ndarray:
    """Premultiplied `h w 4` on middle gray, brightness `h w` uint8."""
    light = frame[..., :3] @ np.asarray([0.299, 0.587, 0.114], np.float32) + 0.5 * (1 - frame[..., 3])
    return (light.clip(0, 1) * 255).round().astype(np.uint8)


def _edges(frame: np.ndarray) -> float:
    """Mean gradient magnitude of premultiplied `h w 4`."""
    across, down = (cv2.Sobel(frame, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return float(np.hypot(across, down).mean())


def score_stills(
    method: str,
    title: str,
    weights: str,
    animate: Animate | None,
    stills: Sequence[Still],
    folder: Path,
    draw: int = DRAW,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> Record:
    """Animate and score all stills, and write the record.

    Args:
        method: short name.
        title: of the row.
        weights: source of its weights.
        animate: makes a sticker; None scores the true frames.
        stills: to animate.
        folder: of the records.
        draw: seed of the drawn stills.
        device: on which it runs.
        progress: called with the current work, the number of stills done, and the total.
    """
    items: dict[str, list[float | None]] = {name: [] for name in SCORES}
    seconds = []
    for number, still in enumerate(stills):
        progress(title, number, len(stills))
        started = time.perf_counter()
        frames = still.frames if animate is None else animate(still.prompt, still.image, number).frames
        seconds.append(time.perf_counter() - started)
        assert frames is not None
        for name, value in score_still(still.image, frames).items():
            items[name].append(plain(value, 4))
    record = Record(
        method, title, "test", SIZE, NUM_FRAMES, [still.key for still in stills], data="stills", weights=weights,
        seed=draw, measured=MEASURED, costs_on=processor(torch.device(device)),
        costs={} if animate is None else {"seconds": plain(statistics.median(seconds), 2)},
    )  # fmt: skip
    scores: dict[str, float | None] = {}
    for name, values in items.items():
        interval = mean_interval(torch.tensor(values))
        scores |= {name + end: plain(v) for end, v in zip(("", "_low", "_high"), interval, strict=True)}
    keys, groups = [still.key for still in stills], [still.group for still in stills]
    inputs = hashlib.blake2b(repr((method, weights, keys)).encode(), digest_size=6).hexdigest()
    record.conditions["stills"] = Cell(inputs, len(stills), scores, keys=keys, groups=groups, items=items)
    record.save(folder)
    return record


def stills_table(records: Sequence[Record]) -> Table:
    """A row for each method, true stickers last."""
    rows = []
    for record in sorted(records, key=lambda record: record.method == TRUE):
        cell = record.conditions["stills"]
        shown = []
        for name in SCORES:
            value, low, high = (cell.scores[name + end] or 0 for end in ("", "_low", "_high"))
            digits = 2 if name in ("sharpness", "flow") else 1
            shown.append(f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        seconds = record.costs.get("seconds")
        rows.append([record.title, *shown, f"{seconds:.1f}" if seconds else "", f"{cell.stickers} / {cell.num_groups}"])
    return ["", *SCORES.values(), "s a sticker", "n / groups"], rows


def write_stills(benchmarks: Path, readme: Path | None = None) -> bool:
    """Write `stills.md` and the documentation's block `stills`, next to `readme`; returns whether there are records."""
    records = read_records(benchmarks / RESULTS)
    if records:
        table = markdown(stills_table(records))
        number = max(record.conditions["stills"].stickers for record in records)
        caption = (
            f"Mean over {number} drawings of icon sets that no network has seen, a seed each, {SIZE} px, with 95% "
            "intervals (`glassine benchmark stills`; true stickers are others, and change by more than moving)."
        )
        write_blocks(readme, {"stills": f"{table}\n\n{caption}"})
        write_text(
            "# Stills that are animated\n\nGenerated by `glassine benchmark tables` from `results/stills/*.json`; edit "
            f"nothing here.\n\n{table}\n\nWhat is measured, at {SIZE} px with {NUM_FRAMES} "
            f"frames and another seed for each still: {MEASURED}. PSNR is at most {CAP:.0f} dB. "
            "`motion-fields` moves the pixels of the "
            "still, so its middle frame is the still by construction, and `layer-animate` shows the still's own pixels "
            "where a frame shows nothing else; the middle frame is then the still, too. True stickers change more "
            "than by moving, so that their likeness is no upper bound.\n",
            benchmarks / "stills.md",
        )
    return bool(records)


def run_stills(
    given: Sequence[str], stills: Sequence[Path], true: Sequence[Path], folder: Path, count: int, device: str
) -> list[Record]:
    """Score weights by name, and true stickers.

    Args:
        given: `NAME=WEIGHTS` of each method.
        stills: shards of drawings.
        true: shards of animated stickers, for the row of true ones; may be empty.
        folder: of the records.
        count: number of stills, and of true stickers.
        device: of the networks.

    Raises:
        UserError: weights or data are missing, or a method without a name.
    """
    pairs = [one.partition("=") for one in given]
    if count < 1 or not all(name and source for name, _, source in pairs):
        raise UserError(f"--count must be at least 1 and --row NAME=WEIGHTS, got {count} and {' '.join(given)}")
    rows = [(name, source) for name, _, source in pairs]
    if len(dict(rows)) < len(rows):
        raise UserError(f"--row must have a different NAME for each, got {' '.join(given)}")
    from glassine.models.image_to_video import ImageToVideo
    from glassine.pipelines.motion import load_animator
    from glassine.utils.devices import pick_device

    pipelines = {name: load_animator(source, device) for name, source in rows}  # first: errors show before slow work
    on = pick_device(device).type
    drawings, clips = find_stills(stills, count), find_clips(true, count)
    records = []
    with progress_bar() as progress:
        for name, source in rows:
            pipeline = pipelines[name]

            def animate(prompt: str, image: np.ndarray, seed: int, pipeline: Any = pipeline) -> Sticker:
                where = {"reference": "middle"} if isinstance(pipeline.model, ImageToVideo) else {}
                return pipeline(prompt, image, num_frames=NUM_FRAMES, seed=seed, **where)[0]

            records.append(score_stills(name, name, source, animate, drawings, folder, device=on, progress=progress))
        if clips:
            records.append(score_stills(TRUE, "true stickers", "", None, clips, folder, progress=progress))
    return records
