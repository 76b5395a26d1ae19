"""Manual descriptions as fine-tuning data, in the formats that vision-language models are trained with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from glassine.curation.blocks import Row, read_rows
from glassine.curation.vlm import DESCRIBE_ANIMATION, DESCRIBE_STILL
from glassine.data.alpha import composite_frames
from glassine.data.codecs import write_sticker
from glassine.data.shards import StickerShards
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError, printable
from glassine.utils.files import atomic_path


def _llava(key: str, file: str, animated: bool, prompt: str, answer: str) -> dict[str, Any]:
    """LLaVA's and Video-LLaMA's `conversations`, with the place of the medium marked in the text."""
    kind = "video" if animated else "image"
    turns = [{"from": "human", "value": f"<{kind}>\n{prompt}"}, {"from": "gpt", "value": answer}]
    return {"id": key, kind: file, "conversations": turns}


def _messages(key: str, file: str, animated: bool, prompt: str, answer: str) -> dict[str, Any]:
    """Chat messages as transformers' and TRL's trainers take them."""
    kind = "video" if animated else "image"
    asked = [{"type": kind, kind: file}, {"type": "text", "text": prompt}]
    return {
        "id": key,
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ],
    }


FORMATS: dict[str, Callable[[str, str, bool, str, str], dict[str, Any]]] = {"llava": _llava, "messages": _messages}


def export_sft(dataset: Path, labels: Path, to: Path, form: str = "llava", prompt: str | None = None) -> int:
    """Write labelled stickers as media files and a list of examples.

    Args:
        dataset: with shards.
        labels: JSONL of `key` and `description`, written by hand.
        to: a new or empty folder: `media/` and `train.json` (`llava`) or `train.jsonl` (`messages`).
        form: one of `FORMATS`.
        prompt: what the model is asked; None is what `glassine.curation.vlm` asks animations and stills.

    Returns:
        How many examples were written.

    Raises:
        UserError: unknown keys, no description, a folder with content.
    """
    if form not in FORMATS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
    if to.exists() and any(to.iterdir()):
        raise UserError(f"{to} must be a new or an empty folder")
    wanted = _read_labels(labels)
    shards = StickerShards(dataset)
    rows = {shards.key(row): row for row in range(len(shards))}
    unknown = [key for key in wanted if key not in rows]
    if unknown:
        raise UserError(f"{labels} names {len(unknown)} stickers that {dataset} has not, first {printable(unknown[0])}")
    (to / "media").mkdir(parents=True)
    examples = list(_examples(shards, rows, wanted, to, form, prompt))
    target = to / ("train.json" if form == "llava" else "train.jsonl")
    lines = [json.dumps(one, ensure_ascii=False) for one in examples]
    text = "[\n" + ",\n".join(lines) + "\n]\n" if form == "llava" else "\n".join(lines) + "\n"
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return len(examples)


def _read_labels(labels: Path) -> dict[str, str]:
    try:
        rows: list[Row] = list(read_rows(labels))
        return {str(row["key"]): str(row["description"]).strip() for row in rows if str(row["description"]).strip()}
    except (OSError, KeyError, TypeError) as error:
        raise UserError(f"{labels} must be JSONL with key and description in each line, got {error!r}") from error


def _examples(
    shards: StickerShards, rows: dict[str, int], wanted: dict[str, str], to: Path, form: str, prompt: str | None
) -> Iterator[dict[str, Any]]:
    for key, answer in sorted(wanted.items()):
        row = rows[key]
        durations = shards.durations(row)
        frames = shards.read(row, list(range(len(durations))))
        animated = len(durations) > 1
        file = f"media/{key}{'.gif' if animated else '.png'}"
        opaque = composite_frames(frames, (255, 255, 255))  # models take no alpha
        frames[..., :3], frames[..., 3] = opaque, 255
        write_sticker(Sticker(frames, durations), to / file)
        asked = prompt or (DESCRIBE_ANIMATION if animated else DESCRIBE_STILL)
        yield FORMATS[form](key, file, animated, asked, answer)
