"""Build shards from a source of stickers with several processes; regroup and display finished shards.

:func:`regroup_shards` changes the groups and splits of stickers without touching their pixels; :func:`contact_sheet`
draws an overview image of a folder.
"""

import json
import multiprocessing
import os
import signal
import tarfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.data.alpha import composite_frames
from glassine.data.codecs.io import NoteWarning
from glassine.data.codecs.lottie import LeftOutWarning
from glassine.data.frame_sampling import sample_frames
from glassine.data.shards.frames import resize_frames
from glassine.data.shards.index import IndexedSample, ShardIndex, index_path, load_index, rebuild_index
from glassine.data.shards.info import StickerInfo, has_words
from glassine.data.shards.reader import StickerShards, find_tars
from glassine.data.shards.writer import EncodedSticker, ShardFormat, ShardWriter, encode_sticker
from glassine.data.sources import SourceItem, StickerSource
from glassine.data.sticker import Split
from glassine.utils.colors import checkerboard
from glassine.utils.errors import UserError, output_error
from glassine.utils.files import atomic_path, sole_writer

_Encoded = tuple[str, EncodedSticker | str | None, str, str]


@dataclass
class BuildReport:
    """Result of a build.

    Attributes:
        written: stickers written by this run.
        skipped: stickers that existed from an earlier run.
        damaged: key -> reason, for stickers that could not be read.
        left_out: key -> what is missing, for stickers that are not fully rendered.
        wordless: key -> description, for stickers whose description has no letter or digit.
        notes: key -> what differs from its file, such as the timing.
    """

    written: int = 0
    skipped: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    wordless: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def build_shards(
    source: StickerSource,
    folder: Path | str,
    how: ShardFormat | None = None,
    workers: int | None = None,
    max_bytes: int = 128 * 2**20,
    advance: Callable[[], None] = lambda: None,
) -> BuildReport:
    """Decode, resample and encode every sticker of a source; the result does not depend on the number of processes.

    An interrupted build resumes where it stopped: complete shards are kept, and their stickers are not decoded again.
    Damaged stickers are skipped and named in the report.

    Args:
        source: stickers to write.
        folder: output folder; created if missing.
        how: codec, frames per second, size.
        workers: processes; None for one per core, 0 for this process alone.
        max_bytes: size at which a new shard is started.
        advance: called after each sticker of the source, for a progress bar.

    Raises:
        UserError: see :class:`ShardWriter`; a negative number of workers; or no sticker could be read.
    """
    if workers is not None and workers < 0:
        raise UserError(f"workers must be at least 0 (0 for this process only), got {workers}")
    how = how or ShardFormat()
    report = BuildReport()
    with ShardWriter(folder, how, max_bytes) as writer:
        report.damaged.update(writer.damaged)
        for key, result, lacks, note in _encoded(source, writer.keys.copy(), how, workers):
            if lacks:
                report.left_out[key] = lacks
            if note:
                report.notes[key] = note
            if result is None:
                report.skipped += 1
            elif isinstance(result, str):
                report.damaged[key] = result
            else:
                writer.append(result)
                if result.info.description and not has_words(result.info.description):
                    report.wordless[key] = result.info.description
                report.written += 1
            advance()
    if not report.written and not report.skipped:
        first = next(iter(report.damaged.items()), None)
        why = f"; the first, {first[0]}: {first[1]}" if first else ""
        raise UserError(f"not one of {len(source)} stickers could be read{why}; nothing was written to {folder}")
    return report


def _encoded(source: StickerSource, present: set[str], how: ShardFormat, workers: int | None) -> Iterator[_Encoded]:
    todo = (item if item.key not in present else item.key for item in source.items())
    encode = partial(_encode_item, how=how)
    count = (os.cpu_count() or 1) if workers is None else workers
    if count == 0:
        yield from map(encode, todo)
        return
    with multiprocessing.Pool(count, initializer=_start_worker) as pool:
        yield from pool.imap(encode, todo, chunksize=2)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which completes the shard
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the parent stops a worker
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """Stop if the parent is gone: a worker would otherwise wait for work forever."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _encode_item(item: SourceItem | str, how: ShardFormat) -> _Encoded:
    """Key; the sticker as bytes, why it cannot be read, or None if it already exists; what it lacks; its notes."""
    if isinstance(item, str):
        return item, None, "", ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeftOutWarning)
        warnings.simplefilter("always", NoteWarning)
        try:
            result: EncodedSticker | str = encode_sticker(item.key, item.load(), item.info, how)
        except (UserError, OSError, ValueError) as error:
            result = str(error)
    if not isinstance(result, EncodedSticker):
        return item.key, result, "", ""
    lacks = [str(one.message).rpartition("not drawn: ")[2] for one in caught if one.category is LeftOutWarning]
    notes = [str(one.message).partition(": ")[2] for one in caught if one.category is NoteWarning]
    return item.key, result, ", ".join(lacks), "; ".join(notes)


Regroup = Callable[[StickerInfo], tuple[str, Split]]


def regroup_shards(folder: Path, regroup: Regroup, tell: Callable[[Path, int], None] = lambda tar, count: None) -> int:
    """Recompute each sticker's group and split, and rewrite the shards in which any of them changed.

    A shard is written next to the old one and renamed when complete; a run that was killed before it wrote the shard's
    index is resumed. A sticker's JSON keeps its length where possible, and with it the offsets of all frames, so that
    concurrent readers keep reading the right bytes.

    Args:
        folder: folder of shards that have an index (`glassine data index`).
        regroup: maps a sticker's metadata to its group and split.
        tell: called after each shard with the number of changed stickers.

    Returns:
        The number of changed stickers.

    Raises:
        UserError: no shards, a missing index, damage, another process writing there, or an unwritable folder.
    """
    total = 0
    for tar in find_tars(folder):
        try:
            with sole_writer(tar.parent, "shards"):
                changed = _regroup(tar, regroup)
        except (FileNotFoundError, ValueError, tarfile.TarError, KeyError) as error:
            raise UserError(f"{tar} cannot be regrouped ({error}); index it with `glassine data index`") from error
        except OSError as error:
            raise output_error(tar, error) from error
        tell(tar, changed)
        total += changed
    return total


def _regroup(tar: Path, regroup: Regroup) -> int:
    index, rebuilt = load_index(tar), False
    try:
        new, texts = _changes(tar, index, regroup)
    except ValueError:
        index, rebuilt = rebuild_index(tar), True
        if index.damaged:  # which is not a matter of the index
            raise
        new, texts = _changes(tar, index, regroup)
    if new:
        places = _rewrite(tar, texts)
        index.samples = [_moved(new.get(sample.key, sample), places) for sample in index.samples]
        index.tar_bytes = tar.stat().st_size
    if new or rebuilt:
        index.save(index_path(tar))
    return len(new)


def _changes(tar: Path, index: ShardIndex, regroup: Regroup) -> tuple[dict[str, IndexedSample], dict[str, bytes]]:
    """Entries and JSON members that change; raises ValueError if the index belongs to another file."""
    if index.tar_bytes != tar.stat().st_size:
        raise ValueError(f"the file has {tar.stat().st_size} bytes, its index is for {index.tar_bytes}")
    new = dict[str, IndexedSample]()
    texts = dict[str, bytes]()
    with tar.open("rb") as file:
        for sample in index.samples:
            file.seek(sample.info[0])
            old = file.read(sample.info[1])
            content = json.loads(old) if old else {}
            info = StickerInfo.from_json(sample.key, content, sample.durations, sample.width, sample.height)
            group, split = regroup(info)
            if (group, split) == (info.group, info.split) == (sample.group, sample.split):
                continue
            if not old:
                raise ValueError(f"{sample.key} has no JSON to write its group into")
            changed = {**content, "group": group, "split": split}
            text = json.dumps(changed, ensure_ascii=False, separators=(",", ":")).encode()
            texts[f"{sample.key}.json"] = text.ljust(len(old))
            new[sample.key] = replace(sample, group=group, split=split)
    return new, texts


def _rewrite(tar: Path, texts: dict[str, bytes]) -> dict[int, tuple[int, int]]:
    """Copy the tar with some members' content replaced; returns new content offsets by old ones."""
    places: dict[int, tuple[int, int]] = {}
    with atomic_path(tar) as beside, tarfile.open(tar) as old, tarfile.open(beside, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            if stream is None:  # e.g. a folder
                new.addfile(member)
                continue
            data = texts.get(member.name) or stream.read()
            before = member.offset_data
            member.size = len(data)
            new.addfile(member, BytesIO(data))
            places[before] = (new.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data))
    return places


def _moved(sample: IndexedSample, places: dict[int, tuple[int, int]]) -> IndexedSample:
    info = places[sample.info[0]] if sample.info[1] else sample.info
    return replace(sample, info=info, members=tuple(places[offset] for offset, _ in sample.members))


_PAPER, _INK, _FAINT = (250, 250, 249), (28, 28, 30), (122, 122, 128)
_GAP, _MARGIN = 6, 28
_Font = ImageFont.FreeTypeFont


def contact_sheet(
    shards: StickerShards, rows: np.ndarray, tile: int = 104, frames: int = 4, columns: int = 3
) -> Image.Image:
    """Draw stickers on a checkerboard: some frames of each, evenly spaced in time, above its description and key.

    Args:
        shards: shards to read.
        rows: rows to draw, in this order; damaged ones are empty cells with a note.
        tile: side of one frame in pixels.
        frames: frames per sticker.
        columns: stickers per row.

    Returns:
        An RGB image.
    """
    columns = max(1, min(columns, len(rows)))
    large, small = _font(max(11, tile // 7)), _font(max(10, tile // 9))
    cell_width = frames * tile + (frames - 1) * _GAP
    text_height = round((large.size + small.size) * 1.55)
    step_x, step_y = cell_width + _MARGIN, tile + text_height + _MARGIN // 2
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, lines * step_y + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    board = checkerboard(tile, tile)
    for number, row in enumerate(rows.tolist()):
        left, top = _MARGIN + number % columns * step_x, _MARGIN + number // columns * step_y
        durations = shards.durations(row)
        try:
            info = shards.metadata(row)
            pictures = shards.read(row, sample_frames(durations, frames)[0] if len(durations) > 1 else [0])
        except ValueError as error:
            draw.text((left, top), _fitted(f"{shards.key(row)}: damaged ({error})", large, cell_width), _INK, large)
            continue
        for place, picture in enumerate(resize_frames(pictures, tile, tile, keep_shape=True)):
            shown = composite_frames(picture, board)
            sheet.paste(Image.fromarray(shown), (left + place * (tile + _GAP), top))
        _write(draw, info, (left, top + tile + 3), (large, small), cell_width)
    return sheet


def _write(
    draw: ImageDraw.ImageDraw, info: StickerInfo, at: tuple[int, int], fonts: tuple[_Font, _Font], width: int
) -> None:
    large, small = fonts
    length = f"{info.num_frames} frames, {info.fps:.3g}/s" if info.num_frames > 1 else "still"
    facts = f"{info.key}  ·  {info.domain}  ·  {info.split}  ·  {length}  ·  {info.width}x{info.height}"
    draw.text(at, _fitted(info.description or info.key, large, width), _INK, large)
    draw.text((at[0], at[1] + round(large.size * 1.35)), _fitted(facts, small, width), _FAINT, small)


def _font(size: int) -> _Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, _Font)  # Pillow without FreeType would return a bitmap font; all wheels have FreeType
    return font


def _fitted(text: str, font: _Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
