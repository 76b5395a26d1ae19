"""The proxy: choose clips by measures where nobody is at hand, and answer as an annotator does."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from glassine import __version__
from glassine.data.codecs import read_sticker
from glassine.review.answers import PROXY, ShareAnswer
from glassine.review.measures import Measures
from glassine.review.plan import STILLS_NAME, ReviewKey
from glassine.review.thresholds import Thresholds, leaving_out
from glassine.study.plan import ANSWERS_NAME, SITE_NAME
from glassine.study.rater_files import SUFFIX
from glassine.study.site import CLIPS_NAME
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.json_lines import append_lines

MEASURES_NAME = "proxy.json"


@dataclass(frozen=True)
class ProxyChoice:
    """What the proxy chose.

    Attributes:
        chosen: number of clips.
        reasons: threshold to the number of clips that it rejected, the most first.
    """

    chosen: int
    reasons: Mapping[str, int]


def choose(
    review: Path,
    key: ReviewKey,
    thresholds: Thresholds,
    train: Sequence[Path] = (),
    image_text: str = "glassine:tiny-clip",
    video: str = "glassine:tiny-video",
    advance: Callable[[], None] = lambda: None,
    worst: float | None = None,
) -> ProxyChoice:
    """Choose every clip that passes all thresholds; writes the answers and the measures.

    An earlier choice of the proxy is replaced; people's answers are not looked at.

    Args:
        review: folder of the review.
        key: of the review.
        thresholds: what has to be passed.
        train: shards that no clip may be a near copy of; none are looked at if it is empty.
        image_text: evaluator of pictures and captions.
        video: evaluator of clips, for near copies.
        advance: called after each clip.
        worst: share that is left out by each measure, instead of `thresholds`; see `leaving_out`.

    Raises:
        UserError: a share out of range; weights, shards or clips that cannot be read; or answers that cannot be
            written.
    """
    measure = Measures(image_text, video, key.frames, key.size, train)
    site = review / SITE_NAME
    measured = dict[str, dict[str, float]]()
    for trial in key.trials.values():
        still = read_sticker(site / STILLS_NAME / f"{trial.still}.png").frames[0]
        for clip in trial.clips:
            frames = read_sticker(site / CLIPS_NAME / f"{clip}.webp").frames
            measured[clip] = measure(frames, still, trial.caption, trial.group)
            advance()
    if worst is not None:
        thresholds = leaving_out(worst, list(measured.values()))
    answers, reasons = list[ShareAnswer](), Counter[str]()
    for name, trial in key.trials.items():
        rejected = {clip: why for clip in trial.clips if (why := thresholds.rejections(measured[clip]))}
        reasons.update(reason.partition(" ")[0] for why in rejected.values() for reason in why)
        chosen = tuple(clip for clip in trial.clips if clip not in rejected)
        answers.append(ShareAnswer(name, chosen, trial.clips, time=_now(), reasons=rejected))
    folder = review / ANSWERS_NAME
    if not folder.is_dir():
        raise UserError(f"{review} has no folder {ANSWERS_NAME}: build the review again")
    with atomic_path(folder / f"{PROXY}{SUFFIX}") as path:
        append_lines(path, [{"study": key.review, "rater": PROXY, "form": 0, "time": _now()}, *answers])
    about = {
        "thresholds": {name: bound for name, bound in asdict(thresholds).items() if math.isfinite(bound)},
        "worst": worst,
        "image_text": image_text,
        "video": video if train else None,
        "train": [str(folder) for folder in train],
        "glassine": __version__,
        "clips": {
            f"{key.trials[key.clips[clip].trial].prompt}-{key.clips[clip].teacher}-{key.clips[clip].seed}": values
            for clip, values in measured.items()
        },
    }
    with atomic_path(review / MEASURES_NAME) as path:
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return ProxyChoice(sum(len(answer.chosen or ()) for answer in answers), dict(reasons.most_common()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
