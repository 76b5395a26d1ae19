"""Give the stickers of finished shards other groups and splits; their pixels stay."""

import json
import secrets
import tarfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from glassine.data.split import Split
from glassine.errors import UserError, output_error

from .index import IndexedSample, index_path, load_index
from .info import StickerInfo
from .reader import find_tars

Regroup = Callable[[StickerInfo], tuple[str, Split]]


def regroup_shards(folder: Path, regroup: Regroup, tell: Callable[[Path, int], None] = lambda tar, count: None) -> int:
    """Ask for each sticker's group and split, and write those shards anew where an answer differs from what they say.

    A shard is written beside the old one and renamed when whole. A sticker's JSON keeps its length where it can, and
    with it every frame its place, so that a reader that is at work goes on reading the right bytes.

    Args:
        folder: with shards that have an index (`glassine data index`).
        regroup: what is known of a sticker to its group and split.
        tell: called after each shard with how many of its stickers changed.

    Returns:
        How many stickers changed.

    Raises:
        UserError: no shards, one without an index or damaged, or no place to write.
    """
    total = 0
    for tar in find_tars(folder):
        try:
            changed = _regroup(tar, regroup)
        except (FileNotFoundError, ValueError, tarfile.TarError, KeyError) as error:
            raise UserError(f"{tar} cannot be regrouped ({error}); index it with `glassine data index`") from error
        except OSError as error:
            raise output_error(tar, error) from error
        tell(tar, changed)
        total += changed
    return total


def _regroup(tar: Path, regroup: Regroup) -> int:
    index = load_index(tar)
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
    if not new:
        return 0
    places = _rewrite(tar, texts)
    index.samples = [_moved(new.get(sample.key, sample), places) for sample in index.samples]
    index.tar_bytes = tar.stat().st_size
    index.save(index_path(tar))
    return len(new)


def _rewrite(tar: Path, texts: dict[str, bytes]) -> dict[int, tuple[int, int]]:
    """Copy the tar with some members' content exchanged; where each member's content lies now, by where it lay."""
    beside = tar.with_name(f".{tar.stem}.{secrets.token_hex(4)}.part")
    places: dict[int, tuple[int, int]] = {}
    try:
        with tarfile.open(tar) as old, tarfile.open(beside, "w") as new:
            for member in old:
                stream = old.extractfile(member)
                if stream is None:  # a folder or the like
                    new.addfile(member)
                    continue
                data = texts.get(member.name) or stream.read()
                before = member.offset_data
                member.size = len(data)
                new.addfile(member, BytesIO(data))
                places[before] = (new.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data))
        beside.replace(tar)
    finally:
        beside.unlink(missing_ok=True)
    return places


def _moved(sample: IndexedSample, places: dict[int, tuple[int, int]]) -> IndexedSample:
    info = places[sample.info[0]] if sample.info[1] else sample.info
    return replace(sample, info=info, members=tuple(places[offset] for offset, _ in sample.members))
