"""Clips of a set of stills and prompts by several teachers, for people or a proxy to choose from.

Animated Stickers (arXiv 2402.06088, figure 4): teachers that were fine-tuned by different recipes animate the same
prompts, and what people choose trains a student.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassine.data.shards import resize_frames
from glassine.models.sampling import Progress
from glassine.models.transparent_video import TransparentVideo
from glassine.pipelines.animate import AnimatePipeline
from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.weights import load_bundle, locate
from glassine.review.clip_writer import ClipWriter
from glassine.review.clips import Teacher
from glassine.review.prompts import Prompt
from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError


@dataclass(frozen=True)
class TrainedTeacher:
    """A network and how it was trained.

    Attributes:
        name: unique; 1 to 40 letters, digits, `-` and `_`.
        source: checkpoint of a run, or a bundle with a `recipe.yaml`.
    """

    name: str
    source: str

    @property
    def is_run(self) -> bool:
        """Whether the source is the checkpoint of a run."""
        return Path(self.source).suffix == ".ckpt"

    def record(self, sampling: Mapping[str, Any]) -> Teacher:
        """What the manifest says of it: the digest of its weights, and its recipe with the settings of sampling.

        Raises:
            UserError: there are no weights, or they come without their recipe.
        """
        if self.is_run:
            file = Path(self.source)
            config = read_run_config(file)
            trainer = config.get("trainer") or {}
            recipe = {name: config.get(name) for name in ("seed_everything", "model", "data")}
            recipe["trainer"] = {name: trainer.get(name) for name in ("max_steps", "precision")}
        else:
            file, about = locate(self.source) / "model.safetensors", locate(self.source) / "recipe.yaml"
            if not about.is_file():
                raise UserError(
                    f"teacher {self.name} must come with its recipe, got the weights {self.source} alone: give the "
                    "checkpoint of its run, or put the run's config.yaml beside them as recipe.yaml"
                )
            recipe = read_yaml(about)
        with file.open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
        return Teacher(digest, json.loads(json.dumps({**recipe, "sampling": dict(sampling)}, default=str)))

    def pipeline(self, device: str) -> AnimatePipeline:
        """It as a pipeline; UserError if it cannot animate."""
        if self.is_run:
            network = load_part(Path(self.source), "generator", read_run_config(Path(self.source)))[0]
        else:
            network = load_bundle(self.source)
        if not isinstance(network, TransparentVideo) or not network.animates:
            raise UserError(f"teacher {self.name} must animate pictures, got a {type(network).__name__}")
        return AnimatePipeline(network, device)


def teach(
    prompts: Sequence[Prompt],
    teachers: Sequence[TrainedTeacher],
    folder: Path,
    seeds: Sequence[int],
    num_frames: int,
    size: tuple[int, int],
    fps: float,
    sampling: Mapping[str, Any],
    device: str = "auto",
    progress: Progress = lambda *_: None,
) -> int:
    """Make the clips that are missing in a folder, and its manifest; returns their number.

    Args:
        prompts: the stills and what they are to do.
        teachers: of different names.
        folder: see `ClipWriter`.
        seeds: one clip each, of every prompt by every teacher.
        num_frames: frames of a clip.
        size: height and width in pixels; stills are fitted into it.
        fps: frames per second.
        sampling: further settings of the pipeline's call.
        device: `auto` is CUDA if available, else the CPU.
        progress: called with the number of clips that are done and of all.

    Raises:
        UserError: nothing to make, names that are not unique, teachers without recipe or that cannot animate, or a
            folder with clips of other settings or teachers, which are kept.
    """
    for what, names in (("prompts", [one.id for one in prompts]), ("teachers", [one.name for one in teachers])):
        if not names or len(set(names)) < len(names):
            raise UserError(f"there must be {what} of different names, got {', '.join(names) or 'none'}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"seeds must be different numbers, got {list(seeds)}")
    records = {teacher.name: teacher.record(sampling) for teacher in teachers}
    stills = {prompt.id: resize_frames(prompt.still[None], *size, keep_shape=True)[0] for prompt in prompts}
    settings = {**sampling, "num_frames": num_frames, "height": size[0], "width": size[1], "fps": fps, "style": ""}
    made, total = 0, len(teachers) * len(prompts) * len(seeds)
    jobs = [(prompt, seed) for prompt in prompts for seed in seeds]
    with ClipWriter(folder, num_frames, size, fps, records) as writer:
        for prompt in prompts:
            writer.check_still(prompt.id, stills[prompt.id])
        for number, teacher in enumerate(teachers):
            pipeline: AnimatePipeline | None = None
            for place, (prompt, seed) in enumerate(jobs):
                if not writer.has(prompt.id, teacher.name, seed):
                    pipeline = pipeline or teacher.pipeline(device)
                    sticker = pipeline(prompt.caption, stills[prompt.id], **settings, seed=[seed])[0]
                    writer.write(prompt.id, teacher.name, seed, sticker, stills[prompt.id], **prompt.about)
                    made += 1
                progress(number * len(jobs) + place + 1, total)
        writer.finish()
    return made
