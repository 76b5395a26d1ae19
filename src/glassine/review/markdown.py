"""A review's report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glassine.review.report import FEW_GROUPS
from glassine.study.markdown import NOTHING, escaped, percent, table


def to_markdown(report: Mapping[str, Any]) -> str:
    """Tables of `make_report`'s values."""
    parts = [f"# {escaped(report['title'])}", _about(report)]
    heads = ("teacher", "would be shared", "95% interval", "clips judged, times shared")
    rows = sorted(report["teachers"].items(), key=lambda pair: -(pair[1]["share"] or 0))
    parts += [
        "## Teachers",
        table(
            heads,
            [(name, *_with_interval(one), f"{one['decisions']}, {one['shared']} shared") for name, one in rows],
        ),
    ]
    ensemble = report["ensemble"]
    if ensemble["any"]["share"] is not None:
        one, alone = (_with_interval(ensemble[name]) for name in ("any", "best_alone"))
        parts.append(
            f"A clip to share, of any teacher: {one[0]} of the prompts ({one[1]}); of the best one alone, "
            f"{escaped(ensemble['best'])}: {alone[0]} ({alone[1]})."
        )
    parts += _agreement(report)
    parts += _proxy(report)
    parts += _annotators(report)
    return "\n\n".join(parts) + "\n"


def _about(report: Mapping[str, Any]) -> str:
    judges = [one for one in report["annotators"] if one["answers"] and one["name"] != "proxy"]
    who = {
        "people": f"{len(judges)} {'person' if len(judges) == 1 else 'people'}",
        "proxy": "**No people chose**: all numbers are the proxy's",
        "nobody": "Nobody has answered yet",
    }[report["judged_by"]]
    text = (
        f"{who}; {report['answered']} of {report['prompts']} prompts answered, {report['clips']} clips, "
        f"{len(report['teachers'])} teachers. Review `{report['review']}`, built {report['built']}, reported "
        f"{report['date']}. Intervals: 95%, bootstrap over the {report['groups']} groups of the stills, "
        f"{report['resamples']:,} draws."
    )
    if report["judged_by"] != "nobody" and report["groups"] < FEW_GROUPS:
        text += f" With fewer than {FEW_GROUPS} groups they are rough, and too narrow."
    if len(judges) == 1:
        text += " With one person they do not generalize to other people."
    return text


def _agreement(report: Mapping[str, Any]) -> list[str]:
    agreement = report["agreement"]
    if agreement is None:
        return []
    parts = ["## Agreement"]
    if agreement["agreeing"] is None:
        return [*parts, "No clip was judged by two people yet."]
    share = f"{percent(agreement['agreeing'])} of the pairs of decisions about one clip agree"
    where = f"{agreement['clips']} clips of {agreement['prompts']} prompts that two or more people judged"
    if agreement["alpha"] is None:
        return [*parts, f"{share} ({where}). All decisions are the same, so that alpha is undefined."]
    interval = "" if agreement["low"] is None else f" ({agreement['low']:.2f} to {agreement['high']:.2f})"
    text = f"Krippendorff's alpha {agreement['alpha']:.2f}{interval}, nominal, a clip a unit; {share} ({where})."
    if agreement["groups"] < FEW_GROUPS:
        text += f" From {agreement['groups']} groups alpha says little."
    return [*parts, text]


def _proxy(report: Mapping[str, Any]) -> list[str]:
    proxy = report["proxy"]
    if proxy is None:
        return []
    alpha = "undefined" if proxy["alpha"] is None else f"{proxy['alpha']:.2f}"
    share, interval = _with_interval(proxy)
    text = (
        f"The proxy decides as a person does for {share} ({interval}) of the clips that both judged, Krippendorff's "
        f"alpha {alpha}"
    )
    if proxy["people"]["share"] is not None:
        people, of_people = _with_interval(proxy["people"])
        text += f"; two people do for {people} ({of_people})"
    text += (
        f". It chose {proxy['taken']} of {proxy['clips']} clips; at least half of the people chose {proxy['wanted']}. "
        f"Of the proxy's {percent(proxy['precision'])} are among people's, of people's {percent(proxy['recall'])} are "
        "among the proxy's."
    )
    parts = ["## The proxy", text]
    if proxy["reasons"]:
        rows = [(name, str(one["rejected"]), str(one["wanted"])) for name, one in proxy["reasons"].items()]
        parts.append(table(("rejected for", "clips", "of them wanted by people"), rows))
    return parts


def _annotators(report: Mapping[str, Any]) -> list[str]:
    heads = ("annotator", "prompts", "clips shared", "none of them", "first one shared", "median time")
    rows = [
        (
            one["name"],
            f"{one['answers']} of {one['asked']}",
            *(percent(one[name]) for name in ("shared", "none", "first")),
            NOTHING if one["seconds"] is None else f"{one['seconds']:.1f} s",
        )
        for one in report["annotators"]
    ]
    parts = ["## Annotators", table(heads, rows)]
    if broken := [f"{one['name']}: {one['unusable']}" for one in report["annotators"] if one["unusable"]]:
        parts.append(f"Lines that are truncated or not answers, skipped: {', '.join(map(escaped, broken))}.")
    if mixed := [one["name"] for one in report["annotators"] if one["mixed"]]:
        parts.append(
            f"Answers of two open pages alternate: {', '.join(map(escaped, mixed))}. Two people with one name, or two "
            "tabs of one; the later answer to a prompt counts."
        )
    return parts


def _with_interval(values: Mapping[str, Any]) -> tuple[str, str]:
    interval = NOTHING if values["low"] is None else f"{percent(values['low'])} to {percent(values['high'])}"
    return percent(values["share"]), interval
