"""`glassine review`: people choose what teachers made; what they chose becomes training data."""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.review.thresholds import Thresholds
from glassine.study.plan import ANSWERS_NAME, SITE_NAME
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.progress import progress_bar

BUILD = """\
Build a review from a folder of clips that `glassine teach` wrote. OUT/site is for annotators: serve it, or send them
the folder, whose index.html opens in any browser. OUT/key.json maps clips to teachers; keep it to yourself. Put answer
files that annotators send into OUT/answers."""
SERVE = """\
Serve OUT/site to browsers on this machine, or with --host 0.0.0.0 to the network, without a password. Each answer is
saved to OUT/answers before the page moves on; returning annotators continue where they stopped."""
CHOOSE = """\
Choose by measures where nobody is at hand: a clip is chosen that passes every threshold. The choice is written to
OUT/answers/proxy.jsonl as a person's is, with the reason of each rejection, and the measures to OUT/proxy.json. `review
report` says how far it agrees with people. The defaults are what 95% of true animations pass; see docs/review.md."""
REPORT = """\
Evaluate the answers in OUT/answers, write OUT/report.md and OUT/report.json, and print the report."""
EXPORT = """\
Write what was chosen as shards for training, with the votes in each sticker's JSON. Only groups of the training split
get in. What the proxy chose is exported with --by proxy only, and says that no people chose."""


def add_parser(subparsers: Any) -> None:
    """Add the verb `review` to the command line's subparsers."""
    parser = subparsers.add_parser("review", help="let people choose what teachers made, and export it for training")
    verbs = parser.add_subparsers(dest="review_verb", required=True, metavar="VERB")
    build = verbs.add_parser("build", help="build the page from a folder of clips", description=BUILD)
    build.add_argument("clips", type=Path, metavar="CLIPS", help="folder with manifest.json")
    build.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    build.add_argument("--title", default="Which would you share?", help="title of the page (default: %(default)s)")
    build.add_argument(
        "--background",
        nargs="+",
        default=["checker", "white", "black"],
        metavar="COLOR",
        help="checker, CSS color names or '#rrggbb'; annotators can switch between them (default: checker white black)",
    )
    build.add_argument("--seed", type=int, default=0, help="seed of order and places (default: %(default)s)")
    build.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    serve = _with_folder(verbs.add_parser("serve", help="serve the page and save the answers", description=SERVE))
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    serve.add_argument("--port", type=int, default=8009, help="0 for any free port (default: %(default)s)")
    serve.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="an additional host name of this server, such as a proxy's; can be repeated",
    )
    _add_choose(_with_folder(verbs.add_parser("choose", help="choose by measures, without people", description=CHOOSE)))
    report = _with_folder(verbs.add_parser("report", help="acceptance by teacher, agreement", description=REPORT))
    _add_answers(report)
    report.add_argument("--to", type=Path, metavar="FOLDER", help="where the report is written (default: OUT)")
    report.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples (default: %(default)s)")
    _add_export(_with_folder(verbs.add_parser("export", help="write what was chosen as shards", description=EXPORT)))


def _with_folder(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("review", type=Path, metavar="OUT", help="folder written by `review build`")
    return parser


def _add_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--answers", type=Path, nargs="+", metavar="PATH", help="files or folders (default: OUT/answers)"
    )


def _add_choose(parser: argparse.ArgumentParser) -> None:
    for field in fields(Thresholds):
        value, says = field.default, field.metadata["says"]
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=float,
            default=value,
            metavar="X",
            help=f"{says} (default: {value:g})",
        )
    parser.add_argument(
        "--worst",
        type=float,
        metavar="0..1",
        help="instead of all these: leave out this share of the clips, the worst ones, by each measure",
    )
    parser.add_argument(
        "--train", type=Path, nargs="+", metavar="SHARDS", help="training data that no clip may be a near copy of"
    )
    parser.add_argument(
        "--image-text", default="glassine:tiny-clip", metavar="NAME|FOLDER", help="evaluator of pictures and captions"
    )
    parser.add_argument(
        "--video",
        default="glassine:tiny-video",
        metavar="NAME|FOLDER",
        help="evaluator whose features tell near copies",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", type=Path, metavar="SHARDS", help="a new folder")
    _add_answers(parser)
    parser.add_argument(
        "--by", choices=("people", "proxy"), default="people", help="whose choice is exported (default: %(default)s)"
    )
    parser.add_argument(
        "--min-share",
        type=float,
        default=0.5,
        metavar="0..1",
        help="least share of the annotators of a clip who would share it (default: %(default)s)",
    )
    parser.add_argument(
        "--min-votes", type=int, default=1, metavar="N", help="least number of annotators who would (default: 1)"
    )
    parser.add_argument("--teachers", nargs="+", default=[], metavar="NAME", help="whose clips (default: all)")
    parser.add_argument(
        "--keep-out",
        type=Path,
        nargs="+",
        metavar="SHARDS",
        help="data whose groups of the validation and test splits must not get in",
    )


def run(args: argparse.Namespace) -> None:
    """Run the command parsed by :func:`add_parser`.

    Raises:
        UserError: anything the user can fix.
    """
    verbs = {"build": _build, "serve": _serve, "choose": _choose, "report": _report, "export": _export}
    verbs[args.review_verb](args)


def _console(args: argparse.Namespace) -> Console:
    return Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)


def _build(args: argparse.Namespace) -> None:
    # imported late: reading stickers imports torch, which takes seconds that `serve` should not cost
    from glassine.review.build import build_review
    from glassine.review.manifest import load_manifest
    from glassine.study.build import parse_backgrounds

    manifest, backgrounds = load_manifest(args.clips), parse_backgrounds(args.background)
    console = _console(args)
    with progress_bar(
        console, f"writing {args.out}", len(manifest.clips), transient=True, only_terminal=True
    ) as advance:
        key = build_review(args.out, manifest, args.title, args.seed, backgrounds, advance)
    console.print(
        f"{args.out}: {len(key.trials)} prompts, {len(key.clips)} clips of {len(key.teachers)} teachers, review "
        f"{key.review}",
        soft_wrap=True,
    )
    console.print(f"glassine review serve {args.out}, or send {args.out / SITE_NAME} to annotators", soft_wrap=True)


def _serve(args: argparse.Namespace) -> None:
    from glassine.app.review import ReviewServer  # imported late: only this needs the extra `app`

    with ReviewServer(args.review, args.host, args.port, args.name) as server:
        print(f"{server.url} - answers go to {args.review / ANSWERS_NAME}; stop with Ctrl+C", flush=True)
        server.serve()


def _choose(args: argparse.Namespace) -> None:
    from glassine.review.plan import load_key
    from glassine.review.proxy import choose

    key = load_key(args.review)
    thresholds = Thresholds(**{field.name: getattr(args, field.name) for field in fields(Thresholds)})
    console = _console(args)
    with progress_bar(console, "measuring", len(key.clips), transient=True, only_terminal=True) as advance:
        choice = choose(
            args.review, key, thresholds, args.train or (), args.image_text, args.video, advance, args.worst
        )
    console.print(f"{choice.chosen} of {len(key.clips)} clips chosen; rejected for:", soft_wrap=True)
    for reason, count in choice.reasons.items():
        console.print(f"  {reason}: {count}", soft_wrap=True)
    if not args.train:
        print("glassine: near copies of training data are not looked for: give --train SHARDS", file=sys.stderr)


def _report(args: argparse.Namespace) -> None:
    from glassine.review.answers import read_annotators
    from glassine.review.markdown import to_markdown
    from glassine.review.plan import load_key
    from glassine.review.report import make_report
    from glassine.study.rater_files import find_files

    if not 1 <= args.resamples <= 1_000_000:
        raise UserError(f"--resamples must be in [1, 1000000], got {args.resamples}")
    key = load_key(args.review)
    annotators = read_annotators(find_files(args.answers or [args.review / ANSWERS_NAME]), key)
    report = make_report(key, annotators, args.resamples)
    folder = args.to or args.review
    for name, text in (
        ("report.json", json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"),
        ("report.md", to_markdown(report)),
    ):
        with atomic_path(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    print(to_markdown(report), end="")


def _export(args: argparse.Namespace) -> None:
    from glassine.review.answers import read_annotators
    from glassine.review.export import Rule, export_chosen
    from glassine.review.plan import load_key
    from glassine.study.rater_files import find_files

    key = load_key(args.review)
    rule = Rule(args.by, args.min_share, args.min_votes, tuple(args.teachers))
    annotators = read_annotators(find_files(args.answers or [args.review / ANSWERS_NAME]), key)
    exported = export_chosen(args.review, key, annotators, args.to, rule, args.keep_out or ())
    marked = "; no people chose" if args.by == "proxy" else ""
    print(f"{args.to}: {exported.written} of {exported.chosen} chosen clips{marked}", flush=True)
    for reason, count in exported.left_out.items():
        print(f"  left out, {reason}: {count}", flush=True)
