"""The `glassine` command: dispatches arguments to verbs, and reports user errors in one line."""

import argparse
import gc
import importlib
import sys
import warnings
from collections.abc import Sequence

from glassine import __version__
from glassine.utils.devices import keep_freed_memory
from glassine.utils.errors import exit_code
from glassine.utils.signals import stop_on_sigterm

LIGHTNING_VERBS = {
    "fit": "train from a YAML",
    "validate": "score a checkpoint on the validation split",
    "test": "score a checkpoint on the test split",
    "predict": "write a checkpoint's predictions for a split",
}
# one module of glassine.cli per verb, with `add_parser(subparsers)` and `run(args)`; imported only when called, since
# importing torch takes seconds
VERBS = {
    "cutout": "make an opaque sticker transparent",
    "generate": "make animated stickers from text",
    "animate": "animate a transparent still",
    "teach": "make clips of stills and prompts by several teachers, for people to choose from",
    "pack": "make sticker packs, ready to upload",
    "app": "open the page in the browser, and its API",
    "data": "fetch, build, describe and view sticker data",
    "benchmark": "evaluate methods on held-out stickers and write the tables",
    "score": "score clips, a network or a pipeline against a test set",
    "curate": "turn a folder of crawled stickers into a data set",
    "pretrain": "retrain the shipped weights",
    "study": "run blind user studies that compare methods",
    "review": "let people choose what teachers made, and export it for training",
    "export": "export a network as a weights folder or an ONNX file",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` if None) and return its exit code: 0, or 2 after a user error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    keep_freed_memory()
    collect_rarely()
    try:
        return exit_code(lambda: run(arguments))
    except SystemExit as stop:  # argparse has already printed the error or the help
        return stop.code if isinstance(stop.code, int) else 2


def collect_rarely() -> None:
    """Look for reference cycles a hundred times less often: importing torch and diffusers makes few, and searching them
    again and again takes a tenth of the start."""
    gc.set_threshold(70_000, *gc.get_threshold()[1:])


def run(arguments: list[str]) -> None:
    """Dispatch `arguments` to the verb they start with."""
    verb = arguments[0] if arguments else ""
    if verb in LIGHTNING_VERBS:
        importlib.import_module("glassine.cli.lightning").run(arguments)
        return
    parser = argparse.ArgumentParser("glassine", description="Transparent animated stickers.")
    parser.add_argument("--version", action="version", version=f"glassine {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, says in {**LIGHTNING_VERBS, **VERBS}.items():
        if name == verb:
            importlib.import_module(f"glassine.cli.{name}").add_parser(verbs)
        else:
            verbs.add_parser(name, help=says)
    args = parser.parse_args(arguments)
    importlib.import_module(f"glassine.cli.{args.verb}").run(args)


def plain_warnings() -> None:
    """Show the package's own warnings in one line, like its errors; other warnings are left unchanged."""
    usual = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category.__module__.startswith("glassine."):
            return f"glassine: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = formatted


def cli() -> None:
    """Entry point of the installed command."""
    stop_on_sigterm()
    plain_warnings()
    sys.exit(main())


if __name__ == "__main__":
    cli()
