"""Methods, which are the rows of all tables, and the selection of those of the matting table.

A `Method` has the metadata for records: weights, settings, seed. Matting methods (`AlphaMethod`) also have a function
that computes alpha from an opaque clip. Methods that generate clips are in `video_methods`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from glassine.bench.protocols import EvalSet
from glassine.bench.records import Record
from glassine.utils.errors import UserError

AlphaFunction = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
Setting = float | int | str
CPU = torch.device("cpu")
SHIPPED_ILDIFF, SHIPPED_TRANSPARENCY = "glassine:tiny-ildiff", "glassine:tiny-transparency"
SHIPPED_SAM, SHIPPED_MATTING = "glassine:tiny-sam", "glassine:tiny-matting-anything"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
RUNS = Path("lightning_logs/ildiff")
PAPER_CONDITIONS = ("white", "gray", "own_color", "own_color_jpeg75")  # of the ILDiff paper's table
TITLES = {
    "threshold": "threshold",
    "flood_fill": "flood fill, soft edge",
    "color_projection": "flood fill, color projection",
    "color_projection_calm": "flood fill, color projection, for damaged files",
    "grab_cut": "GrabCut, true box",
    "matting_anything": "Matting Anything, true point and box",
    "sam": "SAM, true point and box",
    "sam2": "SAM-2, true point and box of one frame",
    "layer_diffuse": "LayerDiffuse",
    "layer_diffuse_tuned": "LayerDiffuse, its decoder tuned as long as the next rows",
    "ildiff_paper": "ILDiff, the paper's network, short training",
    "ildiff_no_layout": "the same without distilled layout",
    "ildiff_no_time": "the same without time",
    "ildiff_explicit_masks": "the same with explicit masks",
    "ildiff_own": "ILDiff, its decoder alone",
    "ildiff": "ILDiff",
    "cutout": "ILDiff in `glassine cutout`",
}
# trained for few steps: shown in the paper's table and the details, but not in the overview
BRIEF = frozenset(
    ["layer_diffuse_tuned", "ildiff_paper", "ildiff_no_layout", "ildiff_no_time", "ildiff_explicit_masks"]
)


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        name: short name; a key of `TITLES`, or another that the caller chose.
        title: of the row; methods with the same title are seeds of one row.
        settings: arguments other than weights.
        weights: the bundle, or the run of the checkpoint.
        config: the YAMLs it was trained with and their overrides; empty if unknown.
        digest: hash of the weights.
        seed: of the training; None if unknown.
        parameters: number of parameters.
        missing: why it cannot be called; empty if it can.
        device: where it runs.
    """

    name: str
    title: str
    settings: dict[str, Setting] = field(default_factory=dict)
    weights: str = ""
    config: str = ""
    digest: str = ""
    seed: int | None = None
    parameters: int = 0
    missing: str = ""
    device: torch.device = CPU

    def new_record(self, eval_set: EvalSet, data: str = "", measured: str = "") -> Record:
        """A record without scores.

        Args:
            eval_set: on which the method is evaluated.
            data: name of the data.
            measured: description of the measurement.
        """
        return Record(
            method=self.name,
            title=self.title,
            split=eval_set.split,
            size=eval_set.size,
            num_frames=eval_set.num_frames,
            stickers=eval_set.keys(),
            data=data,
            weights=self.weights,
            config=self.config,
            digest=self.digest,
            seed=self.seed,
            settings=dict(self.settings),
            missing=self.missing,
            measured=measured,
        )


@dataclass(frozen=True)
class AlphaMethod(Method):
    """A method that computes alpha from an opaque clip.

    Attributes:
        function: `(clip, background, target alpha) -> alpha`; None if the weights are missing.
        size_multiple: height and width must be multiples of it.
        conditions: under which it is evaluated; None for all.
        more: `(clip, target alpha, target color)` -> further scores of a network by name; None for none.
        more_names: names of those scores.
    """

    function: AlphaFunction | None = None
    size_multiple: int = 1
    conditions: tuple[str, ...] | None = None
    more: Callable[[Tensor, Tensor, Tensor], dict[str, float]] | None = None
    more_names: tuple[str, ...] = ()

    def is_scored(self, condition: str) -> bool:
        """Whether it has weights and is evaluated under the condition."""
        return self.function is not None and (self.conditions is None or condition in self.conditions)

    @torch.no_grad()
    def alpha(self, clip: Tensor, background: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """Alpha `b f 1 h w` in [0, 1], on the CPU.

        Args:
            clip: `b f 3 h w` in [0, 1], opaque.
            background: color `b 3`; None if the method must estimate it, as for a user's file.
            target: true alpha `b f 1 h w`; used only by methods that need a prompt.

        Raises:
            UserError: the method's weights are missing.
        """
        if self.function is None:
            raise UserError(f"{self.title}: {self.missing}")
        return self.function(clip, background, target).float().cpu()


def settings_of(network: nn.Module) -> dict[str, Setting]:
    """The numbers and tuples among a module's attributes; for small modules, these are the constructor arguments."""
    kept = {n: v for n, v in vars(network).items() if n[0] != "_" and n != "training"}
    plain = {n: v for n, v in kept.items() if isinstance(v, int | float)}
    return plain | {n: str(v) for n, v in kept.items() if isinstance(v, tuple)}


@dataclass(frozen=True)
class Sources:
    """Sources of the networks in the matting rows: bundles, runs, checkpoints or official files (see `official`).

    Attributes:
        ildiff: one or more; several are seeds of one row.
        transparency: LayerDiffuse's VAE with alpha: ours, or the official decoder's file.
        sam: our SAM, or Meta's file.
        matting_anything: our Matting Anything, or the authors' file, which needs Meta's file as `sam`.
        sam2: a hub id or a folder in transformers' format, or Meta's file; None for no weights.
        variants: folder with the runs of `glassine benchmark variants`.
        transparency_encoder: file of LayerDiffuse's official encoder; None looks for it in the decoder's folder.
        sd_vae: hub id or folder of the Stable Diffusion whose VAE LayerDiffuse's files belong to.
    """

    ildiff: Sequence[str] = (SHIPPED_ILDIFF,)
    transparency: str = SHIPPED_TRANSPARENCY
    sam: str = SHIPPED_SAM
    matting_anything: str = SHIPPED_MATTING
    sam2: str | None = None
    variants: Path = RUNS
    transparency_encoder: str | None = None
    sd_vae: str = SD15


def make_methods(
    names: Sequence[str] | None = None,
    sources: Sources | None = None,
    device: torch.device = CPU,
) -> list[AlphaMethod]:
    """The requested matting rows, in the order of the table.

    Args:
        names: keys of `TITLES`; None for all.
        sources: of the networks; None for the shipped ones.
        device: where the networks run.

    Raises:
        UserError: a name is unknown, or a source holds another network.
    """
    from glassine.bench import alpha_methods as rows
    from glassine.models.classic import ColorProjection, FloodFill, Threshold, for_damaged_files

    unknown = [name for name in names or () if name not in TITLES]
    if unknown:
        raise UserError(f"method must be one of {', '.join(TITLES)}, got {unknown[0]!r}")
    sources = sources or Sources()
    ildiff = sources.ildiff
    label = "" if ildiff[0] == SHIPPED_ILDIFF else f" ({ildiff[0]})"
    makers: dict[str, Callable[[], list[AlphaMethod]]] = {
        "threshold": lambda: [classic("threshold", Threshold())],
        "flood_fill": lambda: [classic("flood_fill", FloodFill())],
        "color_projection": lambda: [classic("color_projection", ColorProjection())],
        # a candidate of ILDiff's hint, so it is compared with ILDiff
        "color_projection_calm": lambda: [classic("color_projection_calm", for_damaged_files())],
        "grab_cut": lambda: [rows.grab_cut()],
        "matting_anything": lambda: [rows.matting_anything(sources.matting_anything, device, sources.sam)],
        "sam": lambda: [rows.sam(sources.sam, device)],
        "sam2": lambda: [rows.sam2(sources.sam2, device)],
        "layer_diffuse": lambda: [
            rows.layer_diffuse(sources.transparency, device, sources.transparency_encoder, sources.sd_vae)
        ],
        **{name: partial(one_variant, name, sources, device) for name in rows.ARMS},
        # the hint's candidates are not mixed in, but the decoder still gets them as input
        "ildiff_own": lambda: [
            rows.ildiff_method(s, device, TITLES["ildiff_own"] + label, "ildiff_own") for s in ildiff
        ],
        "ildiff": lambda: [rows.ildiff_method(s, device, TITLES["ildiff"] + label) for s in ildiff],
        "cutout": lambda: [rows.ildiff_method(s, device, TITLES["cutout"] + label, "cutout") for s in ildiff],
    }
    return [method for name, make in makers.items() if names is None or name in names for method in make()]


def one_variant(name: str, sources: Sources, device: torch.device) -> list[AlphaMethod]:
    """An ablated variant of ILDiff, one method for each seed."""
    from glassine.bench.alpha_methods import variant

    return variant(name, sources.variants, device)


def classic(name: str, network: nn.Module) -> AlphaMethod:
    """A method without learned weights, called with the clip and its background."""
    function = lambda clip, background, _: network(clip, background)  # noqa: E731
    return AlphaMethod(name, TITLES[name], settings_of(network), function=function)
