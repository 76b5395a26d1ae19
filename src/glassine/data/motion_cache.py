"""Motion fields of animated stickers on disk, with the still that each belongs to, for training what animates stills.

A cache is a folder of `motion-NNNNNN.safetensors`: `motion` `n k g g 2` (`glassine.nn.motion_fields`), `stills`
`n h w 4` uint8, straight, `amounts` and `gains` `n`, with the stickers' metadata in the header.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from glassine.data.cache_files import CacheFiles, CacheKind, Content, Progress, write_cache
from glassine.data.frame_cache import CachedFrames
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.sticker import SPLITS
from glassine.utils.errors import UserError

MOTION = CacheKind("motion", what="motion fields", makers="version of the cache", verb="cache-motion")
# changes whenever the same frames would give different bytes
IDENTITY = {"motion": "2.0"}
Fit = Callable[[np.ndarray, int], tuple[np.ndarray, float, float]]
"""Field, amount and gain of a clip `f h w 4` uint8 around one of its frames: `glassine.nn.motion_fields.fit_motion`."""
STILL = 64  # side of the stored stills in pixels
ABOUT = ("key", "group", "domain", "source", "style", "caption", "caption_zh", "split", "subject")


def write_motion(
    frames: CachedFrames,
    fingerprint: str,
    fit: Fit,
    folder: Path,
    references: int = 4,
    samples_a_file: int = 512,
    progress: Progress = lambda *_: None,
) -> int:
    """Write the missing files of a cache; returns the number of new files.

    Args:
        frames: clips of whole loops, one row a sticker.
        fingerprint: of these.
        fit: measures the motion.
        folder: folder of the cache.
        references: how many frames of each clip, evenly spaced, are taken for its still in turn.
        samples_a_file: samples per file, except the last.
        progress: called with the number of samples done and the total.

    Raises:
        UserError: the folder contains another cache.
    """

    def make(part: Sequence[SampleId], tell: Callable[[int], None]) -> Content:
        found: dict[str, list[Any]] = {"motion": [], "stills": [], "amounts": [], "gains": []}
        about = []
        for done, (view, row) in enumerate(part):
            clip, known = frames.read(row, 0, 1)
            pictures = (rearrange(clip, "f c h w -> f h w c") * 255).round().byte().numpy()
            reference = (2 * view + 1) * len(pictures) // (2 * references)
            field, amount, gain = fit(pictures, reference)
            found["motion"].append(torch.from_numpy(field))
            still = cv2.resize(pictures[reference], (STILL, STILL), interpolation=cv2.INTER_AREA)
            found["stills"].append(torch.from_numpy(still))  # padded with color, so alpha may be averaged apart
            found["amounts"].append(torch.tensor(amount))
            found["gains"].append(torch.tensor(gain))
            about.append({name: known[name] for name in ABOUT})
            tell(done + 1)
        tensors = {name: torch.stack(values) for name, values in found.items()}
        return tensors, {"about": json.dumps(about, ensure_ascii=False)}

    samples = [(view, row) for row in range(len(frames)) for view in range(references)]
    settings = {"stickers": fingerprint, "references": str(references), "still": f"{STILL} x {STILL}"}
    return write_cache(MOTION, folder, IDENTITY, settings, samples, make, samples_a_file, progress)


class CachedMotion(Dataset[dict[str, Any]]):
    """Motion fields that explain their clips: `field` `k g g 2`, `still` `4 h w` in [0, 1], `amount`, `caption`.

    One sample per subject and pass, see `CachedFrames`. A clip whose motion is no displacement, such as a lamp that
    turns on, is left out, and so is one that hardly moves or jumps.

    Args:
        folders: caches.
        split: `train`, `val`, `test`, or `all` for weights that ship and are not scored.
        least_gain: in dB: how much better the moved still must show the clip than the still does.
        amounts: lowest and highest root mean square displacement, in shares of the frame's side.
        chinese: probability of the Chinese caption.
        mirror: whether samples are mirrored at random.
        seed: random seed.
        limit: maximum number of samples, evenly spaced; None for all.

    Raises:
        UserError: no cache, an incomplete or damaged one, or no such sample.
    """

    def __init__(
        self,
        folders: list[str] | str | Path,
        split: str = "train",
        least_gain: float = 1.0,
        amounts: tuple[float, float] = (0.003, 0.08),
        chinese: float = 0.3,
        mirror: bool = True,
        seed: int = 0,
        limit: int | None = None,
    ) -> None:
        if split not in (*SPLITS, "all"):
            raise UserError(f"split must be one of {', '.join(SPLITS)} or all, got {split!r}")
        paths = [Path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
        subjects: dict[str, list[tuple[Tensor, Tensor, float, dict[str, Any]]]] = {}
        for path in paths:
            cache = CacheFiles(MOTION, path)
            for number, header in enumerate(cache.headers):
                file = cache.file(number)
                fields, stills, gains = (file.get_tensor(name) for name in ("motion", "stills", "gains"))
                moved = file.get_tensor("amounts")
                for place, known in enumerate(json.loads(header["about"])):
                    fits = gains[place] >= least_gain and amounts[0] <= moved[place] <= amounts[1]
                    if fits and split in ("all", known["split"]):
                        one = (fields[place].half(), stills[place], float(moved[place]), known)
                        subjects.setdefault(known["subject"], []).append(one)
        members = [subjects[name] for name in sorted(subjects)]
        if limit is not None and limit < len(members):
            members = [members[place] for place in np.linspace(0, len(members) - 1, limit).round().astype(int)]
        if not members:
            raise UserError(f"{', '.join(map(str, paths))} has no motion of split {split!r} that fits")
        self.members, self.seed, self.chinese, self.mirror = members, seed, chinese, mirror

    def __len__(self) -> int:
        return len(self.members)

    def statistics(self) -> tuple[list[float], list[float]]:
        """For `ImageDynamics`: the middles of ten equal shares of the amounts, and the deviation of each term.

        The latter is of fields whose amount is 1.
        """
        every = [(field.float() / amount, amount) for members in self.members for field, _, amount, _ in members]
        shares = [(number + 0.5) / 10 for number in range(10)]
        deviations = torch.stack([field for field, _ in every]).square().mean((0, 2, 3, 4)).sqrt()
        return np.quantile([amount for _, amount in every], shares).tolist(), deviations.tolist()

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        epoch, row = (0, item) if isinstance(item, int) else item
        generator = sample_generator(self.seed, epoch, row)
        draws = torch.rand(3, generator=generator)
        members = self.members[row]
        field, still, amount, known = members[int(draws[0] * len(members))]
        field, picture = field.float(), rearrange(still, "h w c -> c h w").float() / 255
        if self.mirror and draws[1] < 0.5:
            field, picture = field.flip(2) * torch.tensor([-1.0, 1.0]), picture.flip(2)
        caption = known["caption_zh"] if draws[2] < self.chinese and known["caption_zh"] else known["caption"]
        return {"field": field, "still": picture, "amount": amount, "caption": caption, "key": known["key"]}
