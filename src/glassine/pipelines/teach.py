"""Clips of a set of stills and prompts by several teachers, for people or a proxy to choose from.

Animated Stickers (arXiv 2402.06088, figure 4): teachers that were fine-tuned by different recipes animate the same
prompts, and what people choose trains a student. Clips, stills and where they are from go into a folder with a
`manifest.json`; what is there already is kept, so that the work can be interrupted.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glassine.data.clips import spread_rows
from glassine.data.codecs import write_sticker
from glassine.data.shards import StickerShards, resize_frames
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.sampling import Progress
from glassine.models.transparent_video import TransparentVideo
from glassine.pipelines.animate import AnimatePipeline, check_still, is_opaque, read_still
from glassine.pretrained.weights import load_bundle, load_part, locate, read_run_config
from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, sole_writer

MANIFEST, FORMAT = "manifest.json", 1
NAME = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*")
LONGEST_ID, LONGEST_NAME = 40, 24
SPLITS = ("train", "val", "test")
SAVED_EVERY = 16  # clips


@dataclass(frozen=True)
class Prompt:
    """One still and what it is to do.

    Attributes:
        id: unique; letters, digits, `-` and `_`.
        caption: the motion, or what the sticker shows, without a domain.
        caption_zh: in Chinese; None if there is none.
        still: `h w 4` uint8, straight RGBA.
        group: near-duplicates of the still share a group, and therefore a split.
        split: `train`, `val` or `test`.
        source: where the still is from.
        licence: of the still.
    """

    id: str
    caption: str
    caption_zh: str | None
    still: np.ndarray
    group: str
    split: str
    source: str
    licence: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.id) or len(self.id) > LONGEST_ID:
            raise UserError(
                f"the id of a prompt must be of at most {LONGEST_ID} letters, digits, - and _, got {self.id!r}"
            )
        if not self.caption.strip():
            raise UserError(f"the caption of {self.id} must not be empty")
        if self.split not in SPLITS:
            raise UserError(f"the split of {self.id} must be {', '.join(SPLITS)}, got {self.split!r}")
        check_still(self.still, f"the still of {self.id}")


def prompts_of_shards(
    root: Path, split: str = "train", limit: int | None = None, stills: bool = False
) -> Iterator[Prompt]:
    """The middle frames of the animated stickers of a split, or its still ones; evenly spaced if more than `limit`."""
    shards = StickerShards(root)
    for row in map(int, spread_rows(shards.select(split, "only" if stills else False), limit)):  # type: ignore[arg-type]
        info = shards.metadata(row)
        still = shards.read(row, [info.num_frames // 2])[0]
        if not visible(still):
            continue
        text, chinese = (caption.partition("\t")[2] for caption in (info.caption, info.caption_zh))
        about = (info.group, info.split, info.source, info.license)
        yield Prompt(prompt_id(info.key), text, chinese or None, still, *about)


def prompt_id(key: str) -> str:
    """The id of a sticker's prompt; a long key is cut and told from others by its digest."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", key)
    return name if len(name) <= LONGEST_ID else f"{name[:31]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def prompts_of_procedural(count: int, split: str = "train", seed: int = 0) -> Iterator[Prompt]:
    """The middle frames of rendered stickers of a split."""
    found, number = 0, 0
    stickers = ProceduralStickers(seed=seed, length=20 * count + 20, size=128)
    while found < count and number < len(stickers):
        info, still = stickers.info(number), None
        if info["split"] == split:
            frames = len(info["durations"])
            still = stickers.render(number, [frames // 2])[0]
        if still is not None and visible(still):
            found += 1
            about = (info["group"], split, "procedural", str(info.get("license") or ""))
            yield Prompt(f"drawn_{number}", str(info.get("description") or "a sticker"), None, still, *about)
        number += 1


def prompts_of_file(path: Path) -> Iterator[Prompt]:
    """The prompts of a JSON list with the attributes of `Prompt`; `still` is a path relative to the file.

    Raises:
        UserError: no such list, attributes that are missing, or stills that cannot be read.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        kept = [{name: entry.get(name) for name in Prompt.__dataclass_fields__} for entry in entries]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path} must be a JSON list of prompts, got {error}") from error
    for entry in kept:
        if missing := [name for name in ("id", "caption", "still", "group") if not isinstance(entry[name], str)]:
            raise UserError(f"every prompt of {path} must have {', '.join(missing)}, got {entry}")
        rest = {"split": entry["split"] or "train", "source": entry["source"] or "", "licence": entry["licence"] or ""}
        yield Prompt(**{**entry, **rest, "still": read_still(path.parent / entry["still"])[0]})


def visible(still: np.ndarray) -> bool:
    """Whether a still can be animated: it shows something, and not everywhere."""
    return bool(still[..., 3].any()) and not is_opaque(still)


@dataclass(frozen=True)
class Teacher:
    """A network and how it was trained.

    Attributes:
        name: unique; letters, digits, `-` and `_`.
        source: checkpoint of a run, or a bundle with a `recipe.yaml`.
    """

    name: str
    source: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > LONGEST_NAME:
            raise UserError(
                f"the name of a teacher must be of at most {LONGEST_NAME} letters, digits, - and _, got {self.name!r}"
            )

    def is_run(self) -> bool:
        """Whether the source is the checkpoint of a run."""
        return Path(self.source).suffix == ".ckpt"

    def record(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """What the manifest says of it: the digest of its weights, and its recipe with the settings of sampling.

        Raises:
            UserError: there are no weights, or they come without their recipe.
        """
        if self.is_run():
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
        digest = sha256(file)
        return {"weights": digest, "recipe": {**plain(recipe), "sampling": plain(dict(sampling))}}

    def pipeline(self, device: str) -> AnimatePipeline:
        """It as a pipeline; UserError if it cannot animate."""
        if self.is_run():
            network = load_part(Path(self.source), "generator", read_run_config(Path(self.source)))[0]
        else:
            network = load_bundle(self.source)
        if not isinstance(network, TransparentVideo) or not network.animates:
            raise UserError(f"teacher {self.name} must animate pictures, got a {type(network).__name__}")
        return AnimatePipeline(network, device)


def teach(
    prompts: Sequence[Prompt],
    teachers: Sequence[Teacher],
    folder: Path,
    seeds: Sequence[int],
    num_frames: int,
    size: tuple[int, int],
    fps: float,
    sampling: Mapping[str, Any],
    device: str = "auto",
    progress: Progress = lambda *_: None,
) -> int:
    """Make the clips that are missing in a folder; returns their number.

    Args:
        prompts: the stills and what they are to do.
        teachers: of different names.
        folder: to write into, with `manifest.json`, `stills` and `clips`.
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
    head = {"format": FORMAT, "frames": num_frames, "size": list(size), "fps": float(fps)}
    records = {teacher.name: teacher.record(sampling) for teacher in teachers}
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    (folder / "stills").mkdir(exist_ok=True)
    with sole_writer(folder, "the clips of teachers"):
        manifest = read_manifest(folder, head, records)
        known = {clip["file"]: clip for clip in manifest["clips"]}
        stills = {prompt.id: write_still(prompt, folder, size) for prompt in prompts}
        made, total = 0, len(teachers) * len(prompts) * len(seeds)
        jobs = [(prompt, seed) for prompt in prompts for seed in seeds]
        try:
            for number, teacher in enumerate(teachers):
                pipeline: AnimatePipeline | None = None
                for place, (prompt, seed) in enumerate(jobs):
                    file = f"clips/{prompt.id}-{teacher.name}-{seed}.webp"
                    if not is_there(folder / file, known.get(file)):
                        pipeline = pipeline or teacher.pipeline(device)
                        size_settings = {"num_frames": num_frames, "height": size[0], "width": size[1]}
                        settings = {**sampling, **size_settings, "fps": fps, "seed": [seed], "style": ""}
                        sticker = pipeline(prompt.caption, stills[prompt.id], **settings)[0]
                        write_sticker(sticker, folder / file)
                        known[file] = entry(prompt, teacher.name, seed, file, sha256(folder / file))
                        made += 1
                        if made % SAVED_EVERY == 0:
                            write_manifest(folder, {**manifest, "clips": list(known.values())})
                    progress(number * len(jobs) + place + 1, total)
        finally:  # what was made before an error is not made again
            write_manifest(folder, {**manifest, "clips": list(known.values())})
    return made


def entry(prompt: Prompt, teacher: str, seed: int, file: str, digest: str) -> dict[str, Any]:
    """What the manifest says of a clip; `sha256` is that of its file."""
    return {
        "prompt": prompt.id,
        "caption": prompt.caption,
        "caption_zh": prompt.caption_zh,
        "still": f"stills/{prompt.id}.png",
        "teacher": teacher,
        "seed": seed,
        "file": file,
        "group": prompt.group,
        "split": prompt.split,
        "source": prompt.source,
        "licence": prompt.licence,
        "sha256": digest,
    }


def is_there(path: Path, known: Mapping[str, Any] | None) -> bool:
    """Whether a clip is the one that the manifest says."""
    return known is not None and path.is_file() and sha256(path) == known.get("sha256")


def write_still(prompt: Prompt, folder: Path, size: tuple[int, int]) -> np.ndarray:
    """The still as it is animated, `h w 4` uint8, fitted into `size`; written unless it is there."""
    still = resize_frames(prompt.still[None], *size, keep_shape=True)[0]
    path = folder / "stills" / f"{prompt.id}.png"
    if path.is_file():
        with Image.open(path) as there:
            if not np.array_equal(np.asarray(there.convert("RGBA")), still):
                raise UserError(f"{path} must be the still of {prompt.id}, got another picture: use another folder")
        return still
    with atomic_path(path) as target:
        Image.fromarray(still).save(target, "PNG")
    return still


def read_manifest(folder: Path, head: Mapping[str, Any], records: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a folder, with `records` of its teachers, or a new one.

    Raises:
        UserError: it cannot be read, or is of other settings or of other teachers of these names.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {**head, "teachers": dict(records), "clips": []}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        before, clips = dict(manifest["teachers"]), list(manifest["clips"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} must be a manifest of clips, got something else ({error}): use another folder"
        ) from error
    for name, value in head.items():
        if manifest.get(name) != value:
            raise UserError(f"{name} must be {manifest.get(name)} as in {path}, got {value}: use another folder")
    for name, record in records.items():
        if before.get(name, record) != record:
            raise UserError(f"{folder} has clips of another teacher {name}: give this one another name or folder")
    return {**head, "teachers": {**before, **records}, "clips": clips}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write `manifest.json` atomically, clips in the order of their files."""
    ordered = {**manifest, "clips": sorted(manifest["clips"], key=lambda clip: clip["file"])}
    with atomic_path(folder / MANIFEST) as path:
        path.write_text(json.dumps(ordered, ensure_ascii=False, indent=1), encoding="utf-8")


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value, default=str))
