"""Rows of methods that are told where the sticker is: by its true box, or by the true alpha's center and box."""

import torch
from torch import Tensor, nn

from glassine.bench.loading import Loaded, load_network
from glassine.bench.method import CPU, TITLES, Method, settings_of
from glassine.models.classic import GrabCut, true_boxes
from glassine.models.matting_anything import MattingAnything
from glassine.models.prompted_sam import PromptedSam
from glassine.utils.errors import UserError

SHIPPED_SAM = "glassine:tiny-sam"
SHIPPED_MATTING = "glassine:tiny-matting-anything"


def grab_cut() -> Method:
    """GrabCut in the true box."""
    network = GrabCut()

    def function(clip: Tensor, _: Tensor | None, true_alpha: Tensor | None) -> Tensor:
        if true_alpha is None:
            raise ValueError("GrabCut needs the true alpha for its box")
        return network(clip, true_boxes(true_alpha))

    return Method("grab_cut", TITLES["grab_cut"], function, settings_of(network))


def sam(source: str = SHIPPED_SAM, device: torch.device = CPU) -> Method:
    """SAM on each frame alone: center point and outer rectangle of the true alpha, as in the ILDiff paper."""
    try:
        loaded = load_network(source, "sam")
        network = PromptedSam(loaded.network).to(device)
    except UserError as error:
        return Method("sam", TITLES["sam"], weights=source, missing=str(error))
    except TypeError as error:
        raise UserError(f"{source}: {error}") from error
    return prompted("sam", network, loaded, device)


def matting_anything(source: str = SHIPPED_MATTING, device: torch.device = CPU) -> Method:
    """Matting Anything on each frame alone, with the same prompts."""
    name = "matting_anything"
    try:
        loaded = load_network(source, "network")
    except UserError as error:
        return Method(name, TITLES[name], weights=source, missing=str(error))
    if not isinstance(loaded.network, MattingAnything):
        raise UserError(f"{source} holds a {type(loaded.network).__name__}; this row needs a MattingAnything")
    return prompted(name, loaded.network.to(device), loaded, device)


def sam2(source: str | None = None, device: torch.device = CPU) -> Method:
    """SAM-2 on the whole clip, prompted on one frame; nothing small enough to ship learns it on a CPU."""
    if source is None:
        missing = "needs weights: give --sam2 facebook/sam2.1-hiera-tiny, or the folder of a copy"
        return Method("sam2", TITLES["sam2"], missing=missing)
    from glassine.models.prompted_sam import PromptedSam2  # transformers takes seconds to import
    from glassine.pretrained.sam import sam2_video

    try:
        loaded = Loaded(PromptedSam2(sam2_video(source)), source)
    except UserError as error:
        return Method("sam2", TITLES["sam2"], weights=source, missing=str(error))
    return prompted("sam2", loaded.network.to(device), loaded, device)


def prompted(name: str, network: nn.Module, loaded: Loaded, device: torch.device) -> Method:
    """The row of a network that is called with the clip and the true alpha, and makes its prompts of that."""

    def function(clip: Tensor, _: Tensor | None, true_alpha: Tensor | None) -> Tensor:
        if true_alpha is None:
            raise ValueError(f"{name} needs the true alpha for its prompts")
        return decode(clip.to(device), true_alpha.to(device))

    decode = network.decode if isinstance(network, MattingAnything) else network
    return Method(
        name,
        TITLES[name],
        function,
        settings_of(network),
        weights=loaded.origin,
        digest=loaded.digest,
        seed=loaded.seed,
        parameters=sum(p.numel() for p in network.parameters()),
        device=device,
    )
