"""Export what was chosen as shards for training, with the votes in each sticker's JSON."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from glassine import __version__
from glassine.data.codecs import read_sticker
from glassine.data.shards import EncodedSticker, ShardFormat, ShardWriter, StickerShards, encode_sticker
from glassine.review.answers import PROXY, Annotator
from glassine.review.build import without_domain
from glassine.review.plan import KeyTrial, ReviewKey
from glassine.review.report import votes_of
from glassine.study.plan import SITE_NAME
from glassine.study.site import CLIPS_NAME
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

CARD_NAME = "chosen.json"
NO_PEOPLE = "no people chose"
MOST_KEY = 80  # letters of a sticker's key


@dataclass(frozen=True)
class Rule:
    """Which clips are exported.

    Attributes:
        by: whose choice counts.
        min_share: least share of the annotators of a clip who would share it, in (0, 1].
        min_votes: least number of annotators who would.
        teachers: whose clips; empty for all.
    """

    by: Literal["people", "proxy"] = "people"
    min_share: float = 0.5
    min_votes: int = 1
    teachers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise UserError for values out of range."""
        if not 0 < self.min_share <= 1:
            raise UserError(f"min_share must be in (0, 1], got {self.min_share:g}")
        if self.min_votes < 1:
            raise UserError(f"min_votes must be at least 1, got {self.min_votes}")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        chosen: clips that the rule chose.
        written: clips in the shards.
        left_out: why the others are not there, with their number.
        teachers: clips in the shards of each teacher.
    """

    chosen: int
    written: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    teachers: Mapping[str, int] = field(default_factory=dict)


def export_chosen(
    review: Path,
    key: ReviewKey,
    annotators: Sequence[Annotator],
    to: Path,
    rule: Rule | None = None,
    keep_out: Sequence[Path] = (),
    how: ShardFormat | None = None,
) -> Exported:
    """Write the chosen clips of the training split as shards, and beside them a card that says how they were chosen.

    A group whose split is not `train` stays out, and so does one that other data has in its validation or test split.

    Args:
        review: folder of the review.
        key: of the review.
        annotators: from `read_annotators`.
        to: a new or empty folder.
        rule: which clips; None for the default.
        keep_out: shards whose groups of the validation and test splits must not get in.
        how: format of the shards; None for the default of lossless frames.

    Raises:
        UserError: nobody has chosen, nothing is left to export, an unknown teacher, or the folder cannot be written.
    """
    rule = rule or Rule()
    judges = [one for one in annotators if (one.name == PROXY) == (rule.by == "proxy") and one.answers]
    if not judges:
        raise UserError(_nobody(rule, annotators))
    if unknown := set(rule.teachers) - key.teachers.keys():
        raise UserError(f"teachers must be among {', '.join(key.teachers)}, got {min(unknown)}")
    every = votes_of(judges)
    votes = {
        clip: given for clip, given in every.items() if not rule.teachers or key.clips[clip].teacher in rule.teachers
    }
    chosen = {
        clip: given
        for clip, given in votes.items()
        if sum(given.values()) >= max(rule.min_votes, rule.min_share * len(given) - 1e-9)
    }
    if not chosen:
        raise UserError(
            f"nothing was chosen: of {len(votes)} clips judged, none is shared by {rule.min_votes} annotators and "
            f"{rule.min_share:.0%} of those who judged it; see `review report`, or lower --min-share"
        )
    barred = _held_out_groups(keep_out)
    left_out = Counter[str]()
    kept = list[str]()
    for clip in sorted(chosen, key=lambda name: _key_of(key, name)):
        trial = key.trials[key.clips[clip].trial]
        reason = _reason(trial, barred)
        left_out.update([reason] if reason else ())
        kept += [] if reason else [clip]
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise UserError(
            f"no chosen clip may be trained on: of {len(chosen)}, {why}; review stills of the training split"
        )
    teachers = Counter(key.clips[clip].teacher for clip in kept)
    exported = Exported(len(chosen), len(kept), dict(left_out), dict(teachers.most_common()))
    people = sum(one.name != PROXY for one in judges)
    with atomic_path(to) as folder:
        with ShardWriter(folder, how or ShardFormat(codec="webp-lossless")) as writer:
            for clip in kept:
                writer.append(_encoded(review, key, clip, chosen[clip], writer.how))
        card = {
            "chosen_by": f"{people} people" if rule.by == "people" else f"{NO_PEOPLE}: a proxy did, by measures",
            "people": people,
            "rule": asdict(rule),
            "review": key.review,
            **asdict(exported),
            "recipes": {name: asdict(key.teachers[name]) for name in teachers},
            "annotators": [one.name for one in judges],
            "glassine": __version__,
        }
        (folder / CARD_NAME).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return exported


def _nobody(rule: Rule, annotators: Sequence[Annotator]) -> str:
    if rule.by == "proxy":
        return "the proxy has not chosen yet: run `glassine review choose OUT` first"
    if any(one.name == PROXY and one.answers for one in annotators):
        return f"no people have answered, only the proxy: --by proxy exports what it chose, marked {NO_PEOPLE!r}"
    return "nobody has answered yet: serve the review, or run `glassine review choose OUT` and export --by proxy"


def _held_out_groups(folders: Sequence[Path]) -> set[str]:
    found = set[str]()
    for folder in folders:
        shards = StickerShards(folder)
        found |= {shards.group(row) for row in range(len(shards)) if shards.split(row) != "train"}
    return found


def _reason(trial: KeyTrial, barred: set[str]) -> str | None:
    if trial.split != "train":
        return f"of the {'validation' if trial.split == 'val' else 'test'} split"
    return "of a group that is held out in --keep-out" if trial.group in barred else None


def _key_of(key: ReviewKey, clip: str) -> str:
    """`PROMPT-TEACHER-SEED`, where it is too long cut and ended by a digest of the whole."""
    one = key.clips[clip]
    name = f"{key.trials[one.trial].prompt}-{one.teacher}-{one.seed}"
    digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    return name if len(name) <= MOST_KEY else f"{name[: MOST_KEY - 13]}-{digest}"


def _encoded(review: Path, key: ReviewKey, clip: str, given: Mapping[str, bool], how: ShardFormat) -> EncodedSticker:
    one, trial = key.clips[clip], key.trials[key.clips[clip].trial]
    sticker = read_sticker(review / SITE_NAME / CLIPS_NAME / f"{clip}.webp")
    info: dict[str, Any] = {
        "group": trial.group,
        "split": trial.split,
        "description": without_domain(trial.caption),
        "description_zh": without_domain(trial.caption_zh or ""),
        "domain": trial.caption.rpartition("\t")[0].strip().lower() or "cartoon",
        "source": trial.source,
        "license": trial.licence,
    }
    encoded = encode_sticker(_key_of(key, clip), sticker, info, how)
    people = {name: vote for name, vote in given.items() if name != PROXY}
    votes = {
        "chosen_by": sorted(name for name, vote in people.items() if vote) or NO_PEOPLE,
        "rejected_by": sorted(name for name, vote in people.items() if not vote),
        "share": float(np.mean(list(given.values()))),
        "people": len(people),
        "proxy": given.get(PROXY),
        "review": key.review,
        "prompt": trial.prompt,
        "teacher": one.teacher,
        "seed": one.seed,
    }
    content = {**json.loads(encoded.files["json"]), "votes": votes}
    return EncodedSticker(
        encoded.info, {**encoded.files, "json": json.dumps(content, ensure_ascii=False).encode("utf-8")}
    )
