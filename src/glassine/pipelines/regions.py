"""Closed areas of the background's color: each is a hole of the sticker or a part of it, and gets one answer.

What an area looks like is summed up in a few numbers; a logistic function of them, fitted on stickers of the training
split of five styles, says how likely it is a hole. Beside this rule, small networks that were trained on many styles
look at shapes as well. Evidence is pooled over the frames through which an area can be followed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.area_networks import SURE, combined, network_for
from glassine.pipelines.area_shapes import shape_features
from glassine.pipelines.closed_form import LUMA_ROW, Evidence
from glassine.pipelines.insets import largest_difference

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

FEATURES = (
    "white",  # the background is white: as eyes, teeth, paper and snow are
    "extreme",  # the background is nearly white or nearly black
    "textured",  # the background is a picture, which an area must match pixel by pixel
    "share",  # log of the area's share of the sticker
    "islands",  # whether something lies within it, as the pupil of an eye
    "no wall",  # share of its rim where the picture goes on unchanged though it is no background any more
    "inked",  # on white: whether a nearly black line surrounds it
    "even wall",  # on white: how alike the colors around it are
    "thin wall",  # on white: whether the outside is only a line's width away
    "inked body",  # on other colors: whether it is a third of the sticker or more, in a nearly black line
)
# fitted with leave-one-style-out (78% of the area on white, 82% on gray and other colors, 94% on checkerboards are
# right on the style that was left out), but for `inked` and `inked body`, where the fit is undecided: line art on white
# is drawn on paper, and what its lines enclose is the paper's white; and a face on its own color is no hole
WEIGHTS = np.asarray([2.0, -3.7, 1.8, 0.5, -3.2, -2.7, -4.5, 0.9, 0.6, -6.0])
BIAS = 3.6


@dataclass(frozen=True)
class Area:
    """One closed area in one frame.

    Attributes:
        number: in `ClosedForm.areas`.
        pixels: how many it has.
        features: `FEATURES`.
        shapes: `area_shapes.SHAPES`.
        damaged: whether compression has moved the file's colors.
    """

    number: int
    pixels: int
    features: NDArray[np.float64]
    shapes: NDArray[np.float32]
    damaged: bool


def describe(
    evidence: Evidence, outside: NDArray[np.bool_], areas: NDArray[np.int32], brightest: float = 0.0
) -> list[Area]:
    """The features of every closed area of one picture.

    Args:
        evidence: the picture.
        outside: `h w`, what is surely background.
        areas: `h w`, see `ClosedForm.areas`.
        brightest: least channel of the brightest background over time: a white one that fades in is gray at first.
    """
    count = int(areas.max(initial=0))
    if not count:
        return []
    height, width = areas.shape
    behind, distance = evidence.behind, evidence.distance
    sticker = max(1, int((~outside).sum()))
    from_outside = np.asarray(cv2.distanceTransform((~outside).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    places = [np.nonzero(areas == number) for number in range(1, count + 1)]
    shapes = shape_features(evidence, outside, areas, places, from_outside)
    found = []
    for number, (rows, columns) in enumerate(places, 1):
        top, bottom = max(0, rows.min() - 4), min(height, rows.max() + 5)
        left, right = max(0, columns.min() - 4), min(width, columns.max() + 5)
        part = (areas[top:bottom, left:right] == number).astype(np.uint8)
        away, colors = distance[top:bottom, left:right], evidence.picture[top:bottom, left:right].astype(np.float32)
        contours, tree = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        inner = 0
        if tree is not None:
            inner = sum(cv2.contourArea(c) > 3 for c, link in zip(contours, tree[0], strict=True) if link[3] >= 0)
        wall = (cv2.dilate(part, np.ones((7, 7), np.uint8)) > cv2.dilate(part, np.ones((3, 3), np.uint8))) & (away > 8)
        line = (cv2.dilate(part, np.ones((5, 5), np.uint8)) > cv2.dilate(part, CROSS)) & (away > 8)
        luma = colors[line] @ LUMA_ROW[0]
        dark = len(luma) > 0 and float(np.median(luma)) < 75
        spread = float(colors[wall].std(axis=0).max()) if wall.sum() > 4 else 60.0
        back = behind[rows, columns]
        low, high = max(float(back.min()), brightest), float(back.max())
        ends = min(255 - max(float(back.mean(axis=0).min()), brightest), float(back.mean(axis=0).max()))
        rim = (cv2.dilate(part, CROSS) > part) & (away > evidence.tolerance)
        inner_color = cv2.dilate(colors * part[..., None], CROSS)  # of the pixel next to it inside, as a rim is thin
        unchanged = largest_difference(colors, inner_color)[rim] <= 3 + evidence.noise / 2
        white = float(low > 243)
        features = (
            white,
            float(ends < 16),
            float(high - low > 12 and float(np.ptp(back, axis=0).max()) > 8),
            float(np.log(len(rows) / sticker)),
            float(inner > 0),
            float(unchanged.mean()) if len(unchanged) else 0.0,
            white * float(dark),
            white * (1 - min(1.0, spread / 60)),
            white * float(np.clip(1.5 - from_outside[rows, columns].min() / 8, 0, 1)),
            (1 - white) * float(dark) * float(len(rows) > 0.3 * sticker),
        )
        found.append(Area(number, len(rows), np.asarray(features), shapes[number - 1], evidence.damaged))
    return found


def rule_evidence(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log odds in [-5, 5] by the rule alone that closed areas are holes: `...` from their `FEATURES`, `... d`."""
    return np.asarray(np.clip(features @ WEIGHTS + BIAS, -SURE, SURE))


def hole_evidence(area: Area) -> float:
    """Log odds in [-5, 5] that a closed area is a hole."""
    rule = float(rule_evidence(area.features))
    if area.features[FEATURES.index("inked")] and not area.damaged:
        return rule  # what black lines enclose on white is paper; the network would open some of it
    network = network_for(area.damaged, bool(area.features[FEATURES.index("white")]))
    return combined(network, np.concatenate([area.features.astype(np.float32), area.shapes]), rule)
