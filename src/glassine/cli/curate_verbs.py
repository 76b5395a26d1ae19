"""The verbs of `glassine curate` on a finished data set: choose, freeze, label, export-sft, check."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.utils.errors import UserError


def run_verb(arguments: Sequence[str], console: Console) -> None:
    """Do `glassine curate VERB ...`.

    Raises:
        UserError: anything the user can put right.
    """
    verb = arguments[0]
    parser = argparse.ArgumentParser(f"glassine curate {verb}")
    parser.add_argument("dataset", type=Path, metavar="DATASET")
    VERBS[verb](parser, list(arguments[1:]), console)


def _freeze(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.curation.blocks import read_rows
    from glassine.curation.choosing import load_choice
    from glassine.curation.splits import TEST_SETS, first_choice, freeze

    sets = {test.name: test for test in TEST_SETS}
    parser.add_argument("--set", choices=list(sets), required=True)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--first", action="store_true", help="take each word's first candidate: nobody has chosen")
    args = parser.parse_args(arguments)
    rows = {row["key"]: row for row in read_rows(_file(args.dataset, "stickers.jsonl"))}
    candidates = list(read_rows(_file(args.dataset, f"tests/{args.set}.candidates.jsonl")))
    chosen, by = (first_choice(candidates), "first candidate") if args.first else load_choice(args.dataset, args.set)
    content = freeze(args.to, sets[args.set], chosen, rows, by)
    console.print(f"{args.to}: {len(content['stickers'])} stickers of {args.set}", highlight=False)
    console.print(
        f"`glassine curate CRAWL --to DATASET --frozen {args.to}` keeps them out of training", highlight=False
    )


def _check(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.curation.checking import near_copies_across_splits

    args = parser.parse_args(arguments)
    compared, found = near_copies_across_splits(args.dataset)
    for line in found[:20]:
        console.print(f"  {line}", highlight=False, markup=False)
    if found:
        raise UserError(f"near copies must lie in one split, got {len(found)} pairs in two")
    console.print(f"{compared} stickers compared: no near copy lies on two sides of a split", highlight=False)


def _file(dataset: Path, name: str) -> Path:
    path = dataset / name
    if not path.is_file():
        raise UserError(
            f"{dataset} has no {name}: give a folder that `glassine curate CRAWL --to DATASET` has finished"
        )
    return path


def _choose(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.cli.curate_page import choose_tests
    from glassine.curation.splits import TEST_SETS

    parser.add_argument("--set", choices=[test.name for test in TEST_SETS], required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--by", default="", help="who chooses: recorded in the frozen file")
    args = parser.parse_args(arguments)
    choose_tests(args.dataset, args.set, args.by, args.port, lambda line: console.print(line, highlight=False))


def _label(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.cli.curate_page import label_domains

    parser.add_argument("--count", type=int, default=300, help="stickers to label (default: %(default)s)")
    parser.add_argument("--export", type=Path, default=None, metavar="SHARDS", help="write what is labelled, no page")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--by", default="", help="who labels")
    args = parser.parse_args(arguments)
    if args.export is not None:
        from glassine.curation.choosing import choice_path, labelled_shards, load_answers

        count = labelled_shards(args.dataset, load_answers(choice_path(args.dataset, "domain"))[0], args.export)
        console.print(f"{count} labelled stickers in {args.export}", highlight=False)
        where = f"--data.train.root {args.export} --data.val.root {args.export}"
        console.print(f"`glassine fit -c experiments/curation/domain.yaml {where}`", highlight=False)
        return
    label_domains(args.dataset, args.count, args.by, args.port, lambda line: console.print(line, highlight=False))


def _export_sft(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.curation.sft import FORMATS, export_sft

    parser.add_argument("--labels", type=Path, required=True, metavar="FILE.jsonl", help="key, description")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--format", choices=list(FORMATS), default="llava")
    parser.add_argument("--prompt", default=None)
    args = parser.parse_args(arguments)
    count = export_sft(args.dataset, args.labels, args.to, args.format, args.prompt)
    console.print(f"{count} examples in {args.to}", highlight=False)


def _demo(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.curation.demo import check_demo, make_crawl

    parser.description = "Make a crawl with known faults of shards, or (--check) compare a data set with them."
    parser.add_argument("--from", dest="sources", type=Path, nargs="+", default=[Path("data/world")], metavar="SHARDS")
    parser.add_argument("--count", type=int, default=300, help="stickers before faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", type=Path, default=None, metavar="CRAWL", help="the crawl that DATASET was made of")
    args = parser.parse_args(arguments)
    if args.check is None:
        made = make_crawl(args.sources, args.dataset, args.count, args.seed)
        console.print(f"{args.dataset}: {made} files", highlight=False)
        return
    table, missed = check_demo(args.check, args.dataset)
    console.print(table, highlight=False, markup=False, soft_wrap=True)
    if missed:
        raise UserError(f"every injected fault must be found, got {missed} missed: see {args.dataset}/report/README.md")


def _measure(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from glassine.curation.scale import measure_scale, scale_tables, write_record

    parser.description = "Measure on this machine what a curation of DATASET's kind costs; DATASET is a crawl here."
    parser.add_argument("--from", dest="sources", type=Path, nargs="+", default=[Path("data/world")], metavar="SHARDS")
    parser.add_argument("--sizes", type=int, nargs="*", default=[2_000, 20_000], help="small files, for memory")
    parser.add_argument("--part", type=int, default=400, help="small files, for the speed-up of two workers")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="for crawls and data sets")
    parser.add_argument("--to", type=Path, default=Path("benchmarks/results/curation/scale.json"), metavar="FILE.json")
    parser.add_argument("--rounds", type=int, default=2, help="turns of one and of two workers")
    args = parser.parse_args(arguments)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    def save(content: Mapping[str, Any]) -> None:
        write_record(content, args.to)

    record = measure_scale(
        args.sources, args.dataset, args.work, args.sizes, args.part, args.rounds, say=say, save=save
    )
    console.print(scale_tables(record), highlight=False, markup=False, soft_wrap=True)


def _accuracy(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    import tempfile

    from rich.progress import Progress

    from glassine.curation.accuracy import accuracy_tables, measure_accuracy
    from glassine.curation.ocr import RapidOcr
    from glassine.curation.scale import write_record
    from glassine.data.shards import shard_folders

    parser.description = (
        "Count near copies found among copies made of known stickers, and rendered texts read. DATASET is a folder of "
        "shards, or of folders of shards."
    )
    parser.add_argument("--count", type=int, default=40, help="stickers of each source (default: %(default)s)")
    parser.add_argument(
        "--earlier",
        type=int,
        nargs="*",
        default=[],
        metavar="COUNT",
        help="leave out the groups that measurements with these counts took",
    )
    parser.add_argument("--no-ocr", action="store_true", help="near copies only")
    parser.add_argument(
        "--chinese-fonts", type=Path, nargs="*", default=[], metavar="FILE.ttf", help="to measure Chinese text, too"
    )
    to = Path("benchmarks/results/curation/accuracy.json")
    parser.add_argument("--to", type=Path, default=to, metavar="FILE.json")
    args = parser.parse_args(arguments)
    if args.count < 1:
        raise UserError(f"--count must be at least 1, got {args.count}")
    sources = shard_folders(args.dataset)
    with tempfile.TemporaryDirectory(prefix="glassine-") as work, Progress(console=console, transient=True) as bar:
        engine = None if args.no_ocr else RapidOcr()
        task = bar.add_task("making copies", total=args.count * len(sources))
        record = measure_accuracy(
            sources, args.count, Path(work), args.earlier, engine, args.chinese_fonts, lambda: bar.advance(task)
        )
    write_record(record, args.to)
    console.print(accuracy_tables(record), highlight=False, markup=False, soft_wrap=True)


def _thresholds(parser: argparse.ArgumentParser, arguments: list[str], console: Console) -> None:
    from rich.progress import track

    from glassine.curation.scale import write_record
    from glassine.curation.thresholds import draw_thresholds, measured_rows, threshold_record, threshold_table
    from glassine.data.shards import StickerShards, shard_folders

    parser.description = (
        "Measure the stickers of DATASET (shards, or folders of shards), and what the default thresholds reject."
    )
    parser.add_argument("--picture", type=Path, default=None, metavar="FILE.png", help="draw the histograms, too")
    to = Path("benchmarks/results/curation/thresholds.json")
    parser.add_argument("--to", type=Path, default=to, metavar="FILE.json")
    args = parser.parse_args(arguments)
    sources = shard_folders(args.dataset)
    total = len(StickerShards(sources))
    rows = list(track(measured_rows(sources), "measuring", total, console=console, transient=True))
    record = threshold_record(rows)
    write_record({"sources": [source.name for source in sources], **record}, args.to)
    if args.picture is not None:
        draw_thresholds(record, args.picture)
    console.print(threshold_table(record), highlight=False, markup=False, soft_wrap=True)


VERBS: dict[str, Callable[[argparse.ArgumentParser, list[str], Console], None]] = {
    "choose": _choose,
    "freeze": _freeze,
    "label": _label,
    "export-sft": _export_sft,
    "check": _check,
    "demo": _demo,
    "measure": _measure,
    "accuracy": _accuracy,
    "thresholds": _thresholds,
}
