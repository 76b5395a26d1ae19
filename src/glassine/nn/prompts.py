"""Prompts for segmentation networks: points and boxes, made from masks as SAM's training and ILDiff's test do."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from glassine.errors import UserError


@dataclass(frozen=True)
class Prompts:
    """k prompts on one picture, in pixels: one point each, one box each, or both.

    Attributes:
        points: `k 2`, x before y, on what is meant; None for none.
        boxes: `k 4`, left, top, right, bottom; None for none.
    """

    points: Tensor | None = None
    boxes: Tensor | None = None

    @property
    def labelled_points(self) -> tuple[Tensor, Tensor] | None:
        """The points as SAM takes them: coordinates `k 1 2` and labels `k 1`, 1 for foreground."""
        if self.points is None:
            return None
        return self.points[:, None], torch.ones_like(self.points[:, :1])

    def scaled(self, x: float, y: float) -> "Prompts":
        """The same on a picture `x` times as wide and `y` times as high."""
        factors = torch.tensor([x, y])
        points = None if self.points is None else self.points.float() * factors.to(self.points.device)
        boxes = None if self.boxes is None else self.boxes.float() * factors.repeat(2).to(self.boxes.device)
        return Prompts(points, boxes)

    def check(self, height: int, width: int) -> None:
        """Raise UserError where there is no prompt, a malformed one, or one outside a picture of this size."""
        given = [corners.reshape(-1, 2) for corners in (self.points, self.boxes) if corners is not None]
        if not given:
            raise UserError("no prompt came; give points, boxes or both")
        shapes = [tuple(x.shape) for x in (self.points, self.boxes) if x is not None]
        widths = [n for n, x in ((2, self.points), (4, self.boxes)) if x is not None]
        if shapes != [(len(given[-1]) * 2 // widths[-1], width) for width in widths]:
            raise UserError(f"prompts of shapes {shapes} came; give points k 2 and boxes k 4, as many of each")
        if self.boxes is not None and (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise UserError("a box came that ends before it begins; give left, top, right and bottom, in this order")
        for corner in torch.cat(given).tolist():
            if not (0 <= corner[0] <= width and 0 <= corner[1] <= height):
                raise UserError(
                    f"a prompt at x {corner[0]:g}, y {corner[1]:g} came; the picture is {width} x {height} pixels: "
                    "give x and y inside it"
                )


def visible_part(alpha: Tensor) -> Tensor:
    """What a true alpha `... h w` in [0, 1] shows for prompts to be made of, `... h w` bool.

    From half of the frame's highest alpha, so that a fading sticker keeps its prompts; nothing where all is below a
    255th.
    """
    highest = alpha.amax((-2, -1), keepdim=True)
    return (alpha > highest / 2) & (highest >= 1 / 255)


def boxes_of(masks: Tensor) -> Tensor:
    """The outer rectangle of each mask, `k h w` bool to `k 4` float, last pixels included; no mask may be empty."""
    return masks_to_boxes(masks).float()


def centre_points(masks: Tensor) -> Tensor:
    """The foreground pixel nearest to each mask's centre of mass, `k h w` bool to `k 2` float; none may be empty.

    A ring's centre lies in its hole, where a point would ask for something else.
    """
    points = []
    for mask in masks:
        pixels = mask.nonzero().float().flip(-1)  # p 2, x before y
        distance = (pixels - pixels.mean(0)).square().sum(-1)
        points.append(pixels[distance.argmin()])
    return torch.stack(points)


def random_points(masks: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A foreground pixel of each mask, all equally likely: `k h w` bool to `k 2` float; none may be empty.

    A `generator`, here and below, is on the device of what it draws for.
    """
    chosen = torch.multinomial(masks.flatten(1).float(), 1, generator=generator)[:, 0]  # k
    width = masks.shape[-1]
    return torch.stack([chosen % width, chosen // width], dim=-1).float()


def loosened(boxes: Tensor, size: tuple[int, int], generator: torch.Generator | None = None) -> Tensor:
    """Boxes as hands draw them (SAM, appendix A): each side moved by noise of a tenth of the box, at most 20 pixels.

    `boxes` is `k 4`; `size` height and width of the picture, which the result stays in.
    """
    height, width = size
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # k 4: w h w h
    noise = torch.randn(boxes.shape, generator=generator, device=boxes.device) * 0.1 * sides
    moved = boxes + noise.clamp(-20, 20)
    limits = torch.tensor([width - 1, height - 1], device=boxes.device).repeat(2)
    return torch.minimum(moved.clamp(min=0), limits)
