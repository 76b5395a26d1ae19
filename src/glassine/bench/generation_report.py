"""The tables of text to sticker from records: VSD2M's tables 4, 5 and 7.

Published numbers are of other networks on other data and are in separate tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from glassine.bench.protocols import SETS, TEST_SET
from glassine.bench.records import Record
from glassine.bench.run import Spec
from glassine.bench.specs import FLOORS, METHODS, NOT_COMPARABLE, POSITIONS, START, TRAINING_SETS
from glassine.bench.tables import (
    NOTHING,
    Row,
    Table,
    counted,
    fixed,
    markdown,
    parameters,
    percent,
    published_tables,
    short,
    shown_columns,
    spread,
    typical,
)

Full = Mapping[str, Mapping[str, int]]
# score -> (title of the column, format of its values)
GENERATION_COLUMNS = {
    "fvd_glassine_native_8f_white": ("fvd_glassine ↓", short),
    "kvd_glassine_native_8f_white": ("kvd_glassine ↓", short),
    "clip_glassine_score_white": ("clip_glassine score ↑", fixed(1)),
    "clip_glassine_similarity_softmax_white": ("clip_glassine similarity ↑", fixed(3)),
    "clip_glassine_t2v_r5_white": ("clip_glassine text to clip R@5 ↑", percent),
}
# scores by public networks (I3D, FAST-VQA); shown if any record has them
GENERATION_OPTIONAL = {
    "fvd_i3d_rep2_16f_white": ("FVD (I3D, rep2_16f) ↓", short),
    "kvd_i3d_rep2_16f_white": ("KVD (I3D, rep2_16f) ↓", short),
    "vqa_fast_b_white": ("VQA (FAST-VQA-B) ↑", fixed(3)),
}


def method_table(
    records: Sequence[Record], training_set: str, test_set: str, methods: Mapping[str, Spec] = METHODS
) -> Table:
    """The methods trained on `training_set` and scored on `test_set`, followed by step 0 and the floors."""
    tested = [record for record in records if test_set in record.conditions]
    chosen = [record for record in tested if record.data == training_set and record.method in methods]
    beside = [record for record in tested if record.method in FLOORS or record.method.endswith(START)]
    columns = columns_of(chosen)
    head = ["method", *(title for title, _ in columns.values()), "s a clip", "parameters"]
    rows = []
    for row in [*method_rows(chosen, methods), *(Row(record.title, (record,)) for record in sorted(beside, key=last))]:
        cells = [spread(row.score(test_set, name), write) for name, (_, write) in columns.items()]
        costs = [typical(row.cost("seconds_per_clip"), short), typical(row.cost("parameters"), parameters)]
        rows.append([row.label, *cells, *costs])
    return head, rows


def data_table(records: Sequence[Record], test_set: str, method: str = "sti") -> Table:
    """One method on `test_set`, with one row for each of its training sets."""
    chosen = [record for record in records if record.method == method and test_set in record.conditions]
    columns = columns_of(chosen)
    head = ["trained on", *(title for title, _ in columns.values())]
    rows = []
    for name, training_set in TRAINING_SETS.items():
        seeds = tuple(record for record in chosen if record.data == name)
        if seeds:
            row = Row(training_set.title, seeds)
            cells = [spread(row.score(test_set, score), write) for score, (_, write) in columns.items()]
            rows.append([row.label, *cells])
    return head, rows


def columns_of(records: Sequence[Record]) -> dict[str, tuple[str, Any]]:
    """The columns of VSD2M's tables that any record has a score for."""
    return shown_columns(records, GENERATION_COLUMNS | GENERATION_OPTIONAL)


def last(record: Record) -> int:
    """Sort key of rows below the methods: step 0 first, then the floors."""
    return FLOORS.index(record.method) + 1 if record.method in FLOORS else 0


def method_rows(records: Sequence[Record], methods: Mapping[str, Spec] = METHODS) -> list[Row]:
    """One row per method with all its seeds, in the paper's order; the title says why a row cannot be compared."""
    found = {name: tuple(record for record in records if record.method == name) for name in methods}
    titles = {
        name: one.title + (f" ({NOT_COMPARABLE[name]})" if name in NOT_COMPARABLE else "")
        for name, one in methods.items()
    }
    return [Row(titles[name], seeds) for name, seeds in found.items() if seeds]


def parameter_table(full: Full) -> Table:
    """Parameters of the full-size networks by part, in millions."""
    parts = list(dict.fromkeys(part for counts in full.values() for part in counts))
    head = ["method", *parts, "total"]
    rows = [
        [
            name,
            *(fixed(3)(counts[part] / 1e6) if part in counts else NOTHING for part in parts),
            fixed(3)(sum(counts.values()) / 1e6),
        ]
        for name, counts in full.items()
    ]
    return head, rows


FLOORS_SAID = (
    "Training clips are as many as are made, scored as if they had been: a method that is nearer to the test clips is "
    "not so by its merit. True clips have the distance of one half of their groups from the other, at half the n, "
    "where a Fréchet distance is larger; the kernel distance does not depend on n. "
)


def about_generation(records: Sequence[Record]) -> str:
    """The caption of the generation tables: how their numbers were measured."""
    has_floors = any(record.method in FLOORS for record in records)
    records = [record for record in records if record.method in METHODS] or list(records)
    first = next(record for record in records if record.conditions)
    counts = {name: counted(cell) for record in records for name, cell in record.conditions.items()}
    clips = ", ".join(f"{count} of {SETS[name]}" for name, count in counts.items())
    sampler = f"{first.settings['sampler']} steps, guidance {first.settings['guidance_scale']}"
    return (
        f"Every method: {first.costs['steps']:.0f} steps, {first.num_frames} frames of {first.size} x {first.size}; "
        "the diffusion methods train temporal layers on one image network, as in the paper. Clips are made for the "
        f"captions of held-out stickers, split `{first.split}` ({clips}), with {sampler}, and scored on white. "
        f"{FLOORS_SAID if has_floors else ''}`fvd_glassine` "
        "and `clip_glassine` are made by the suite's own evaluators: they compare with each other alone, never with "
        "FVD or CLIP scores. VideoGPT is told tags, not captions. Seconds are those of 25 steps of DDIM with guidance "
        f"for one clip (VideoGPT: all codes, one by one), on {first.costs_on}."
    )


def generation_report(records: Sequence[Record], published: Sequence[dict[str, Any]], full: Full) -> str:
    """Text of `generation.md`."""
    parts = [
        "# Text to sticker\n\n"
        "Generated by `glassine benchmark tables` from `results/generation/*.json`; edit nothing here.",
        about_generation(records),
    ]
    for test_set in SETS:
        if any(record.data == test_set for record in records):
            table = markdown(method_table(records, test_set, test_set))
            parts.append(f"## Table 4: {SETS[test_set]}, trained on such alone\n\n{table}")
    if any(record.data == TEST_SET and "second" in record.conditions for record in records):
        table = markdown(method_table(records, TEST_SET, "second"))
        parts.append(f"## {SETS['second'].capitalize()}, trained on real stickers of the first\n\n{table}")
    for test_set in SETS:
        if any(record.data == "both" and test_set in record.conditions for record in records):
            table = markdown(method_table(records, "both", test_set))
            parts.append(f"## Table 7: {SETS[test_set]}, trained on both together\n\n{table}")
    for test_set in SETS:
        if any(record.method == "sti" and test_set in record.conditions for record in records):
            table = markdown(data_table(records, test_set))
            parts.append(f"## Table 5: STI tested on {SETS[test_set]}\n\n{table}")
    if len({record.method for record in records if record.method in POSITIONS and record.data == TEST_SET}) > 2:
        table = markdown(method_table(records, TEST_SET, TEST_SET, POSITIONS))
        parts.append(f"## Positions in the attention: {SETS[TEST_SET]}\n\n{table}")
    parts.append(
        "## Figure 6: scores against training steps\n\nFirst seeds, real stickers.\n\n![scores](generation.png)"
    )
    parts.append(f"## Full size\n\nMillions of parameters.\n\n{markdown(parameter_table(full))}")
    parts.append(f"## Published, on other data, not measured here\n\n{published_tables(published)}")
    return "\n\n".join(parts) + "\n"
