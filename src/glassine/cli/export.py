"""`glassine export`: export trained networks as a weights folder, an ONNX file, or a static page."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.weights import save_bundle
from glassine.utils.errors import UserError

PRECISIONS = ("float32", "float16", "int8")
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
ONNX = """\
Write the cutout network as one ONNX file for use outside Python: an opaque clip in, alpha and straight colors out.
The file is self-contained, including the hint's flood fills; any number of frames, one fixed size.

  in   clip             1 f 3 h w in [0, 1], RGB
       background       1 3 in [0, 1], or -1 -1 -1: estimated from the border
  out  alpha            1 f 1 h w in [0, 1]
       color            1 f 3 h w in [0, 1], un-mixed from the background
       used_background  1 3

Resizing, splitting long stickers into windows and reading files are left to the caller; the file's metadata describes
the windows. The exported file is checked against torch with a tolerance of 0.001. This takes about a minute."""

WEB = """\
Write a static page that cuts stickers out in the visitor's browser, with the network and ONNX Runtime Web, which is
fetched through the npm client once. Nothing that the visitor drops leaves their machine. Serve the folder with any
static web server; try it with

  python -m http.server --bind 127.0.0.1 --directory FOLDER

It runs the network on a flat background (as `cutout --method network`). With the headers in FOLDER/_headers the page
uses several threads. This takes two minutes."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("export", help="export a network as a weights folder, an ONNX file or a web page")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    weights = kinds.add_parser("weights", help="convert a training checkpoint to a weights folder")
    weights.add_argument("checkpoint", type=Path, help="a .ckpt in lightning_logs")
    weights.add_argument(
        "--part",
        required=True,
        help="the task argument that is the network: ildiff, vae, codec, sam, reconstruction.encoder, ...",
    )
    weights.add_argument(
        "--to", type=Path, required=True, help="folder to write config.yaml and model.safetensors into"
    )
    weights.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float16",
        help="of the numbers in the file; int8 halves float16 (default: %(default)s)",
    )
    weights.add_argument(
        "--shared-with",
        metavar="NAME|FOLDER",
        help="weights whose equal tensors are not stored again; they must be there when these are loaded",
    )
    weights.add_argument("--config", type=Path, help="the run's config.yaml; default: the one above the checkpoint")

    onnx = kinds.add_parser(
        "onnx",
        help="export the cutout network for use outside Python",
        description=ONNX,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source(onnx)
    onnx.add_argument("--to", type=Path, required=True, metavar="FILE.onnx", help="file to write")
    onnx.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[256],
        metavar="PIXELS",
        help="height and width of the clips, or one number for both (default: 256)",
    )

    web = kinds.add_parser(
        "web",
        help="write a static page that cuts out in the visitor's browser",
        description=WEB,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source(web)
    web.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="new or empty folder to write")
    web.add_argument(
        "--runtime",
        type=Path,
        metavar="FOLDER",
        help="ONNX Runtime Web's files, the folder dist of its npm package (default: fetched through npm)",
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        default="glassine:tiny-ildiff",
        metavar="NAME|FOLDER",
        help="weights that ship with glassine, or a folder from `glassine export weights` (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the folder, the file, or the page.

    Raises:
        UserError: something cannot be read, written or exported, or packages are missing.
    """
    if args.kind == "onnx":
        write_onnx(args.source, args.to, args.size)
        return
    if args.kind == "web":
        write_web(args.source, args.to, args.runtime)
        return
    import torch  # late: it takes seconds

    config = read_run_config(args.checkpoint, args.config)
    network, description = load_part(args.checkpoint, args.part, config)
    save_bundle(network, description, args.to, getattr(torch, args.precision), args.shared_with)
    print(f"wrote {args.to}/config.yaml and {args.to}/model.safetensors")


def write_onnx(source: str, target: Path, sides: list[int]) -> None:
    """Write the file.

    Raises:
        UserError: see `export_onnx`; or packages are missing, or `source` is not an ILDiff.
    """
    _need_onnx()
    if len(sides) > 2:
        raise UserError(f"--size must be one number, or height and width, got {' '.join(map(str, sides))}")
    # imported late: these take seconds, and the packages may be missing
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.onnx_export import export_onnx

    network = CutoutPipeline.from_pretrained(source, device="cpu").ildiff
    size = sides[0], sides[-1]
    difference = export_onnx(network, target, size, source)
    megabytes = target.stat().st_size / 1e6
    print(f"wrote {target}: {megabytes:.1f} MB, clips of {size[0]} x {size[1]}, within {difference:.0e} of torch")


def write_web(source: str, target: Path, runtime: Path | None) -> None:
    """Write the page.

    Raises:
        UserError: see `export_web` and `fetch_runtime`; or packages are missing, or `source` is not an ILDiff.
    """
    _need_onnx()
    from glassine.app.web_export import export_web, fetch_runtime

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glassine" / "web"
    found = runtime if runtime is not None else fetch_runtime(cache)
    from glassine.pipelines.cutout import CutoutPipeline

    network = CutoutPipeline.from_pretrained(source, device="cpu").ildiff
    difference = export_web(network, target, found, lambda text: print(text, file=sys.stderr))
    megabytes = sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) / 1e6
    print(f"wrote {target}: {megabytes:.0f} MB, within {difference:.0e} of torch; serve it with any static web server")


def _need_onnx() -> None:
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"{' and '.join(missing)} not found; ONNX export needs it: `pip install 'glassine[onnx]'`")
