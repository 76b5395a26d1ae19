"""The rows of the score table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from glassine.bench import prompted_methods
from glassine.bench.decoder_methods import CODEC, SHIPPED_ILDIFF, ildiff_method, layer_diffuse
from glassine.bench.method import CPU, TITLES, Method, settings_of
from glassine.bench.prompted_methods import SHIPPED_MATTING, SHIPPED_SAM
from glassine.bench.variant_methods import ARMS, RUNS, variant
from glassine.models.classic import ColorProjection, FloodFill, Threshold, for_damaged_files
from glassine.utils.errors import UserError


@dataclass(frozen=True)
class Sources:
    """Where the networks of the rows come from: bundles, runs or checkpoints (`load_network`).

    Attributes:
        ildiff: several are seeds of one row.
        codec: LayerDiffuse's.
        sam: a SAM of ours.
        matting_anything: a Matting Anything of ours.
        sam2: a hub id or a folder in transformers' format; None for no weights.
        variants: folder of the runs of `make ablate-variants`.
    """

    ildiff: Sequence[str] = (SHIPPED_ILDIFF,)
    codec: str = CODEC
    sam: str = SHIPPED_SAM
    matting_anything: str = SHIPPED_MATTING
    sam2: str | None = None
    variants: Path = RUNS


def make_methods(
    names: Sequence[str] | None = None,
    sources: Sources | None = None,
    device: torch.device = CPU,
) -> list[Method]:
    """The rows asked for, in the table's order.

    Args:
        names: keys of `TITLES`; None for all.
        sources: where their networks come from; None for what ships.
        device: where the networks run.

    Raises:
        UserError: an unknown name.
    """
    unknown = [name for name in names or () if name not in TITLES]
    if unknown:
        raise UserError(f"method {unknown[0]!r} came; choose from {', '.join(TITLES)}")
    sources = sources or Sources()
    ildiff = sources.ildiff
    label = "" if ildiff[0] == SHIPPED_ILDIFF else f" ({ildiff[0]})"
    makers: dict[str, Callable[[], list[Method]]] = {
        "threshold": lambda: [classic("threshold", Threshold())],
        "flood_fill": lambda: [classic("flood_fill", FloodFill())],
        "color_projection": lambda: [classic("color_projection", ColorProjection())],
        # ILDiff's hint has it as a candidate, so it has to stand beside ILDiff
        "color_projection_calm": lambda: [classic("color_projection_calm", for_damaged_files())],
        "grab_cut": lambda: [prompted_methods.grab_cut()],
        "matting_anything": lambda: [prompted_methods.matting_anything(sources.matting_anything, device)],
        "sam": lambda: [prompted_methods.sam(sources.sam, device)],
        "sam2": lambda: [prompted_methods.sam2(sources.sam2, device)],
        "layer_diffuse": lambda: [layer_diffuse(sources.codec, device)],
        **{name: partial(one_variant, name, sources, device) for name in ARMS},
        # without the hint's candidates in the mix; the decoder still looks at them
        "ildiff_own": lambda: [ildiff_method(s, device, TITLES["ildiff_own"] + label, "ildiff_own") for s in ildiff],
        "ildiff": lambda: [ildiff_method(s, device, TITLES["ildiff"] + label) for s in ildiff],
        "cutout": lambda: [ildiff_method(s, device, TITLES["cutout"] + label, "cutout") for s in ildiff],
    }
    return [method for name, make in makers.items() if names is None or name in names for method in make()]


def one_variant(name: str, sources: Sources, device: torch.device) -> list[Method]:
    """A row of ILDiff without one of its parts."""
    return [variant(name, sources.variants, device)]


def classic(name: str, network: nn.Module) -> Method:
    """A method without learning that looks at the clip and its background."""
    return Method(name, TITLES[name], lambda clip, background, _: network(clip, background), settings_of(network))
