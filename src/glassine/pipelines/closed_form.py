"""Alpha in closed form against a known background: flood fill, edges by color projection, closed areas as wholes.

The background may be one color or a picture (`background_models`). Only numpy and OpenCV are needed, so that a sticker
for which this is enough needs no network at all.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.background_models import connected_to_border
from glassine.pipelines.file_noise import CROSS, EXACT, Mask, disc, noise_near_edges
from glassine.pipelines.insets import Floats, Picture, largest_difference
from glassine.utils.colors import LUMA

NEARLY_FLAT = 8  # of 255: a background that changes by less over the picture


@dataclass(frozen=True)
class Evidence:
    """One picture against its background.

    Attributes:
        picture: `h w 3` uint8.
        behind: `h w 3` float32, the background's color at each pixel.
        distance: `h w`, largest difference of any channel in 255ths.
        noise: how far background is from `behind` near edges, in 255ths: 0 for an undamaged file.
        tolerance: the distance up to which a pixel counts as background.
        patterned: whether the background is a checkerboard.
    """

    picture: Picture
    behind: Floats
    distance: Floats
    noise: float
    tolerance: float
    patterned: bool = False

    @property
    def damaged(self) -> bool:
        """Whether the file shows traces of compression or dithering."""
        return self.noise > 2.5


def look(picture: Picture, behind: Floats, border_noise: float = 0.0, patterned: bool = False) -> Evidence:
    """Compare a picture with its background.

    Args:
        picture: `h w 3` uint8.
        behind: `h w 3` float32.
        border_noise: what the border of the picture is known to have, in 255ths.
        patterned: whether the background is a checkerboard, which the picture must show wherever it is background.
    """
    distance = largest_difference(picture, behind)
    uneven = not patterned and float(np.ptp(behind[::8, ::8].reshape(-1, 3), axis=0).max()) > NEARLY_FLAT
    noise, tolerance = noise_near_edges(picture, distance, min(border_noise, 12.0), uneven)
    return Evidence(picture, behind, distance, noise, tolerance, patterned)


def shows_pattern(evidence: Evidence, side: int = 25) -> Mask:
    """Where the picture changes as its background does, or lies next to such a place.

    White cloth looks like every second square of a checkerboard; it does not alternate with gray.
    """
    seen = np.asarray(cv2.transform(evidence.picture.astype(np.float32), LUMA_ROW), np.float32)
    behind = np.asarray(cv2.transform(evidence.behind, LUMA_ROW), np.float32)

    def mean(plane: Floats) -> Floats:
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    variance = mean(behind * behind) - mean(behind) ** 2
    common = mean(seen * behind) - mean(seen) * mean(behind)
    shown = (common > 0.5 * variance) | (variance < 4)
    shown &= common < 2 * variance + 4
    return cv2.dilate(shown.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


LUMA_ROW = np.array([LUMA], np.float32)


OFF = 8.0  # dithering and ringing move a color off the line between two by as many times the noise
SAME, ABOUT = 0.94, 0.6  # squared cosines of colors in the same, and in about the same, direction
TRACE = 0.12  # of the sticker's color in a pixel
DAMAGED_BAND = 2  # pixels of an edge that compression blurs


@dataclass(frozen=True)
class ClosedForm:
    """The result: `alpha` `h w` float32 in [0, 1], and its closed areas of the background's color.

    `areas` is `h w` int32: 0 for none, else the number of a closed area, whose pixels have alpha 1 in `alpha`, as if
    all of them belonged to the sticker. `opened` gives alpha with all of them taken for holes.
    """

    alpha: Floats
    opened: Floats
    areas: NDArray[np.int32]
    band: int


def merging(evidence: Evidence, alpha: Floats) -> float:
    """Share of the sticker's edge where it differs from the background by less than 30 of 255, in [0, 1].

    There a fill may run into the sticker. Together with noise it tells the files on which closed form fails.
    """
    outside = (alpha <= 0).astype(np.uint8)
    shore = cv2.dilate(outside, CROSS) > outside
    if not shore.any():
        return 0.0
    farthest = cv2.dilate(evidence.distance, np.ones((7, 7), np.uint8))
    return float((farthest[shore] < 30).mean())


FAINT, WIDEST_HALO = 16.0, 10.0  # 255ths of a halo's colors, pixels
FAINTEST, FAINTER = 3.5, 0.15  # 255ths where it begins; of what lies behind it


def nearest_place(places: Mask) -> tuple[Floats, NDArray[np.int64]]:
    """For each pixel, `h w`, the distance to the nearest of `places`, and its flat index; there must be one."""
    away, labels = cv2.distanceTransformWithLabels(
        (~places).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    at = np.flatnonzero(places.reshape(-1))
    index = np.zeros(len(at) + 1, np.int64)
    index[labels.reshape(-1)[at]] = at
    return np.asarray(away, np.float32), index[labels]


def faint_halo(distance: Floats, outside: Mask) -> Mask:
    """What hardly differs from the background and lies before a clear edge: a glow or the rest of a blur.

    A pale part of the sticker is deeper than a halo, has no clear edge behind it, or does not fade out.

    Args:
        distance: from the background, `h w` in 255ths.
        outside: what is background without doubt, `h w`.
    """
    reached = connected_to_border(distance <= FAINT)
    between = reached & ~outside
    shore = (cv2.dilate(between.astype(np.uint8), CROSS) > 0) & ~reached
    first = between & (cv2.dilate(outside.astype(np.uint8), CROSS) > 0)
    if not shore.any() or not first.any():
        return np.zeros_like(outside)
    behind_shore = cv2.dilate(distance, np.ones((5, 5), np.uint8))
    to_shore, on_shore = nearest_place(shore)
    ends = distance < FAINTER * behind_shore.reshape(-1)[on_shore]
    depth = cv2.distanceTransform((~outside).astype(np.uint8), cv2.DIST_L2, 5)
    around = cv2.blur(first.astype(np.float32), (9, 9))
    beginning = cv2.blur(first * distance, (9, 9)) / np.maximum(around, 1e-6)
    fades = (beginning <= FAINTEST).reshape(-1)[nearest_place(first)[1]]
    return between & ends & (to_shore + depth <= WIDEST_HALO) & fades


LEAST_AREA = 6  # pixels of a closed area; smaller ones are noise


def closed_form(evidence: Evidence) -> ClosedForm:
    """Alpha of one picture."""
    distance, tolerance = evidence.distance, evidence.tolerance
    calm = evidence.picture
    if evidence.damaged:
        calm = np.asarray(cv2.medianBlur(evidence.picture, 3), np.uint8)
        near = np.minimum(distance, muted_difference(calm, evidence.behind)) <= tolerance
        near |= _specks(~near, distance, 3 * tolerance)
    else:
        near = distance <= tolerance
    if evidence.patterned:
        near &= shows_pattern(evidence)
    outside = connected_to_border(near)
    closed = near & ~outside
    areas = _closed_areas(closed, evidence)
    halo = np.zeros_like(outside)
    if not evidence.damaged:
        # what the tolerance lets through of a clean file is the faint rim of an edge
        if tolerance > EXACT and evidence.noise == 0 and not evidence.patterned:
            exactly = outside & connected_to_border(distance <= EXACT)
            halo, outside = outside & ~exactly, exactly
        halo |= faint_halo(distance, outside)
    band = edge_width(distance, outside | halo) if not evidence.damaged else DAMAGED_BAND
    alpha = _project(evidence, calm, outside, band, halo)
    opened = alpha
    if areas.any():
        # what separates a closed area from the outside keeps the alpha that it has against both
        opened = np.minimum(alpha, _project(evidence, calm, outside | (areas > 0), band, halo))
    return ClosedForm(alpha, opened, areas, band)


def muted_difference(picture: Picture, behind: Floats) -> Floats:
    """The larger of the difference in luma and 0.7 of that in chroma, `h w` in 255ths: files halve chroma's size."""
    difference = picture - behind
    planes = np.abs(cv2.transform(difference, LUMA_CHROMA))
    return np.maximum(np.maximum(planes[..., 0], planes[..., 1]), planes[..., 2])


LUMA_CHROMA = np.array(
    [LUMA, [-0.7 * 0.169, -0.7 * 0.331, 0.7 * 0.5], [0.7 * 0.5, -0.7 * 0.419, -0.7 * 0.081]],
    np.float32,
)


def _specks(inside: Mask, distance: Floats, limit: float) -> Mask:
    """Groups of a few faint pixels: rather noise than sticker."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= 24
    small[0] = False
    if count < 2 or not small.any():
        return np.zeros_like(inside)
    chosen = small[labels]
    most = np.zeros(count, np.float32)
    np.maximum.at(most, labels[chosen], distance[chosen])
    return chosen & (most <= limit)[labels]


def _closed_areas(closed: Mask, evidence: Evidence) -> NDArray[np.int32]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed.astype(np.uint8), connectivity=4)
    least = LEAST_AREA if not evidence.damaged else 4 * LEAST_AREA
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    number = np.cumsum(keep) * keep
    return np.asarray(number[labels], np.int32) if count > 1 else np.zeros_like(labels)


def edge_width(distance: Floats, outside: Mask, most: int = 4) -> int:
    """How many pixels wide the sticker's soft edge is, at least 1: where colors stop changing on the way inward."""
    inside = (~outside).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_C, 3)
    seen: list[float] = []
    deep = depth >= most + 2
    if deep.sum() < 50:
        return 1
    for k in range(1, most + 2):
        ring = (depth >= k - 0.5) & (depth < k + 0.5)
        # only where the sticker is thick enough that all rings belong to one edge
        ring &= cv2.dilate(deep.astype(np.uint8), disc(most + 2)) > 0
        if ring.sum() < 20:
            return 1
        seen.append(float(np.median(distance[ring])))
    if seen[0] > 0.6 * seen[1]:  # a wide edge begins faintly; shading is as slow but begins at the full color
        return 1
    for k in range(most):
        if seen[k] > 0.9 * seen[k + 1] or seen[k + 1] < 8:
            return max(1, k)
    return most


def _project(evidence: Evidence, calm: Picture, outside: Mask, band: int, halo: Mask) -> Floats:
    """Alpha 0 `outside`, 1 deep inside, and by color in a `halo` and in a band of `band` pixels between."""
    alpha = (~outside).astype(np.float32)
    inside = (~outside & ~halo).astype(np.uint8)
    if not inside.any() or not outside.any():
        return alpha
    solid = cv2.erode(inside, disc(band), borderValue=1) > 0
    edge = ~outside & ~solid
    if not edge.any():
        return alpha
    at = np.flatnonzero(edge.reshape(-1))
    behind = evidence.behind.reshape(-1, 3)[at]
    mixed = evidence.picture.reshape(-1, 3)[at].astype(np.float32) - behind  # n 3
    length_mixed = np.sqrt(np.square(mixed).sum(axis=1))
    # the solid color that is nearest, where there is one near enough
    best = np.full(len(at), np.inf, np.float32)
    strength, cosine = np.zeros((2, len(at)), np.float32)  # of the nearest solid color, and of its direction, squared
    share = np.ones(len(at), np.float32)
    if solid.any():
        from_solid, nearest = nearest_place(solid)
        solid_color = calm.reshape(-1, 3)[nearest.reshape(-1)[at]].astype(np.float32) - behind
        share, best = _share(mixed, solid_color)
        strength = np.sqrt(np.square(solid_color).sum(axis=1))
        along = np.maximum((mixed * solid_color).sum(axis=1), 0)
        cosine = np.square(along / np.maximum(strength * length_mixed, 1.0))
        best[(from_solid.reshape(-1)[at] > band + 2.5) & ~halo.reshape(-1)[at]] = np.inf
    # thin lines have no solid part, and an outline may be thinner than the band: then the color around that lies
    # farthest from the background in the pixel's own direction is what it is a mixture of
    doubtful = best > 6 + OFF * evidence.noise + 0.06 * length_mixed
    if doubtful.any():
        chosen = at[doubtful]
        farthest = _farthest(evidence, calm, chosen, mixed[doubtful], length_mixed[doubtful], 3)
        length = length_mixed[doubtful]
        guessed = np.clip(length / np.maximum(farthest, 1.0), 0, 1)
        guessed = np.where((farthest < 1.1 * length) & (cosine[doubtful] > ABOUT), share[doubtful], guessed)
        # of a pixel that hardly differs from the background even the direction is uncertain
        trace = length < TRACE * strength[doubtful]
        share[doubtful] = np.where(trace, length / np.maximum(strength[doubtful], 1.0), guessed)
    alpha.reshape(-1)[at] = share
    return alpha


def _share(mixed: Floats, solid: Floats) -> tuple[Floats, Floats]:
    """How much of `solid` (`n 3`, less the background) is in `mixed`, in [0, 1], and how far off the line it lies."""
    square = np.maximum(np.square(solid).sum(axis=1), 20.0)
    share = np.clip((mixed * solid).sum(axis=1) / square, 0, 1)
    off = np.sqrt(np.square(mixed - share[:, None] * solid).sum(axis=1))
    return share.astype(np.float32), off.astype(np.float32)


def _farthest(
    evidence: Evidence, calm: Picture, places: NDArray[np.int64], mixed: Floats, length: Floats, radius: int
) -> Floats:
    """For n pixels, how far from the background the colors around reach in the pixel's own direction: `n`."""
    height, width = evidence.distance.shape
    y, x = np.divmod(places, width)
    unit = mixed / np.maximum(length, 1e-3)[:, None]
    reach = length.copy()
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx == dy == 0:
                continue
            ny, nx = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
            other = calm[ny, nx].astype(np.float32) - evidence.behind[ny, nx]  # n 3
            along = (other * unit).sum(axis=1)
            square = np.square(other).sum(axis=1)
            same_direction = along * along > SAME * square
            np.maximum(reach, np.where(same_direction, along, 0), out=reach)
    return reach
