"""The rows of `glassine benchmark styles`: the cut-out by each method, closed forms, GrabCut, closed-form matting.

All methods get only opaque frames, except GrabCut, which also gets the true bounding box, as a user would draw it.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from glassine.bench.style_cases import Frames
from glassine.models.classic import ColorProjection, GrabCut, for_damaged_files, true_boxes
from glassine.pipelines.area_networks import NETWORKS
from glassine.pipelines.cutout import TINY, CutoutPipeline, Method
from glassine.pretrained.shared_tensors import file_digest
from glassine.pretrained.weights import WEIGHTS_FILE, locate
from glassine.utils.errors import UserError

Levels = NDArray[np.uint8]  # f h w
Cut = Callable[[Frames, bool, Levels], Levels]
"""`(opaque frames, whether they are damaged, true alpha)` -> alpha; the true alpha is for prompts only."""
CLEAN, DAMAGED = 1 / 255 + 1e-4, 12 / 255 + 1e-4  # tolerances of plain flood fill
BAND = 5  # width in pixels of the trimap's unknown band on each side of the hint's edge


@dataclass(frozen=True)
class StyleRow:
    """One row of the table.

    Attributes:
        name: short name.
        title: as shown in the table.
        cut: the method; None if a package is missing.
        settings: for the record.
        missing: why there is no `cut`; empty if there is.
    """

    name: str
    title: str
    cut: Cut | None
    settings: dict[str, float | int | str] = field(default_factory=dict)
    missing: str = ""


def make_rows(names: list[str] | None = None, device: str = "cpu") -> list[StyleRow]:
    """The rows, in the order of the table.

    Args:
        names: some of `ROW_NAMES`; None for all.
        device: of the cut-out's network.

    Raises:
        UserError: a name is unknown.
    """
    pipeline = CutoutPipeline.from_pretrained(device=device)
    own: dict[str, tuple[str, Method]] = {
        "cutout": ("`glassine cutout`", "auto"),
        "closed_form": ("closed form alone", "closed-form"),
        "network": ("network alone", "network"),
    }
    found = [
        StyleRow(name, title, partial(_by_pipeline, pipeline, method), settings=_weights(method))
        for name, (title, method) in own.items()
    ]
    fill = {damaged: ColorProjection(DAMAGED if damaged else CLEAN, band=1) for damaged in (False, True)}
    exact, calm = ColorProjection(0.012, 1), for_damaged_files()
    found += [
        StyleRow("flood_fill", "flood fill + projection, tolerance 1 or 12", partial(_by_network, fill)),
        StyleRow("projection", "color projection", partial(_by_network, {False: exact, True: exact})),
        StyleRow("calm", "color projection, calm", partial(_by_network, {False: calm, True: calm})),
        StyleRow("grabcut", "GrabCut (true box)", _by_grabcut),
    ]
    has_matting = importlib.util.find_spec("pymatting") is not None
    found.append(
        StyleRow(
            "closed_form_matting",
            "closed-form matting (trimap from flood fill)",
            partial(_by_matting, fill) if has_matting else None,
            settings={"band": BAND},
            missing="" if has_matting else "needs the package pymatting",
        )
    )
    known = {row.name: row for row in found}
    if unknown := [name for name in names or () if name not in known]:
        raise UserError(f"methods must be of {', '.join(known)}, got {', '.join(unknown)}")
    return [row for row in found if names is None or row.name in names]


ROW_NAMES = ("cutout", "closed_form", "network", "flood_fill", "projection", "calm", "grabcut", "closed_form_matting")
CLOSED = ("flood_fill", "projection", "calm")  # closed-form baselines of the cut-out


def _weights(method: Method) -> dict[str, float | int | str]:
    """Digests of the weights that a method uses, so that records of others are measured again."""
    areas = {f"areas_{name}": file_digest(network.path) for name, network in NETWORKS.items()}
    network = {"weights": file_digest(locate(TINY) / WEIGHTS_FILE)}
    used: dict[str, float | int | str] = {}
    used |= network if method != "closed-form" else {}
    used |= areas if method != "network" else {}
    return used


def _by_pipeline(pipeline: CutoutPipeline, method: Method, frames: Frames, damaged: bool, truth: Levels) -> Levels:
    done = pipeline.stream(((frame, 40) for frame in frames), method=method)
    return np.stack([frame[..., 3] for frame, _ in done])


def _to_clip(frames: Frames) -> torch.Tensor:
    return torch.from_numpy(frames[..., :3]).permute(0, 3, 1, 2)[None].float() / 255  # 1 f 3 h w


def _to_levels(alpha: torch.Tensor) -> Levels:
    return np.asarray((alpha[0, :, 0].numpy() * 255).round().astype(np.uint8))


def _by_network(networks: dict[bool, ColorProjection], frames: Frames, damaged: bool, truth: Levels) -> Levels:
    return _to_levels(networks[damaged](_to_clip(frames), None))


def _by_grabcut(frames: Frames, damaged: bool, truth: Levels) -> Levels:
    boxes = true_boxes(torch.from_numpy(truth)[None, :, None].float() / 255)
    return _to_levels(GrabCut()(_to_clip(frames), boxes))


def _by_matting(networks: dict[bool, ColorProjection], frames: Frames, damaged: bool, truth: Levels) -> Levels:
    """Closed-form matting (Levin, Lischinski and Weiss, CVPR 2006) by pymatting, on a trimap from the eroded hint."""
    from pymatting import cf_laplacian, make_linear_system
    from scipy.sparse.linalg import spsolve

    planes = []
    kernel = np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    for frame, hint in zip(frames, _by_network(networks, frames, damaged, truth), strict=True):
        sure = cv2.erode((hint >= 128).astype(np.uint8), kernel, borderValue=1)
        clear = cv2.erode((hint < 128).astype(np.uint8), kernel, borderValue=1)
        unknown = (sure == 0) & (clear == 0)
        if not sure.any() or not clear.any():  # matting needs an example of both
            planes.append(hint)
            continue
        alpha = sure.astype(np.float64)
        if unknown.any():
            trimap = np.where(unknown, 0.5, alpha)
            matrix, right = make_linear_system(cf_laplacian(frame[..., :3] / 255.0, is_known=~unknown), trimap)
            places = np.flatnonzero(unknown.ravel())
            rows = matrix.tocsr()[places]
            rest = right[places] - rows @ alpha.ravel()
            alpha.ravel()[places] = spsolve(rows[:, places].tocsc(), rest)
        planes.append((alpha.clip(0, 1) * 255).round().astype(np.uint8))
    return np.stack(planes)
