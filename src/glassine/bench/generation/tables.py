"""VSD2M's tables 4, 5 and 7 from our records, the published ones beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glassine.bench.generation.methods import METHODS, TRAINING_SETS
from glassine.bench.generation.test_set import SETS
from glassine.bench.records import Record
from glassine.bench.rows import NOTHING, Row, fixed, parameters, percent, short, spread, typical
from glassine.bench.tables import Table, markdown, published_tables
from glassine.utils.files import atomic_path

Full = Mapping[str, Mapping[str, int]]
# score -> head, digits
COLUMNS = {
    "fvd_glassine_native_8f_white": ("fvd_glassine ↓", short),
    "clip_glassine_score_white": ("clip_glassine score ↑", fixed(1)),
    "clip_glassine_similarity_softmax_white": ("clip_glassine similarity ↑", fixed(3)),
    "clip_glassine_t2v_r5_white": ("clip_glassine text to clip R@5 ↑", percent),
}
# of the field's own networks; shown once any record has them
OPTIONAL = {
    "fvd_i3d_rep2_16f_white": ("FVD (I3D, rep2_16f) ↓", short),
    "vqa_fast_b_white": ("VQA (FAST-VQA-B) ↑", fixed(3)),
}


def method_table(records: Sequence[Record], training_set: str, test_set: str) -> Table:
    """Rows of the methods that were trained on one set, scored on another."""
    chosen = [record for record in records if record.data == training_set and test_set in record.conditions]
    columns = columns_of(chosen)
    head = ["method", *(title for title, _ in columns.values()), "s a clip", "parameters"]
    rows = []
    for row in method_rows(chosen):
        cells = [spread(row.score(test_set, name), write) for name, (_, write) in columns.items()]
        costs = [typical(row.cost("seconds_per_clip"), short), typical(row.cost("parameters"), parameters)]
        rows.append([row.label, *cells, *costs])
    return head, rows


def data_table(records: Sequence[Record], test_set: str, method: str = "sti") -> Table:
    """Rows of what one method was trained on."""
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
    """Scores that are shown."""
    present = {name for record in records for cell in record.conditions.values() for name in cell.scores}
    return COLUMNS | {name: column for name, column in OPTIONAL.items() if name in present}


def method_rows(records: Sequence[Record]) -> list[Row]:
    """Seeds of a method together, in the paper's order."""
    found = {name: tuple(record for record in records if record.method == name) for name in METHODS}
    return [Row(METHODS[name].title, seeds) for name, seeds in found.items() if seeds]


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


def about(records: Sequence[Record]) -> str:
    """What the numbers are of."""
    first = next(record for record in records if record.conditions)
    counts = {name: cell.stickers for record in records for name, cell in record.conditions.items()}
    clips = ", ".join(f"{count} {SETS[name]}" for name, count in counts.items())
    sampler = f"{first.settings['sampler']} steps, guidance {first.settings['guidance_scale']}"
    return (
        f"Every method: {first.costs['steps']:.0f} steps, {first.num_frames} frames of {first.size} x {first.size}; "
        "the diffusion methods train temporal layers on one image network, as in the paper. Clips are made for the "
        f"captions of held-out stickers ({clips}), one a caption, with {sampler}, and scored on white. `fvd_glassine` "
        "and `clip_glassine` are made by the suite's own evaluators: they compare with each other alone, never with "
        "FVD or CLIP scores. VideoGPT is told tags, not captions. Seconds are those of 25 steps of DDIM with guidance "
        f"for one clip (VideoGPT: all codes, one by one), on {first.costs_on}."
    )


def generation_report(records: Sequence[Record], published: Sequence[dict[str, Any]], full: Full) -> str:
    """All of `generation.md`."""
    parts = [
        "# Text to sticker\n\nGenerated by `make benchmark` from `results/generation/*.json`; edit nothing here.",
        about(records),
    ]
    for test_set in SETS:
        if any(record.data == test_set for record in records):
            table = markdown(method_table(records, test_set, test_set))
            parts.append(f"## Table 4: {SETS[test_set]}, trained on such alone\n\n{table}")
    for test_set in SETS:
        if any(record.data == "both" and test_set in record.conditions for record in records):
            table = markdown(method_table(records, "both", test_set))
            parts.append(f"## Table 7: {SETS[test_set]}, trained on both together\n\n{table}")
    for test_set in SETS:
        if any(record.method == "sti" and test_set in record.conditions for record in records):
            table = markdown(data_table(records, test_set))
            parts.append(f"## Table 5: STI tested on {SETS[test_set]}\n\n{table}")
    parts.append(
        "## Figure 6: scores against training steps\n\nFirst seeds, real stickers.\n\n![scores](generation.png)"
    )
    parts.append(f"## Full size\n\nMillions of parameters.\n\n{markdown(parameter_table(full))}")
    parts.append(f"## Published, on other data, not measured here\n\n{published_tables(published)}")
    return "\n\n".join(parts) + "\n"


def write_report(text: str, path: Path) -> None:
    """Write the file."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
