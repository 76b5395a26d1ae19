"""The tables of transparent clips from records: Layer-Animate's table I and ablation, and how clips are made here.

Published numbers are of other networks on other data. They are in separate tables or in columns marked as published.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from glassine.bench.generation_report import FLOORS_SAID
from glassine.bench.parameter_counts import count_layer_animate
from glassine.bench.protocols import SETS, TEST_SET
from glassine.bench.records import Record
from glassine.bench.specs import ANIMATION, START, TRANSPARENT, start_of
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
from glassine.bench.video_methods import REFERENCE_TITLES

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
UNEQUAL_RATES = (
    "these records have true clips at their own 5.7 frames a second, whose threshold is higher, and made ones at 8"
)
LOOPED = "What is cut out is made in 8 frames, played as a loop until the clip is full."
SHOWN_TWICE = (
    "What is cut out is made in 8 frames, each of which is shown twice, so that it cannot flicker and moves half as "
    "much."
)


def animation_table(
    records: Sequence[Record],
    names: Sequence[str],
    columns: Mapping[str, tuple[str, Any]],
    published: Sequence[dict[str, Any]] = (),
    test_set: str = TEST_SET,
) -> Table:
    """A table of animation methods.

    Args:
        records: of methods and references.
        names: methods or references with a row, if they have records; followed by step 0 and `ALWAYS`.
        columns: score -> (title of the column, format of its values).
        published: numbers of the paper, which get their own columns if they are of one of the rows.
        test_set: key of `SETS`.
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
        if seeds := tuple(record for record in records if record.method == name and test_set in record.conditions):
            row = Row(titles[name], seeds)
            cells = [spread(row.score(test_set, score), write) for score, (_, write) in columns.items()]
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
    if any("second" in record.conditions for record in records):
        columns = shown_columns(records, SEEN | ANIMATION_OPTIONAL)
        found = [animation_table(records, tuple(ANIMATION), one, (), "second") for one in (columns, ALPHA)]
        parts.append("\n\n".join([f"## Table I on {SETS['second']}", *map(markdown, found)]))
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
