"""The last stage: stickers as shards that every task trains on, one folder a block."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from glassine.curation.blocks import Row
from glassine.curation.crawl import Opened
from glassine.curation.ingest import SMALL, read_again
from glassine.curation.keyframes import keyframes
from glassine.data.shards import ShardFormat, ShardWriter, cap_fps, encode_sticker, fit_size
from glassine.data.shards.info import has_words
from glassine.utils.errors import UserError, printable

INFO = ("description", "description_zh", "ocr", "license", "attribution")


class Encode:
    """Stage: writes `shards/NUMBER/shard-000000.tar` of a block and gives short rows back.

    Args:
        crawl: the folder.
        unpack: where compressed tars were unpacked to.
        to: the data set's folder.
        how: codec, quality, frames per second and size.
    """

    name, risky = "encode", False

    def __init__(self, crawl: str, unpack: str, to: str, how: ShardFormat) -> None:
        self.crawl, self.unpack, self.to, self.how = Path(crawl), Path(unpack), Path(to), how

    def settings(self) -> Mapping[str, Any]:
        """What results depend on."""
        return {"version": 1, "how": asdict(self.how)}

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Write a block's stickers; the folder is exchanged as a whole, so a killed worker leaves nothing behind."""
        if not rows:
            return []
        folder = self.to / "shards" / f"{rows[0]['block']:06d}"
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        opened, out = Opened(self.crawl, self.unpack), []
        with ShardWriter(part, self.how, max_bytes=2**40) as writer:
            for row in rows:
                try:
                    sticker = fit_size(cap_fps(read_again(opened, row, None), self.how.fps), self.how.size)
                except (UserError, OSError) as error:  # changed or removed since it was ingested
                    out.append({**row, "rejected": {"gone": 1.0}, "says": printable(str(error))[:300]})
                    continue
                content = sticker_json(row)
                encoded = encode_sticker(row["key"], sticker, content, self.how)
                small = fit_size(sticker, SMALL)
                more = {
                    **json.loads(encoded.files["json"]),
                    **extras(row),
                    "keyframes": keyframes(small.frames),
                }
                text = json.dumps(more, ensure_ascii=False, sort_keys=True).encode()
                writer.append(replace(encoded, files={**encoded.files, "json": text}))
                size = (more["width"], more["height"])
                stored = {"keyframes": more["keyframes"], "durations": more["durations"], "size": size}
                out.append({**{k: v for k, v in row.items() if k not in _UNSAID}, "stored": stored})
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        return out


_UNSAID = ("block", "stamp")


def sticker_json(row: Row) -> dict[str, Any]:
    """The fields of a sticker's JSON that glassine's readers know."""
    content = {name: row.get(name, "") for name in INFO}
    if not has_words(content["description"]):
        content["description"] = ""
    return {
        **content,
        "group": row["group"],
        "split": row["split"],
        "trigger_words": list(row.get("words", {})),
        "domain": row.get("domain") or "cartoon",
        "source": row.get("source") or "crawl",
    }


def extras(row: Row) -> dict[str, Any]:
    """What else is known: kept in the JSON, passed over by readers."""
    names = ("url", "copies", "frames", "kind", "motion", "measures", "made", "domain_score", "parts", "tests")
    more = {name: row[name] for name in names if name in row}
    more.pop("frames", None)
    return {"curation": {**more, "sha256": row["sha"], "trigger_counts": row.get("words", {})}}
