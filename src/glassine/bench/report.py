"""Write all pages of `benchmarks/` and the tables in the README from records, without measuring anything.

`write_all` implements `glassine benchmark tables`. A page without records is not written; the command that would create
its records is returned instead.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glassine.bench.ablation_report import alike, config_of, depth_block, depth_page, variants_page
from glassine.bench.alpha_report import front_block, full_tables, overview_block, paper_block
from glassine.bench.chain_report import write_chain
from glassine.bench.claims import FLOOR, claims_page, judge_all, read_claims, verdict_block
from glassine.bench.protocols import SECOND
from glassine.bench.records import Record, read_records
from glassine.bench.stills import write_stills
from glassine.bench.styles import write_styles
from glassine.bench.tables import markdown, one_setup, read_optional, write_blocks, write_text
from glassine.utils.errors import UserError

ALPHA_RESULTS = Path("results") / "alpha"
GENERATION_RESULTS = Path("results") / "generation"
GENERATION_STEPS = Path("results") / "generation_steps"  # of checkpoints during training
ANIMATION_RESULTS = Path("results") / "animation"
DATA_RECORD = Path("results") / "data_speed.json"
GPU_RECORD = Path("results") / "gpu_generation.json"
PROBES = Path("results") / "distill"
FIRST = ("stickers", "stickers")  # training and test set of the README's table


def ablation_records(
    benchmarks: Path, name: str, one: Record | None = None, configs: Collection[str] | None = None
) -> list[Record]:
    """The records of an ablation that one table may show.

    Args:
        benchmarks: folder with `results`.
        name: of the ablation, `depth` or `variants`.
        one: a record whose kind selects the others; None for the kind with the most records. See `alike`.
        configs: YAMLs of the arms, to exclude records of other YAMLs; None for all.
    """
    records = alike(read_records(benchmarks / "results" / f"ablate_{name}"), one)
    return [record for record in records if configs is None or config_of(record) in configs]


def write_ablation(name: str, records: Sequence[Record], benchmarks: Path) -> None:
    """Write `ablate_NAME.md`, and for the depth ablation also the plot."""
    if name == "depth":
        from glassine.bench.plots import plot_depths

        published = read_optional(benchmarks / "published.yaml") or ()
        write_text(depth_page(records, published), benchmarks / "ablate_depth.md")
        plot_depths(records, benchmarks / "ablate_depth.png")
    else:
        write_text(variants_page(records), benchmarks / f"ablate_{name}.md")


def write_alpha(benchmarks: Path, readme: Path | None = None) -> list[Record]:
    """Write `tables.md` and the README's blocks, and return the records that are shown.

    Shown are the records of the test split with the largest common set of stickers, those of the second domain, and
    those of the depth ablation.

    Args:
        benchmarks: folder with `results/alpha` and `published.yaml`.
        readme: file with markers; None, or a file that does not exist, for none.

    Returns:
        The records; an empty list, and nothing is written, if there are no scores.
    """
    found = read_records(benchmarks / ALPHA_RESULTS)
    records = one_setup([record for record in found if record.data != SECOND])
    if not any(record.conditions for record in records):
        return []
    second = one_setup([record for record in found if record.data == SECOND])
    published = read_optional(benchmarks / "published.yaml") or []
    by_depth = ablation_records(benchmarks, "depth")
    write_text(full_tables(records, published, by_depth, second), benchmarks / "tables.md")
    blocks = {"front": front_block(records), "alpha": overview_block(records), "paper": paper_block(records, published)}
    blocks |= {"second": overview_block(second)} if second else {}
    write_blocks(readme, blocks | ({"depth": depth_block(by_depth, published)} if by_depth else {}))
    return records


def generation_records(benchmarks: Path, steps: float | None = None, split: str = "test") -> list[Record]:
    """The records that one page of generation may show: one number of training steps, test set and split.

    Records of networks before training and of references are included.

    Args:
        benchmarks: folder with `results`.
        steps: training steps of the runs; None for the most frequent number.
        split: of the stickers.
    """
    found = [record for record in read_records(benchmarks / GENERATION_RESULTS) if record.split == split]
    budgets = [budget for record in found if (budget := record.costs.get("steps"))]
    chosen = max(budgets, key=budgets.count, default=None) if steps is None else steps
    if chosen is None:
        return []
    return one_test_set([record for record in found if (record.costs.get("steps") or 0) in (0, chosen)])


def one_test_set(records: Sequence[Record]) -> list[Record]:
    """Keep only cells on the same test stickers, those with the most groups; the floor keeps all cells.

    Records without cells left are dropped, unless they have `missing` set.
    """
    shown: dict[str, frozenset[str]] = {}
    for record in records:
        for condition, cell in record.conditions.items():
            groups = frozenset(cell.groups)
            if record.method != FLOOR and len(groups) >= len(shown.get(condition, ())):
                shown[condition] = groups
    kept = []
    for record in records:
        cells = {
            name: cell
            for name, cell in record.conditions.items()
            if record.method == FLOOR or frozenset(cell.groups) == shown.get(name)
        }
        if cells or record.missing:
            kept.append(replace(record, conditions=cells))
    return kept


def write_generation(
    benchmarks: Path, steps: int | None = None, readme: Path | None = None, split: str = "test"
) -> list[Record]:
    """Write `generation.md` and `generation.png`, and return the records that are shown.

    Args:
        benchmarks: folder with `results`.
        steps: training steps of the runs; None for the most frequent number.
        readme: file for the first part of table 4.
        split: of the stickers. Pages of splits other than `test` have their own names, and their numbers are never
            written into the README.
    """
    from glassine.bench.generation_report import about_generation, generation_report, method_table
    from glassine.bench.parameter_counts import METHODS as FULL_SIZE
    from glassine.bench.parameter_counts import count_parameters
    from glassine.bench.plots import plot_steps

    records = generation_records(benchmarks, steps, split)
    trained = [record for record in records if record.costs.get("steps")]
    if trained:
        chosen = trained[0].costs["steps"]
        along = [
            record
            for record in read_records(benchmarks / GENERATION_STEPS)
            if record.split == split and f"-{chosen:.0f}steps" in record.weights
        ]
        full = {name: count_parameters(parts) for name, parts in FULL_SIZE.items()}
        published = read_optional(benchmarks / "published_vsd2m.yaml") or []
        write_text(generation_report(records, published, full), page_of(benchmarks / "generation.md", split))
        plot_steps([*along, *trained], page_of(benchmarks / "generation.png", split))
        block = f"{markdown(method_table(records, *FIRST))}\n\n{about_generation(records)}"
        write_blocks(readme if split == "test" else None, {"generation": block})
    return records


def page_of(path: Path, split: str) -> Path:
    """The path of a page: unchanged for `test`, which is published; with the split in its name for other splits."""
    return path if split == "test" else path.with_stem(f"{path.stem}_{split}")


def animation_records(benchmarks: Path, split: str = "test") -> list[Record]:
    """The records on the animation page of a split."""
    return one_test_set([one for one in read_records(benchmarks / ANIMATION_RESULTS) if one.split == split])


def write_animation(benchmarks: Path, readme: Path | None = None, split: str = "test") -> list[Record]:
    """Write `animation.md` and the README's blocks, and return the records; see `write_generation`."""
    from glassine.bench.animation_report import animation_report, readme_blocks

    records = animation_records(benchmarks, split)
    if records:
        published = read_optional(benchmarks / "published_layer_animate.yaml") or []
        write_text(animation_report(records, published), page_of(benchmarks / "animation.md", split))
        write_blocks(readme if split == "test" else None, readme_blocks(records, published))
    return records


def write_claims(benchmarks: Path, readme: Path | None = None) -> bool:
    """Write `claims.md` and the block of verdicts; returns whether there are claims and records."""
    claims = read_claims(benchmarks)
    shown = {
        "alpha": one_setup([one for one in read_records(benchmarks / ALPHA_RESULTS) if one.data != SECOND]),
        "ablate_depth": ablation_records(benchmarks, "depth"),
        "ablate_variants": ablation_records(benchmarks, "variants"),
        "generation": generation_records(benchmarks),
        "animation": animation_records(benchmarks),
    }
    if not claims or not any(shown.values()):
        return False
    judged = judge_all(claims, shown)
    write_text(claims_page(judged), benchmarks / "claims.md")
    write_blocks(readme, {"verdicts": verdict_block(judged)})
    return True


def write_probes(benchmarks: Path, readme: Path | None = None) -> bool:
    """Write `distill.md`; returns whether there are records."""
    from glassine.bench.probe import probe_page

    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((benchmarks / PROBES).glob("*.json"))]
    if records:
        write_text(probe_page(records), benchmarks / "distill.md")
    return bool(records)


def write_data_speed(benchmarks: Path, readme: Path | None = None) -> bool:
    """Write `results/data_speed.md`; returns whether there is a record."""
    from glassine.bench.data_speed import table

    file = benchmarks / DATA_RECORD
    if file.is_file():
        write_text(table(json.loads(file.read_text(encoding="utf-8"))), file.with_suffix(".md"))
    return file.is_file()


def write_gpu(benchmarks: Path, readme: Path | None = None) -> bool:
    """Write `gpu.md`; returns whether there is a record."""
    from glassine.bench.gpu import gpu_page

    file = benchmarks / GPU_RECORD
    if file.is_file():
        write_text(gpu_page(json.loads(file.read_text(encoding="utf-8"))), benchmarks / "gpu.md")
    return file.is_file()


def ablation_page(name: str) -> Callable[[Path, Path | None], bool]:
    """A function that writes the page of an ablation and returns whether there are records."""

    def write(benchmarks: Path, readme: Path | None) -> bool:
        if records := ablation_records(benchmarks, name):
            write_ablation(name, records, benchmarks)
        return bool(records)

    return write


@dataclass(frozen=True)
class Page:
    """One file of `benchmarks/`.

    Attributes:
        file: relative to that folder.
        command: creates its records.
        write: called with the folder and the README; writes the page and returns a false value without records.
    """

    file: str
    command: str
    write: Callable[[Path, Path | None], object]


PAGES = (
    Page("tables.md", "glassine benchmark alpha --split test", write_alpha),
    Page("ablate_depth.md", "glassine benchmark depth", ablation_page("depth")),
    Page("ablate_variants.md", "glassine benchmark variants", ablation_page("variants")),
    Page(
        "generation.md",
        "glassine benchmark generation --split test",
        lambda folder, readme: write_generation(folder, None, readme),
    ),
    Page("animation.md", "glassine benchmark animation --split test", write_animation),
    Page("claims.md", "glassine benchmark all", write_claims),
    Page("distill.md", "glassine benchmark probe RUN", write_probes),
    Page("results/data_speed.md", "glassine benchmark data", write_data_speed),
    Page("gpu.md", "glassine benchmark speed", write_gpu),
    Page(
        "styles.md",
        "glassine benchmark styles --split test",
        lambda folder, readme: write_styles(folder, readme=readme),
    ),
    Page("stills.md", "glassine benchmark stills", write_stills),
    Page(
        "animated_stickers.md",
        "glassine benchmark animated-stickers --split test --row NAME=WEIGHTS",
        lambda folder, readme: write_chain(folder),
    ),
)


def write_all(benchmarks: Path, readme: Path | None = None) -> tuple[list[Path], dict[Path, str]]:
    """Write all pages that have records.

    Args:
        benchmarks: folder of the records and the pages.
        readme: file with `<!-- table:NAME -->` markers; None, or a file that does not exist, for none.

    Returns:
        The written pages; and the pages without records, each with the command that creates them.

    Raises:
        UserError: no page has records, or a record is unreadable.
    """
    written, empty = [], {}
    for page in PAGES:
        if page.write(benchmarks, readme):
            written.append(benchmarks / page.file)
        else:
            empty[benchmarks / page.file] = page.command
    if not written:
        raise UserError(
            f"{benchmarks} must hold records in results/, got none: run `glassine benchmark alpha --split test` first"
        )
    return written, empty
