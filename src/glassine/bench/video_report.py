"""Tables of generated clips from records: VSD2M's tables 4, 5 and 7, and Layer-Animate's table I and ablation.

Published numbers are of other networks on other data. They are in separate tables or in columns marked as published.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from glassine.bench.parameter_counts import count_layer_animate
from glassine.bench.protocols import SETS
from glassine.bench.records import Cell, Record
from glassine.bench.run import Spec
from glassine.bench.specs import (
    ANIMATION,
    METHODS,
    NOT_COMPARABLE,
    POSITIONS,
    START,
    TRAINING_SETS,
    TRANSPARENT,
    start_of,
)
from glassine.bench.tables import (
    NOTHING,
    Row,
    Table,
    fixed,
    markdown,
    parameters,
    percent,
    published_tables,
    short,
    spread,
    typical,
)
from glassine.bench.video_methods import REFERENCE_TITLES

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
TEST_SET = "stickers"
TABLE_I = ("motion_module", "still_moving", "layer_animate")
ABLATION = ("layer_animate", "without_attention", "first_frame")
ROUTES = ("ildiff", "latents")
MOTION = tuple(name for name in REFERENCE_TITLES if name.startswith("motion_"))
SECTIONS = {
    "animation": ("Table I", TABLE_I),
    "animation_ablation": ("Ablation", ABLATION),
    "animation_routes": ("Two ways to transparent clips, as they ship", ROUTES),
    "animation_motion": ("Motion that is asked for (`--motion`), as it ships", MOTION),
}
ANIMATION_PUBLISHED = ("CLIP score", "dynamic degree")
PARTS = {
    "spatial": "Stable Diffusion 1.5's UNet",
    "motion_modules": "AnimateDiff's motion adapter",
    "inter_frame_attention": "Inter-Frame Attention, all that is trained",
}
ALWAYS = ("train", "true", "codec")
FLOORS = ("train", "true")
SEEN = {
    "clip_glassine_score_white": ("clip_glassine score ↑", fixed(1)),
    "fvd_glassine_native_16f_white": ("fvd_glassine, white ↓", short),
    "fvd_glassine_native_16f_black": ("fvd_glassine, black ↓", short),
    "kvd_glassine_native_16f_white": ("kvd_glassine, white ↓", short),
    "kvd_glassine_native_16f_black": ("kvd_glassine, black ↓", short),
    "dynamic_degree_farneback_moving_gray": ("dynamic degree (Farnebäck, gray) ↑", percent),
    "dynamic_degree_farneback_top5_gray": ("fastest 5% of the flow, px", short),
    "dynamic_degree_farneback_flow_gray": ("mean flow, px", short),
}
# scores by public networks (I3D, RAFT); shown if any record has them
ANIMATION_OPTIONAL = {
    "fvd_i3d_native_16f_white": ("FVD (I3D, 16 frames, white) ↓", short),
    "fvd_i3d_native_16f_black": ("FVD (I3D, 16 frames, black) ↓", short),
    "dynamic_degree_raft_large_moving_gray": ("dynamic degree (RAFT, gray) ↑", percent),
    "dynamic_degree_raft_large_top5_gray": ("fastest 5% of RAFT's flow, px", short),
    "dynamic_degree_raft_large_flow_gray": ("mean RAFT flow, px", short),
}
ALPHA = {
    "alpha_overlap": ("overlap with the middle frame's alpha", fixed(3)),
    "alpha_levels": ("change of its levels", short),
    "alpha_motion": ("motion of alpha", short),
    "alpha_flicker": ("flicker of alpha ↓", short),
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


def shown_columns(records: Sequence[Record], columns: Mapping[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """Those of `columns` for which any record has a score."""
    present = {name for record in records for cell in record.conditions.values() for name in cell.scores}
    return {name: column for name, column in columns.items() if name in present}


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


UNEQUAL_RATES = (
    "these records have true clips at their own 5.7 frames a second, whose threshold is higher, and made ones at 8"
)
LOOPED = "What is cut out is made in 8 frames, played as a loop until the clip is full."
SHOWN_TWICE = (
    "What is cut out is made in 8 frames, each of which is shown twice, so that it cannot flicker and moves half as "
    "much."
)


def counted(cell: Cell) -> str:
    """Text with the number of clips, groups and seeds per caption."""
    if cell.num_groups is None:
        return f"{cell.stickers} clips, groups not recorded"
    seeds = -(-cell.stickers // cell.num_groups)
    return f"{cell.stickers} clips of {cell.num_groups} groups, {seeds} seed{'s' if seeds > 1 else ''} a caption"


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


def animation_table(
    records: Sequence[Record],
    names: Sequence[str],
    columns: Mapping[str, tuple[str, Any]],
    published: Sequence[dict[str, Any]] = (),
) -> Table:
    """A table of animation methods.

    Args:
        records: of methods and references.
        names: methods or references with a row, if they have records; followed by step 0 and `ALWAYS`.
        columns: score -> (title of the column, format of its values).
        published: numbers of the paper, which get their own columns if they are of one of the rows.
    """
    titles = REFERENCE_TITLES | {name: method.title for name, method in ANIMATION.items()}
    starts = {name + START: start_of(ANIMATION[name]).title for name in names if name in ANIMATION}
    titles |= starts
    printed = {row["name"]: row for entry in published for row in entry["rows"]}
    theirs = ANIMATION_PUBLISHED if any(titles[name] in printed for name in names) else ()
    head = ["", *(f"published {name}" for name in theirs), *(title for title, _ in columns.values())]
    head += ["s a clip", "parameters"]
    rows = []
    for name in (*names, *starts, *ALWAYS):
        if seeds := tuple(record for record in records if record.method == name and TEST_SET in record.conditions):
            row = Row(titles[name], seeds)
            cells = [spread(row.score(TEST_SET, score), write) for score, (_, write) in columns.items()]
            costs = [typical(row.cost("seconds_per_clip"), short), typical(row.cost("parameters"), parameters)]
            cells = [str(printed.get(titles[name], {}).get(column, NOTHING)) for column in theirs] + cells
            rows.append([row.label, *cells, *costs])
    return head, rows


def animation_report(records: Sequence[Record], published: Sequence[dict[str, Any]]) -> str:
    """Text of `animation.md`."""
    records = one_budget(records)
    parts = [
        "# Transparent clips\n\n"
        "Generated by `glassine benchmark tables` from `results/animation/*.json`; edit nothing here.",
        about_animation(records),
    ]
    for name, tables in sections(records, published).items():
        parts.append(f"## {SECTIONS[name][0]}\n\n{tables}")
    if codec := accuracy(records):
        parts.append(codec)
    parts.append(f"## Full size\n\nMillions of parameters.\n\n{markdown(full_size())}")
    parts.append(f"## Published, on other data, not measured here\n\n{published_tables(published)}")
    return "\n\n".join(parts) + "\n"


def full_size() -> Table:
    """Parameters of Layer-Animate's network at full size by part, in millions."""
    return ["part", "parameters"], [[PARTS[part], fixed(3)(n / 1e6)] for part, n in count_layer_animate().items()]


def readme_blocks(records: Sequence[Record], published: Sequence[dict[str, Any]] = ()) -> dict[str, str]:
    """Tables by name, for the README; the first includes the caption."""
    records = one_budget(records)
    found = sections(records, published)
    about = about_animation(records)
    return {name: f"{text}\n\n{about}" if name == "animation" else text for name, text in found.items()}


def about_animation(records: Sequence[Record]) -> str:
    """The caption of the animation tables: how their numbers were measured."""
    scored = [record for record in records if record.conditions]
    first = next((record for record in scored if record.method in ANIMATION), scored[0])
    has_floors = any(record.method == "train" for record in records)
    paced = "dynamic_degree_farneback_repeated_gray" in first.conditions[TEST_SET].scores
    budgets = [own for record in records if (own := record.costs.get("steps"))]
    steps = f"{budgets[0]:.0f} steps" if budgets else "equally many steps"
    sampler = f"{first.settings['sampler']} steps, guidance {first.settings['guidance_scale']}"
    return (
        f"Every method: {steps} a stage (Still-Moving has two) on the same image network and motion modules, "
        f"{first.num_frames} frames of {first.size} x {first.size}. Clips are made for the captions of "
        f"held-out stickers, split `{first.split}` ({counted(first.conditions[TEST_SET])}), with {sampler}. "
        f"{FLOORS_SAID if has_floors else ''}`clip_glassine` and "
        "`fvd_glassine` are made by the suite's own evaluators on white and compare with each other alone, never with "
        "CLIP scores or FVD. Dynamic degree is VBench's rule on Farnebäck's flow, on gray, which lowers it; "
        f"{'all rows have 8 frames a second' if paced else UNEQUAL_RATES}. Of alpha: "
        "what each frame shares with the middle one (1: the same shape in the same place), how far its levels are from "
        "that frame's wherever they lie, how much changes from frame to frame, and what comes and goes within one "
        f"frame (the last three x1000). True clips tell what is right. {LOOPED if paced else SHOWN_TWICE} "
        "Seconds are those of one clip by 25 steps of DDIM with "
        f"guidance, and by as many before it for the base image where a method wants one, on {first.costs_on}. What "
        "ships reads beside every frame its base image, moved as the prompt suggests (`mean_of_given`, `MotionPrior`), "
        "and has no guidance by text there, but one by the amount of motion where that is asked for; its alpha is "
        "stretched (`alpha_levels`). The trained rows, as the paper's, do none of this. Published numbers are on other "
        "data by other networks: compare them with each other alone."
    )


def sections(records: Sequence[Record], published: Sequence[dict[str, Any]] = ()) -> dict[str, str]:
    """The two tables (`SEEN`, with published numbers, and `ALPHA`) of each of `SECTIONS` that has a row."""
    seen = shown_columns(records, SEEN | ANIMATION_OPTIONAL)
    return {
        name: "\n\n".join(markdown(animation_table(records, names, *how)) for how in ((seen, published), (ALPHA, ())))
        for name, (_, names) in SECTIONS.items()
        if any(record.method in names for record in records)
    }


def one_budget(records: Sequence[Record]) -> list[Record]:
    """Without records of trained methods whose number of steps differs from the most frequent one."""
    steps = [budget for record in records if record.data == TRANSPARENT and (budget := record.costs.get("steps"))]
    chosen = max(steps, key=steps.count, default=None)
    return [record for record in records if record.data != TRANSPARENT or record.costs.get("steps") == chosen]


def accuracy(records: Sequence[Record]) -> str:
    """A section on the codec's accuracy: alpha of true clips after encoding and decoding; empty without a record."""
    found = [record.conditions[TEST_SET].scores for record in records if record.method == "codec"]
    shown = {"psnr_mean": "PSNR", "ssim": "SSIM", "mad": "MAD", "dtssd": "dtSSD", "flicker": "flicker"}
    values = {title: found[0].get(name) for name, title in shown.items()} if found else {}
    said = ", ".join(f"{title} {short(value)}" for title, value in values.items() if value is not None)
    if not said:
        return ""
    return (
        "## Alpha where its truth is known\n\nTrue clips that go through the adjusted latents and back, against "
        f"themselves: {said} (`MattingScores`). It is what the codec itself costs."
    )
