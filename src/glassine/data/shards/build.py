"""From a source of stickers to a folder of shards, over several processes."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2

from glassine.data.codecs.lottie import fork_is_safe
from glassine.data.codecs.vector import LeftOutWarning
from glassine.data.sources import SourceItem, StickerSource
from glassine.errors import UserError

from .info import has_words
from .writer import EncodedSticker, ShardFormat, ShardWriter, encode_sticker

_Encoded = tuple[str, EncodedSticker | str | None, str]


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        written: stickers written by this run.
        skipped: stickers that were there from an earlier run.
        damaged: key -> reason, of stickers that could not be read.
        left_out: key -> what its frames lack, of stickers whose renderer does not draw everything.
        wordless: key -> description, of those whose description has no letter and no digit, and so says nothing.
    """

    written: int = 0
    skipped: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    wordless: dict[str, str] = field(default_factory=dict)


def build_shards(
    source: StickerSource,
    folder: Path | str,
    how: ShardFormat | None = None,
    workers: int | None = None,
    max_bytes: int = 128 * 2**20,
    advance: Callable[[], None] = lambda: None,
) -> BuildReport:
    """Decode, resample and encode every sticker of a source; the shards do not depend on the number of processes.

    A stopped build is taken up where it ended: complete shards are kept, their stickers are not decoded again. A
    damaged sticker is left out and named in the report.

    Args:
        source: what to write.
        folder: where to; made when missing.
        how: codec, frames per second, size.
        workers: processes; None for one per core, 0 for this process alone.
        max_bytes: size from which a new shard is begun.
        advance: called after each sticker of the source, for a progress bar.

    Raises:
        UserError: see :class:`ShardWriter`; a negative number of workers; or not one sticker could be read.
    """
    if workers is not None and workers < 0:
        raise UserError(f"{workers} workers came; choose 0 for none beside this process, or more")
    how = how or ShardFormat()
    report = BuildReport()
    with ShardWriter(folder, how, max_bytes) as writer:
        report.damaged.update(writer.damaged)
        for key, result, lacks in _encoded(source, writer.keys.copy(), how, workers):
            if lacks:
                report.left_out[key] = lacks
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
    # forked workers start at once; but not every renderer survives a fork of a process that has used it
    method = None if fork_is_safe() else "spawn"
    with multiprocessing.get_context(method).Pool(count, initializer=_start_worker) as pool:
        yield from pool.imap(encode, todo, chunksize=2)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it completes the shard
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's way to end a worker
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _encode_item(item: SourceItem | str, how: ShardFormat) -> _Encoded:
    """The key; the sticker as bytes, or why it cannot be read, or None where it is there already; what it lacks."""
    if isinstance(item, str):
        return item, None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeftOutWarning)
        try:
            result: EncodedSticker | str = encode_sticker(item.key, item.load(), item.info, how)
        except (UserError, OSError, ValueError) as error:
            result = str(error)
    lacks = [str(one.message).rpartition("not drawn: ")[2] for one in caught if one.category is LeftOutWarning]
    return item.key, result, ", ".join(lacks) if isinstance(result, EncodedSticker) else ""
