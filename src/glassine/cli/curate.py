"""`glassine curate`: from a folder of crawled files to a data set."""

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glassine.cli.curate_verbs import VERBS, run_verb
from glassine.utils.errors import UserError, printable

_EPILOG = """further verbs, each with -h:
  glassine curate choose DATASET      a page on which test sets are chosen by hand
  glassine curate freeze DATASET      write a choice as a file of keys with hashes
  glassine curate label DATASET       a page on which a few hundred are labelled real or cartoon
  glassine curate export-sft DATASET  manual labels as fine-tuning data of vision-language models
  glassine curate check DATASET       look for near copies on two sides of the split, in the shards themselves
  glassine curate demo FOLDER         make a crawl with known faults, or compare a data set with them
  glassine curate measure CRAWL       what each stage costs on this machine, its memory, what a second worker brings
  glassine curate accuracy SHARDS     how many copies made of known stickers are found, and how much text is read
  glassine curate thresholds SHARDS   what stickers measure, and what the default filters reject of them"""


def add_parser(subparsers: Any) -> None:
    """Add the verb `curate` to the command line's subparsers."""
    # it has verbs of its own beside `CRAWL --to DATASET`, which argparse's subparsers do not do: parsed in `run`
    parser = subparsers.add_parser(
        "curate", help="make a data set of a folder of crawled stickers", prefix_chars="\0", add_help=False
    )
    parser.add_argument("arguments", nargs="*")


def _run_parser() -> argparse.ArgumentParser:
    run_parser = argparse.ArgumentParser(
        "glassine curate",
        description="Make a data set of a folder of crawled files: read, find near copies, filter, look for text, tell "
        "real from cartoon, describe, split, write shards. A stopped run goes on where it was.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run_parser.add_argument("crawl", type=Path, metavar="CRAWL", help="folder of files, zips, tars")
    run_parser.add_argument("--to", type=Path, required=True, metavar="DATASET")
    run_parser.add_argument("-c", "--config", type=Path, action="append", default=[], help="YAML; later ones go over")
    run_parser.add_argument("--manifest", type=Path, action="append", default=[], help="CSV, JSONL or Parquet")
    run_parser.add_argument(
        "--folder-words", action="store_true", default=None, help="folders' names are crawled words"
    )
    run_parser.add_argument("--frozen", type=Path, action="append", default=None, help="a test set of `curate freeze`")
    run_parser.add_argument("--no-ocr", action="store_true", help="look for no text")
    run_parser.add_argument("--domain-weights", type=Path, default=None, help="of a trained domain classifier")
    filters = run_parser.add_argument_group("filters (defaults: docs/curation.md)")
    for name, kind in _thresholds().items():
        filters.add_argument(f"--{name.replace('_', '-')}", type=kind, default=None, choices=_choices(name))
    shards = run_parser.add_argument_group("shards")
    shards.add_argument("--size", type=int, default=None, help="longer side at most so many pixels (default: as it is)")
    shards.add_argument("--fps", type=float, default=None, help="at most so many frames a second (default: all)")
    shards.add_argument("--codec", default=None, help="default: jpeg+alpha")
    shards.add_argument("--quality", type=int, default=None, help="of lossy colors (default: 92)")
    where = run_parser.add_argument_group("where it runs")
    where.add_argument("--ray", metavar="ADDRESS", default=None, help="a Ray cluster; default: Ray is started here")
    where.add_argument("--no-ray", action="store_true", help="the same functions in processes of this machine")
    where.add_argument("--workers", type=int, default=None, help="default: one a core; 0 with --no-ray: this process")
    where.add_argument("--gpus", type=float, default=0.0, help="GPUs of each worker that runs a network")
    where.add_argument("--object-store", type=int, default=512, metavar="MIB", help="of a Ray started here")
    return run_parser


def _thresholds() -> dict[str, Callable[[str], Any]]:
    from glassine.curation.filters import Thresholds

    kinds = {"int": int, "float": float, "int | None": int}
    return {field.name: kinds.get(str(field.type), str) for field in dataclasses.fields(Thresholds)}


def _choices(name: str) -> tuple[str, ...] | None:
    return ("all", "best") if name == "keep" else None


def run(args: argparse.Namespace) -> None:
    """Do what the arguments of `curate` say.

    Raises:
        UserError: anything the user can put right.
    """
    console = Console(markup=False, emoji=False)
    if args.arguments and args.arguments[0] in VERBS:
        run_verb(args.arguments, console)
    else:
        _curate(_run_parser().parse_args(args.arguments), console)


def _curate(args: argparse.Namespace, console: Console) -> None:
    from glassine.curation.pipeline import curate
    from glassine.curation.runners import Here, Processes, RayData, Runner, ray_session

    if args.workers is not None and args.workers < (0 if args.no_ray else 1):
        raise UserError(f"--workers must be at least {0 if args.no_ray else 1}, got {args.workers}")
    if args.no_ray and args.ray is not None:
        raise UserError("--ray and --no-ray exclude each other: leave one out")
    settings = _settings(args)
    workers = os.cpu_count() or 1 if args.workers is None else args.workers
    session: Any = nullcontext()
    if not args.no_ray:
        session = ray_session(args.ray, workers, args.object_store << 20)
        runner: Runner = RayData(0 if args.ray is not None and args.workers is None else workers, args.gpus)
    else:
        runner = Processes(workers) if workers else Here()
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with session, Progress(*columns, console=console) as bar:

        def progress(name: str, count: int) -> Callable[[], None]:
            task = bar.add_task(name, total=count)
            return lambda: bar.advance(task)

        def say(line: str) -> None:
            console.print(printable(line), highlight=False, markup=False)

        record = curate(args.crawl, args.to, runner, settings, args.manifest, say, progress)
    counts = record["counts"]
    console.print(f"{counts['kept']} stickers in {args.to}, of {counts['files']} files", highlight=False)
    for title, part in (("broken", counts["broken"]), ("left out", counts["rejected"])):
        if part:
            said = ", ".join(f"{name} {count}" for name, count in part.items())
            console.print(f"  {title}: {said}", highlight=False, markup=False)
    console.print(f"`glassine data report {args.to}` shows it", highlight=False, markup=False)


def _settings(args: argparse.Namespace) -> Any:
    """The settings of YAMLs, and what the command line says over them."""
    from glassine.curation.settings import read_settings

    said: dict[str, Any] = {}
    thresholds = {name: getattr(args, name) for name in _thresholds() if getattr(args, name) is not None}
    shards = {
        name: getattr(args, name) for name in ("size", "fps", "codec", "quality") if getattr(args, name) is not None
    }
    if thresholds:
        said["thresholds"] = thresholds
    if shards:
        said["shards"] = shards
    if args.folder_words:
        said["folder_words"] = True
    if args.no_ocr:
        said["ocr"] = None
    if args.domain_weights is not None:
        where = {"weights": str(args.domain_weights.resolve())}
        said["domain"] = {"class_path": "glassine.curation.domain.Trained", "init_args": where}
    if args.frozen:
        said["frozen"] = [str(path) for path in args.frozen]
    parts: list[Path | Mapping[str, Any]] = [*args.config, said]
    return read_settings(parts)
