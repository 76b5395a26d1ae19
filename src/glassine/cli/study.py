"""`glassine study`: run blind user studies that compare methods."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.study.answers import read_raters
from glassine.study.build import parse_backgrounds
from glassine.study.markdown import to_markdown
from glassine.study.plan import ANSWERS_NAME, PRESETS, SITE_NAME, find_prompts, load_key, load_questions, read_prompts
from glassine.study.rater_files import find_files
from glassine.study.report import make_report
from glassine.utils.errors import UserError, printable
from glassine.utils.files import atomic_path
from glassine.utils.progress import progress_bar

_MOST_NAMED = 20
BUILD = """\
Build a study from one sticker folder per method, with matching file names. OUT/site is for raters: send them the folder
and let them open index.html in any browser, or serve it. OUT/key.json maps stickers to methods; keep it to yourself.
Put the raters' answer files into OUT/answers."""
SERVE = """\
Serve OUT/site to browsers on this machine, or with --host 0.0.0.0 to the network, without a password. Each answer is
saved to OUT/answers before the page moves on; returning raters continue where they stopped."""
REPORT = """\
Evaluate the answers in OUT/answers, write OUT/report.md and OUT/report.json, and print the report."""


def add_parser(subparsers: Any) -> None:
    """Add the verb `study` to the command line's subparsers."""
    parser = subparsers.add_parser("study", help="run blind user studies that compare methods")
    verbs = parser.add_subparsers(dest="study_verb", required=True, metavar="VERB")
    _add_build(verbs.add_parser("build", help="build the page from sticker folders", description=BUILD))
    serve = verbs.add_parser("serve", help="serve the page and save the answers", description=SERVE)
    serve.add_argument("study", type=Path, metavar="OUT", help="folder written by `study build`")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    serve.add_argument("--port", type=int, default=8008, help="0 for any free port (default: %(default)s)")
    serve.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="an additional host name of this server, such as a proxy's; can be repeated",
    )
    report = verbs.add_parser("report", help="win rates, intervals, agreement", description=REPORT)
    report.add_argument("study", type=Path, metavar="OUT", help="folder written by `study build`")
    report.add_argument(
        "--answers", type=Path, nargs="+", metavar="PATH", help="files or folders (default: OUT/answers)"
    )
    report.add_argument("--to", type=Path, metavar="FOLDER", help="where the report is written (default: OUT)")
    report.add_argument(
        "--min-consistency",
        type=float,
        default=0.5,
        metavar="0..1",
        help="exclude raters whose share of consistent answers to the checks is lower (default: %(default)s)",
    )
    report.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples (default: %(default)s)")
    report.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: %(default)s)")


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME=FOLDER", help="a method's stickers; at least two"
    )
    parser.add_argument(
        "--questions",
        nargs="+",
        default=["layer-animate"],
        metavar="PAPER|FILE",
        help=f"{', '.join(PRESETS)}, or a YAML or JSON file of `name: question` (default: layer-animate)",
    )
    parser.add_argument(
        "--show",
        choices=("pairs", "all"),
        default="pairs",
        help="compare two methods at a time, or choose the best of all, as in the papers (default: %(default)s)",
    )
    parser.add_argument("--pairs", type=int, metavar="N", help="comparisons per rater (default: all)")
    parser.add_argument(
        "--checks", type=int, default=0, metavar="N", help="comparisons shown twice, with sides swapped (default: 0)"
    )
    parser.add_argument(
        "--no-ties", action="store_true", help="do not offer 'no difference' as an answer, as in the papers"
    )
    parser.add_argument(
        "--background",
        nargs="+",
        default=["checker", "white", "black"],
        metavar="COLOR",
        help="checker, CSS color names or '#rrggbb'; raters can switch between them (default: checker white black)",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="JSON {file: prompt}, or CSV with `file`, `prompt` (default: prompts.json or .csv of a method's folder)",
    )
    parser.add_argument("--title", default="Sticker study", help="title of the page (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of sides and order (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def run(args: argparse.Namespace) -> None:
    """Run the command parsed by :func:`add_parser`.

    Raises:
        UserError: anything the user can fix.
    """
    match args.study_verb:
        case "build":
            _build(args)
        case "serve":
            _serve(args)
        case _:
            _report(args)


def _build(args: argparse.Namespace) -> None:
    # imported late: reading stickers imports torch, which takes seconds that `serve` and `report` should not cost
    from glassine.study.build import StudyDesign, build_study
    from glassine.study.site import match_items, parse_methods

    methods = parse_methods(args.method)
    items = match_items(methods)
    table = args.prompts or find_prompts(methods.values())
    prompts = read_prompts(table, [item.name for item in items]) if table is not None else {}
    design = StudyDesign(
        questions=load_questions(args.questions),
        backgrounds=parse_backgrounds(args.background),
        show=args.show,
        pairs=args.pairs,
        checks=args.checks,
        ties=not args.no_ties,
        title=args.title,
        seed=args.seed,
    )
    console = Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)
    total = len(items) * len(methods)
    with progress_bar(console, f"writing {args.out}", total, transient=True, only_terminal=True) as advance:
        key = build_study(args.out, methods, items, prompts, design, advance)
    if key.skipped:
        print(f"glassine: {len(key.skipped)} of {len(items)} items skipped:", file=sys.stderr)
    for item, reason in key.skipped.items():
        print(f"  {item}: {reason}", file=sys.stderr)
    if key.notes:
        which = "stickers have adjusted frame times"
        if len(key.notes) == 1:
            which = "sticker has adjusted frame times"
        console.print(f"{len(key.notes)} {which}:", soft_wrap=True)
    for name, note in list(key.notes.items())[:_MOST_NAMED]:
        console.print(f"  {printable(name)}: {note}", soft_wrap=True)
    if len(key.notes) > _MOST_NAMED:
        console.print(f"  and {len(key.notes) - _MOST_NAMED} more", soft_wrap=True)
    comparisons = f"{len(key.trials)} comparisons" + (f", {args.checks} of them checks" if args.checks else "")
    asked = f"{len(key.questions)} question{'s' if len(key.questions) > 1 else ''} each"
    console.print(f"{args.out}: {comparisons}, {asked}, study {key.study}", soft_wrap=True)
    if prompts and len(prompts) < len(items):
        console.print(f"{table} has no prompts for {len(items) - len(prompts)} of {len(items)} items", soft_wrap=True)
    page = args.out / SITE_NAME
    console.print(f"send {page} to raters, or: glassine study serve {args.out}", soft_wrap=True)


def _serve(args: argparse.Namespace) -> None:
    from glassine.app.study import StudyServer  # imported late: only this needs the extra `app`

    with StudyServer(args.study, args.host, args.port, args.name) as server:
        print(f"{server.url} - answers go to {args.study / ANSWERS_NAME}; stop with Ctrl+C", flush=True)
        server.serve()


def _report(args: argparse.Namespace) -> None:
    if not 0 <= args.min_consistency <= 1:
        raise UserError(f"--min-consistency must be in [0, 1], got {args.min_consistency}")
    if not 1 <= args.resamples <= 1_000_000:
        raise UserError(f"--resamples must be in [1, 1000000], got {args.resamples}")
    key = load_key(args.study)
    raters = read_raters(find_files(args.answers or [args.study / ANSWERS_NAME]), key, args.min_consistency)
    report = make_report(key, raters, args.resamples, args.seed)
    folder = args.to or args.study
    for name, text in (
        ("report.json", json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"),
        ("report.md", to_markdown(report)),
    ):
        with atomic_path(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    print(to_markdown(report), end="")
