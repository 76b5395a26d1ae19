"""The results of a review as JSON values: agreement, acceptance by teacher, and whether the proxy chooses as people do.

Every number is about decisions: one annotator would share one clip, or would not. Intervals come from draws of the
stills' groups, since clips of one prompt, and prompts of one group, are judged alike.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from glassine import __version__
from glassine.bench.intervals import group_weights, mean_draws
from glassine.review.answers import PROXY, Annotator
from glassine.review.plan import ReviewKey
from glassine.study.report import agreeing_share, alpha_of, krippendorff_alpha, unit_coincidences

FEW_GROUPS = 10
"""Below so many groups of prompts an interval is called rough."""
MAJORITY = 0.5
Votes = Mapping[str, Mapping[str, bool]]
"""Clip to annotator to whether they would share it."""


def votes_of(annotators: Sequence[Annotator]) -> dict[str, dict[str, bool]]:
    """Each decision of the annotators; clips of prompts that an annotator has not answered have none of theirs."""
    votes = defaultdict[str, dict[str, bool]](dict)
    for annotator in annotators:
        for answer in annotator.answers.values():
            for clip in answer.shown:
                votes[clip][annotator.name] = clip in (answer.chosen or ())
    return dict(votes)


def make_report(key: ReviewKey, annotators: Sequence[Annotator], resamples: int = 2000) -> dict[str, Any]:
    """Acceptance by teacher, agreement, and a row for each annotator.

    Args:
        key: of the review.
        annotators: from `read_annotators`; the proxy is told apart by its name.
        resamples: draws of groups.

    Returns:
        `teachers`, `ensemble`, `agreement` and `annotators` of the people, or of the proxy where no people have
        answered (`judged_by` says which), and `proxy`, its agreement with people (None without either).
    """
    people = [one for one in annotators if one.name != PROXY and one.answers]
    proxy = next((one for one in annotators if one.name == PROXY and one.answers), None)
    judges = people or ([proxy] if proxy is not None else [])
    votes = votes_of(judges)
    return {
        "review": key.review,
        "title": key.title,
        "judged_by": "people" if people else PROXY if judges else "nobody",
        "prompts": len(key.trials),
        "answered": len({key.clips[clip].trial for clip in votes}),
        "groups": len({key.trials[key.clips[clip].trial].group for clip in votes}),
        "clips": len(key.clips),
        "teachers": {name: _acceptance(key, votes, name, resamples) for name in key.teachers},
        "ensemble": _ensemble(key, votes, resamples),
        "agreement": _agreement(key, votes, resamples) if people else None,
        "proxy": _proxy(key, votes, proxy, resamples) if people and proxy is not None else None,
        "annotators": [_row(one, key) for one in annotators],
        "resamples": resamples,
        "glassine": __version__,
        "built": key.date,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _mean(values: Mapping[str, float], key: ReviewKey, resamples: int) -> dict[str, Any]:
    """The mean of a value by trial, and its 95% interval over draws of groups; none for fewer than two groups."""
    if not values:
        return {"share": None, "low": None, "high": None, "prompts": 0, "groups": 0}
    groups = [key.trials[trial].group for trial in values]
    given = torch.tensor(list(values.values()), dtype=torch.float64)
    count = len(set(groups))
    low = high = None
    if count > 1:
        draws = mean_draws(given, group_weights(groups, resamples))
        low, high = (float(end) for end in draws.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)))
    return {"share": float(given.mean()), "low": low, "high": high, "prompts": len(values), "groups": count}


def _by_trial(key: ReviewKey, votes: Votes, teacher: str | None = None) -> dict[str, list[dict[str, bool]]]:
    found = defaultdict[str, list[dict[str, bool]]](list)
    for clip, given in votes.items():
        if teacher in (None, key.clips[clip].teacher):
            found[key.clips[clip].trial].append(dict(given))
    return dict(found)


def _acceptance(key: ReviewKey, votes: Votes, teacher: str, resamples: int) -> dict[str, Any]:
    """The share of decisions about a teacher's clips that share them; every prompt counts once."""
    by_trial = _by_trial(key, votes, teacher)
    shares = {
        trial: float(np.mean([list(clip.values()) for clip in clips if clip])) for trial, clips in by_trial.items()
    }
    decisions = [vote for clips in by_trial.values() for clip in clips for vote in clip.values()]
    return {**_mean(shares, key, resamples), "decisions": len(decisions), "shared": sum(decisions)}


def _ensemble(key: ReviewKey, votes: Votes, resamples: int) -> dict[str, Any]:
    """The share of prompts of which an annotator would share a clip by any teacher, and by the best one alone.

    What the ensemble is for: the best teacher is the one with the highest such share.
    """

    def some(teacher: str | None) -> dict[str, Any]:
        values = {}
        for trial, clips in _by_trial(key, votes, teacher).items():
            names = {name for clip in clips for name in clip}
            values[trial] = float(np.mean([any(clip.get(name, False) for clip in clips) for name in names]))
        return _mean(values, key, resamples)

    alone = {teacher: some(teacher) for teacher in key.teachers}
    best = max(alone, key=lambda teacher: alone[teacher]["share"] or 0.0)
    return {"any": some(None), "best": best, "best_alone": alone[best]}


def _agreement(key: ReviewKey, votes: Votes, resamples: int) -> dict[str, Any]:
    """Krippendorff's alpha (nominal; a unit is a clip, a value whether it would be shared), and its interval."""
    units = [list(given.values()) for given in votes.values()]
    compared = {clip: given for clip, given in votes.items() if len(given) > 1}
    groups = [key.trials[key.clips[clip].trial].group for clip in compared]
    low = high = None
    if len(set(groups)) > 1:
        counts = [np.bincount([int(vote) for vote in given.values()], minlength=2) for given in compared.values()]
        tables = np.stack([unit_coincidences(count) for count in counts])  # n 2 2
        weights = group_weights(groups, resamples).numpy()  # draws n
        drawn = alpha_of(np.einsum("dn,nij->dij", weights, tables))
        drawn = drawn[np.isfinite(drawn)]  # a draw where all decisions are alike has no alpha
        if len(drawn) >= resamples / 2:
            low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    return {
        "alpha": krippendorff_alpha(units),
        "low": low,
        "high": high,
        "agreeing": agreeing_share(units),
        "clips": len(compared),
        "prompts": len({key.clips[clip].trial for clip in compared}),
        "groups": len(set(groups)),
    }


def _proxy(key: ReviewKey, votes: Votes, proxy: Annotator, resamples: int) -> dict[str, Any] | None:
    """How far the proxy chooses what people choose.

    `share` is that of pairs of the proxy and a person with one decision, a prompt counting once; `people` the same of
    pairs of people, where two have judged a clip. `alpha` is Krippendorff's of the pairs of the proxy and each person.
    `precision` and `recall` are about clips that at least half of the people would share.
    """
    own = votes_of([proxy])
    both = {clip: given for clip, given in votes.items() if clip in own}
    if not both:
        return None
    pairs = [(own[clip][PROXY], vote) for clip, given in both.items() for vote in given.values()]
    same, between = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for clip, given in both.items():
        trial = key.clips[clip].trial
        same[trial] += [float(own[clip][PROXY] == vote) for vote in given.values()]
        between[trial] += [float(one == other) for one, other in itertools.combinations(given.values(), 2)]
    wanted = {clip for clip, given in both.items() if np.mean(list(given.values())) >= MAJORITY}
    taken = {clip for clip in both if own[clip][PROXY]}
    reasons = Counter[str]()
    wrong = Counter[str]()
    for answer in proxy.answers.values():
        for clip, why in (answer.reasons or {}).items():
            if clip in both:
                reasons.update({reason.partition(" ")[0] for reason in why})
                wrong.update({reason.partition(" ")[0] for reason in why} if clip in wanted else ())
    return {
        **_mean({trial: float(np.mean(values)) for trial, values in same.items()}, key, resamples),
        "people": _mean({t: float(np.mean(values)) for t, values in between.items() if values}, key, resamples),
        "alpha": krippendorff_alpha(pairs),
        "clips": len(both),
        "taken": len(taken),
        "wanted": len(wanted),
        "precision": len(taken & wanted) / len(taken) if taken else None,
        "recall": len(taken & wanted) / len(wanted) if wanted else None,
        "reasons": {reason: {"rejected": count, "wanted": wrong[reason]} for reason, count in reasons.most_common()},
    }


def _row(one: Annotator, key: ReviewKey) -> dict[str, Any]:
    answers = list(one.answers.values())
    shown, chosen = sum(len(answer.shown) for answer in answers), sum(len(answer.chosen or ()) for answer in answers)
    firsts = [answer.shown[0] in (answer.chosen or ()) for answer in answers]
    return {
        "name": one.name,
        "answers": len(answers),
        "asked": len(key.trials),
        "shared": chosen / shown if shown else None,
        "none": sum(not answer.chosen for answer in answers) / len(answers) if answers else None,
        "first": sum(firsts) / len(firsts) if firsts else None,
        "seconds": one.seconds,
        "unusable": one.unusable,
        "mixed": one.mixed,
    }
