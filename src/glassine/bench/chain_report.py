"""The page of Animated Stickers from records: all networks on the same stills, distillation's effect, and ablations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from glassine.bench.chain import TEACHER, TITLES
from glassine.bench.gaps import SEEDS, row_gap, signed
from glassine.bench.intervals import Interval, ratio_interval
from glassine.bench.protocols import SETS
from glassine.bench.records import Record, read_records
from glassine.bench.specs import FLOORS
from glassine.bench.tables import NOTHING, Table, fixed, markdown, one_setup, short, write_text

RESULTS = Path("results") / "animated_stickers"
DISTILLED = ("guidance", "steps_8", "steps_4")  # compared with the student
DAMPED = 0.15  # largest acceptable relative change of motion by distillation
# what an ablation changes -> the changed row and the row beside it
ABLATIONS = {
    "the first frame as the still, not the middle one": ("teacher_first_frame", "teacher_every_other_frame"),
    "no amount of motion as a condition": ("teacher_no_motion", "teacher_every_other_frame"),
    "one stage, without general clips before": ("teacher_one_stage", "teacher_every_other_frame"),
    "STI layers, new in this stage": ("teacher_sti", "teacher_every_other_frame"),
    "a student of one teacher, not of all": ("one_teacher", "student"),
}
COLUMNS: dict[str, tuple[str, Any]] = {
    "fvd_glassine_native_{frames}f_white": ("fvd_glassine ↓", short),
    "kvd_glassine_native_{frames}f_white": ("kvd_glassine ↓", short),
    "clip_glassine_score_white": ("text agreement ↑", fixed(1)),
    "image_agreement": ("still agreement ↑", fixed(3)),
    "motion": ("motion", short),
    "motion_over_seeds": ("its spread over seeds", short),
    "loop_gap": ("loop gap", fixed(2)),
    "alpha_flicker": ("flicker of alpha", short),
}
COSTS = {"evaluations": ("evaluations a clip", short), "seconds_per_clip": ("s a clip", short)}


def place(record: Record) -> tuple[int, str]:
    """Sort key of a record: base, in-domain, teachers, student and its distillations, then the floors."""
    order = [*list(TITLES)[:2], TEACHER, *list(TITLES)[2:], *FLOORS]
    kind = TEACHER if record.method.startswith(TEACHER) else record.method
    return (order.index(kind) if kind in order else len(order)), record.title


def chain_table(records: Sequence[Record], condition: str) -> Table:
    """One row per network, then the floors of real clips."""
    columns = {name.format(frames=records[0].num_frames): column for name, column in COLUMNS.items()}
    head = ["network", *(title for title, _ in columns.values()), *(title for title, _ in COSTS.values())]
    rows = []
    for record in sorted(records, key=place):
        scores = record.conditions[condition].scores
        values = [(scores.get(name), write) for name, (_, write) in columns.items()]
        values += [(record.costs.get(name), write) for name, (_, write) in COSTS.items()]
        rows.append([record.title, *(NOTHING if value is None else write(value) for value, write in values)])
    return head, rows


def distilled_table(records: Sequence[Record], condition: str) -> Table:
    """Distilled networks against the student: differences and the ratio of motion, with 95% confidence intervals."""
    by_name = {record.method: record for record in records}
    student, rows = by_name.get("student"), []
    distance = distance_of(records)
    for record in (by_name[name] for name in DISTILLED if name in by_name and student is not None):
        assert student is not None
        gaps = [signed(row_gap([record], [student], name, [condition])) for name in (distance, "image_agreement")]
        motion = motion_ratio(record, student, condition)
        own, guided = (one.costs.get("evaluations") for one in (record, student))
        share = f"{own / guided:.2f}" if own and guided else NOTHING
        rows.append([record.title, *gaps, f"{motion.value:.2f} [{motion.low:.2f}, {motion.high:.2f}]", share])
    differences = ["fvd_glassine, difference", "still agreement, difference"]
    return ["network", *differences, "motion, ratio", "evaluations, ratio"], rows


def ablation_table(records: Sequence[Record], condition: str) -> Table:
    """Each change of `ABLATIONS` whose two rows are there: differences with 95% confidence intervals over stills."""
    by_name, rows = {record.method: record for record in records}, []
    for change, (name, other) in ABLATIONS.items():
        if name in by_name and other in by_name:
            changed, kept = by_name[name], by_name[other]
            cells = [
                signed(row_gap([changed], [kept], score, [condition]), digits)
                for score, digits in ((distance_of(records), 2), ("image_agreement", 3), ("loop_gap", 2))
            ]
            motion = motion_ratio(changed, kept, condition)
            cells.insert(2, f"{motion.value:.2f} [{motion.low:.2f}, {motion.high:.2f}]")
            rows.append([change, f"{changed.title}, {kept.title}", *cells])
    return ["change", "rows", "fvd_glassine ↓", "still agreement ↑", "motion, ratio", "loop gap"], rows


def distance_of(records: Sequence[Record]) -> str:
    """Name of the Fréchet distance in the records."""
    return f"fvd_glassine_native_{records[0].num_frames}f_white"


def motion_ratio(record: Record, other: Record, condition: str) -> Interval:
    """Ratio of the mean motion of two records, with a bootstrap over stills; seeds of a still are averaged first."""
    means = []
    for one in (record, other):
        found: dict[str, list[float]] = {}
        for group, value in one.conditions[condition].per_item("motion").values():
            found.setdefault(group, []).append(value)
        means.append({group: sum(values) / len(values) for group, values in found.items()})
    groups = sorted(means[0].keys() & means[1].keys())
    over, under = (torch.tensor([mean[group] for group in groups]) for mean in means)
    return ratio_interval(over, under)


def chain_page(records: Sequence[Record], split: str) -> str:
    """Text of the page; all `records` must be of one setup."""
    parts = [
        f"# Animated Stickers, split {split}",
        f"{records[0].num_frames} frames at {records[0].size} px. Each network animates the middle frames of held-out "
        "stickers by their captions; one with distilled steps takes its own, any other guided ones. Distances: the "
        "floor is real clips scored as if they had been made, and nothing below it can be told apart. Motion: mean "
        "change from frame to frame of premultiplied RGBA, x1000; neither more nor less is better, true clips tell "
        "what is right, as for looping (1: the last frame goes over into the first as any into the next) and flicker.",
    ]
    for condition in dict.fromkeys(name for record in records for name in record.conditions):
        shown = [record for record in records if condition in record.conditions]
        cells = [record.conditions[condition] for record in shown if record.method not in FLOORS]
        counts = f"{cells[0].stickers} clips of {cells[0].num_groups} groups a network." if cells else ""
        parts += [f"## On {SETS[condition]}", counts, markdown(chain_table(shown, condition))]
        head, rows = distilled_table(shown, condition)
        if rows:
            parts += [
                "Against the student that they were distilled from, with 95% intervals over stills. Motion may change "
                f"by {DAMPED:.0%} at most.",
                markdown((head, rows)),
            ]
        ablations = ablation_table(shown, condition)
        if ablations[1]:
            parts += [
                "What each ablation changes: the changed row minus the other, with 95% intervals over stills. Each "
                "network was trained once, so the intervals leave out what another seed of training "
                f"would change; an ordering takes {SEEDS} trainings.",
                markdown(ablations),
            ]
    ways = dict.fromkeys(
        f"{record.title}: `{record.weights}`, {', '.join(f'{name} {value}' for name, value in record.settings.items())}"
        for record in sorted(records, key=place)
        if record.method not in FLOORS
    )
    measured = dict.fromkeys(record.measured for record in records if record.costs.get("evaluations"))
    parts += ["\n".join(f"- {way}" for way in ways), *measured]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_chain(benchmarks: Path, split: str = "test") -> Path | None:
    """Write the page of a split from its records and return its path; None if there are no records."""
    from glassine.bench.report import one_test_set, page_of

    records = one_test_set(one_setup(read_records(benchmarks / RESULTS), split))
    if not any(record.method not in FLOORS for record in records):
        return None
    path = page_of(benchmarks / "animated_stickers.md", split)
    write_text(chain_page(records, split), path)
    return path
