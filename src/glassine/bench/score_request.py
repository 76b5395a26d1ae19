"""What `glassine score` is asked: a source of clips or mattes, and the test set that it is scored against.

A source is a folder of clips, a network (bundle, run or checkpoint), or the name of a matting method or pipeline. The
scores themselves are computed in `glassine.bench.score`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from segment_anything.modeling import Sam

from glassine.bench import alpha_methods
from glassine.bench.clip_folder import FolderSet, matching
from glassine.bench.evaluate_video import file_name
from glassine.bench.loading import load_network
from glassine.bench.methods import CPU, TITLES, AlphaMethod, Method, make_methods
from glassine.bench.protocols import CaptionedClip, CaptionedSet
from glassine.bench.video_methods import REFERENCES, SHORT_SETTINGS, VideoSampler, load_sampler, rgba_of
from glassine.data.sticker import Split
from glassine.models.ildiff import ILDiff
from glassine.models.matting_anything import MattingAnything
from glassine.models.transparency import TransparencyVAE
from glassine.pretrained.run_parts import read_run_config
from glassine.utils.errors import UserError

METRICS = ("psnr", "ssim", "alpha", "fvd", "kvd", "clip", "vqa", "motion")
PARTS = ("ildiff", "codec", "sam", "network", "generator", "prior")  # arguments of tasks that hold scorable networks
PIPELINES = {"generate": "ildiff", "animate": "latents", "true": "true", "train": "train", "codec": "codec"}
CLIPS = "clips"  # the condition of generated clips


@dataclass(frozen=True)
class Request:
    """A source, a test set, and the scores to compute.

    Attributes:
        source: folder of clips, bundle, run, checkpoint, or the name of a matting method or pipeline.
        against: test set: folder of shards or of clips, or `procedural`.
        metrics: some of `METRICS`.
        split: of the test set.
        limit: maximum number of groups of the test set; None for all.
        size: height and width, pixels.
        num_frames: of each clip.
        clips: minimum number of clips to generate, see `VideoEvalSet`.
        condition: background and damage of opaque clips for matting, see
            `glassine.data.transforms.evaluation_conditions`.
        backgrounds: on which distances are computed.
        part: argument of a run's task that holds the network; None for the first of `PARTS` that it has.
        device: where the networks run.
    """

    source: str
    against: str
    metrics: tuple[str, ...] = METRICS
    split: Split = "val"
    limit: int | None = None
    size: int = 128
    num_frames: int = 8
    clips: int = 1
    condition: str = "white"
    backgrounds: tuple[str, ...] = ("white",)
    part: str | None = None
    device: torch.device = CPU


def test_set(request: Request) -> CaptionedSet:
    """The test set of a request.

    Raises:
        UserError: there is no such test set, or a number is out of range.
    """
    paced, how = "motion" in request.metrics, (request.size, request.num_frames)
    if request.against == "procedural":
        return CaptionedSet("procedural", "", request.split, request.limit, *how, paced)
    folder = Path(request.against)
    if folder.is_dir() and not any(folder.rglob("*.tar")):
        return FolderSet(folder, request.limit, *how, paced)
    return CaptionedSet("stickers", request.against, request.split, request.limit, *how, paced)


def source_of(request: Request, real: CaptionedSet) -> AlphaMethod | tuple[Method, VideoSampler]:
    """The source as a matting method, or as a method with a sampler of clips.

    Args:
        request: names the source.
        real: the test set.

    Raises:
        UserError: the source does not exist or cannot be scored.
    """
    source, path = request.source, Path(request.source)
    if source in PIPELINES:
        sampler = REFERENCES[PIPELINES[source]](request.device)
        return Method(source, source, dict(sampler.settings), digest=sampler.digest), sampler
    if source in TITLES:
        (method, *_) = make_methods([source], device=request.device)
        return method
    is_network = path.is_file() or (path / "model.safetensors").is_file() or (path / "checkpoints").is_dir()
    if path.is_dir() and not is_network:
        return folder_of_clips(path, real)
    part = request.part or part_of(path)
    loaded = load_network(source, part)
    network = loaded.network
    if isinstance(network, ILDiff):
        return alpha_methods.ildiff_method(source, request.device)
    if isinstance(network, TransparencyVAE):
        return alpha_methods.layer_diffuse(source, request.device)
    if isinstance(network, MattingAnything):
        return alpha_methods.matting_anything(source, request.device)
    if isinstance(network, Sam):
        return alpha_methods.sam(source, request.device)
    sampler = load_sampler(source, part, request.device)
    how = {**SHORT_SETTINGS, **sampler.settings}
    name, origin, digest = type(network).__name__, loaded.origin, sampler.digest
    return Method(name, origin, how, weights=origin, digest=digest, parameters=sampler.parameters), sampler


def part_of(path: Path) -> str:
    """The argument of a run's task that holds a scorable network; for a bundle the result has no effect.

    Raises:
        UserError: the run has none of `PARTS`.
    """
    checkpoint = path if path.suffix == ".ckpt" else path / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        return PARTS[0]
    arguments = read_run_config(checkpoint)["model"]["init_args"]
    found = [name for name in PARTS if name in arguments]
    if not found:
        raise UserError(f"{path} must be a run with one of {', '.join(PARTS)}, got none: give --part")
    return found[0]


def folder_of_clips(folder: Path, real: CaptionedSet) -> tuple[Method, VideoSampler]:
    """A method for existing clips. Clips that are named after test clips get their captions and groups."""
    keys = {file_name(one.key): one.key for one in real.clips}
    by_key = {one.key: one for one in real.clips}
    whole = FolderSet(folder, None, real.size, real.num_frames)
    pairs = matching([path.stem for path in whole.files], keys)
    captions = {stem: by_key[key].caption for stem, key in pairs.items()}
    groups = {stem: by_key[key].group or key for stem, key in pairs.items()}
    made = FolderSet(folder, None, real.size, real.num_frames, real.paced, captions, groups)

    def stand_in(*_: object) -> list[CaptionedClip]:
        return [replace(one, key=pairs.get(one.key, one.key)) for one in made.clips]

    sampler = VideoSampler(rgba_of, 0, made.digest, rebuilds=bool(pairs), seeded=False, stand_in=stand_in)
    return Method(CLIPS, folder.name, digest=made.digest), sampler
