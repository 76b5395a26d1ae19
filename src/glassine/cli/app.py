"""`glassine app`: the page in the browser and its API, on this machine."""

import argparse
import secrets
import webbrowser
from pathlib import Path

from glassine.utils.errors import UserError

DESCRIPTION = """\
Open a page in the browser that cuts out, generates, animates and packs stickers. Everything stays on this machine:
uploads and results are kept in --folder and removed after --keep-days. The same server answers an HTTP API, described
at /api and in docs/app.md."""
EPILOG = """\
By default only this machine can reach the server. With --host, other machines can, and every request needs a token,
which is printed once when the server starts."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "app",
        help="open the page in the browser, and its API",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path.home() / "glassine",
        help="where uploads and results are kept (default: glassine in your home folder)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8787, help="0 for any free port (default: %(default)s)")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="an additional host name, such as a proxy's"
    )
    parser.add_argument("--token", help="the token to use with --host, at least 16 characters (default: a random one)")
    parser.add_argument("--study", type=Path, metavar="OUT", help="also serve this user study, at /study/")
    parser.add_argument("--review", type=Path, metavar="OUT", help="also serve this review of clips, at /review/")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    weights = parser.add_argument_group("weights: names that ship with glassine, or folders")
    weights.add_argument("--cutout-weights", default="glassine:tiny-ildiff", metavar="NAME|FOLDER")
    weights.add_argument("--generate-weights", default="glassine:sti", metavar="NAME|FOLDER")
    weights.add_argument("--animate-weights", default="glassine:motion-fields", metavar="NAME|FOLDER")
    weights.add_argument("--latents-weights", default="glassine:layer-animate", metavar="NAME|FOLDER")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-upload", type=float, default=200, metavar="MB", help="of a file (default: %(default)s)")
    limits.add_argument("--max-frames", type=int, default=2000, help="of a file (default: %(default)s)")
    limits.add_argument(
        "--max-pixels", type=int, default=4096 * 4096, help="of a frame, width times height (default: %(default)s)"
    )
    limits.add_argument("--max-minutes", type=float, default=30, help="of a job (default: %(default)s)")
    limits.add_argument(
        "--keep-days",
        type=float,
        default=14,
        help="age at which uploads and results are removed (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Serve until stopped.

    Raises:
        UserError: a setting out of range, a folder in use, or an address that is not available.
    """
    from glassine.app.limits import Limits
    from glassine.app.main import create_app
    from glassine.app.networks import Networks
    from glassine.app.safety import is_loopback
    from glassine.app.serving import Server

    if args.token is not None and (len(args.token) < 16 or not args.token.isascii() or not args.token.isalnum()):
        raise UserError(
            "--token must be at least 16 letters and digits, got another one: leave it out for a random one"
        )
    token = args.token
    if token is None and not is_loopback(args.host):
        token = secrets.token_hex(16)
    limits = Limits(
        upload_bytes=round(1e6 * args.max_upload),
        frames=args.max_frames,
        frame_pixels=args.max_pixels,
        job_seconds=60 * args.max_minutes,
        keep_days=args.keep_days,
    )
    own = (args.cutout_weights, args.generate_weights, args.animate_weights, args.latents_weights)
    networks = Networks(args.device, *own)

    with Server(args.host, args.port) as server:  # before the app: a second instance is told about the port first
        app = create_app(
            args.folder,
            token,
            host=args.host,
            names=args.name,
            networks=networks,
            limits=limits,
            study=args.study,
            review=args.review,
        )
        address = server.url if token is None else f"{server.url}?token={token}"
        print(f"{address} - uploads and results are in {args.folder}; stop with Ctrl+C", flush=True)
        if not args.no_browser:
            webbrowser.open(address)
        server.serve_forever(app)
