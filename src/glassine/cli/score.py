"""`glassine score`: score clips, a network or a pipeline against a test set."""

import argparse
from pathlib import Path

from glassine.utils.errors import UserError

METRICS = ("psnr", "ssim", "alpha", "fvd", "kvd", "clip", "vqa", "motion")
FAMILIES = {"fvd": "distances", "kvd": "distances", "clip": "clip", "vqa": "vqa", "motion": "motion"}
EPILOG = """examples:
  glassine score my_clips --against data/fluent --metrics kvd clip motion --split test
  glassine score glassine:tiny-ildiff --against data/fluent --metrics psnr ssim alpha --size 256
  glassine score lightning_logs/vsd2m/tiny_sti --against data/fluent --metrics fvd kvd --i3d i3d.pt --clips 200
  glassine score cutout --against my_transparent_clips --metrics psnr"""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "score",
        help="score clips, a network or a pipeline against a test set",
        description="Score a folder of clips, a network or a pipeline against a test set, print the scores with n, "
        "groups, 95% intervals and floors, and write a record.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        help="folder of clips; bundle, run or .ckpt of a network that makes clips or mattes; generate, animate, codec, "
        "true or train (clips of that split); or a matting method such as cutout, ildiff, color_projection",
    )
    parser.add_argument("--against", required=True, metavar="TEST", help="shard folder, folder of clips, or procedural")
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="of shards (default: val)")
    parser.add_argument("--limit", type=int, help="most groups of the test set, evenly spread (default: all)")
    parser.add_argument(
        "--metrics", nargs="+", choices=METRICS, metavar="NAME", required=True, help=f"some of {', '.join(METRICS)}"
    )
    parser.add_argument("--size", type=int, default=128, help="pixels (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=8, help="of a clip (default: %(default)s)")
    parser.add_argument(
        "--clips", type=int, default=1, help="made at least: several seeds a caption (default: one a caption)"
    )
    parser.add_argument("--condition", default="white", help="what clips for matting lie on (default: %(default)s)")
    parser.add_argument(
        "--backgrounds", nargs="+", default=["white"], metavar="COLOR", help="of distances (default: white)"
    )
    parser.add_argument("--part", help="argument of a run's task that holds the network (default: found out)")
    parser.add_argument("--video", default="glassine:tiny-video", help="network of fvd_glassine and kvd_glassine")
    parser.add_argument("--image-text", default="glassine:tiny-clip", help="network of clip_glassine")
    parser.add_argument("--i3d", help="path of i3d_pretrained_400.pt: FVD and KVD by I3D")
    parser.add_argument("--clip", help="hub id or path of a CLIP: its score and similarity")
    parser.add_argument("--fast-vqa", help="path of FAST-VQA-B's weights, for vqa")
    parser.add_argument("--raft", help="path of torchvision's raft_large or raft_small file, for motion")
    parser.add_argument("--to", type=Path, default=Path("scores"), help="folder of the record (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Score and print.

    Raises:
        UserError: a source, test set or number that cannot be used.
    """
    from glassine.bench.evaluators import Evaluators, EvaluatorSources
    from glassine.bench.progress import progress_bar
    from glassine.bench.score import lines, score
    from glassine.bench.score_request import Request
    from glassine.utils.devices import pick_device

    if args.clips < 1 or (args.limit is not None and args.limit < 2):
        raise UserError(f"clips must be at least 1 and limit 2, got {args.clips} and {args.limit}")
    if "vqa" in args.metrics and args.fast_vqa is None:
        raise UserError("vqa must have weights, got none: give --fast-vqa PATH, or leave vqa out")
    device = pick_device(args.device)
    request = Request(
        args.source, args.against, tuple(args.metrics), args.split, args.limit, args.size, args.frames, args.clips,
        args.condition, tuple(args.backgrounds), args.part, device,
    )  # fmt: skip
    sources = EvaluatorSources(args.video, args.image_text, args.i3d, args.clip, args.fast_vqa, args.raft)
    families = sorted({FAMILIES[name] for name in args.metrics if name in FAMILIES})
    record, floors = score(request, Evaluators(sources, device, families), args.to, progress_bar)
    print("\n".join(lines(record, floors)))
    print(f"wrote {args.to / record.file_name}")
