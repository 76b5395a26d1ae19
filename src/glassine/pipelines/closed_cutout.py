"""A sticker's frames to alpha in closed form: background over time, closed areas over time, any size.

Closed areas are decided over a window of frames at once, so that an eye that is white in one frame is not a hole in
the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.background_models import GOOD_FIT, Behind
from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.closed_form import ClosedForm, Evidence, closed_form, look, merging
from glassine.pipelines.file_noise import disc
from glassine.pipelines.insets import Floats, Picture
from glassine.pipelines.regions import Area, describe, hole_evidence
from glassine.pipelines.report import CutoutReport
from glassine.pipelines.unknown_background import Subject, alpha_of_mask, guess_alpha

if TYPE_CHECKING:
    from glassine.pipelines.subject_priors import SubjectPrior

Levels = NDArray[np.uint8]
CLOSED_RESOLUTION = 1024  # pixels of the longer side: larger pictures are worked on at this size and enlarged


@dataclass
class FrameCut:
    """One frame in closed form, `h w` at the working size.

    Attributes:
        alpha: 0 to 255, with closed areas opaque.
        opened: the same with closed areas clear.
        areas: the number of the closed area that a pixel belongs to, 0 for none; None if there is none.
        described: these areas.
        behind: the background.
        noise: near edges, in 255ths.
        band: pixels of a soft edge.
        merging: share of the sticker's edge at which it hardly differs from the background.
        evidence: pooled over time, by number of the area: above 0 it is a hole.
    """

    alpha: Levels
    opened: Levels
    areas: NDArray[np.int32] | None
    described: list[Area]
    behind: Behind
    noise: float
    band: int
    merging: float
    evidence: dict[int, float] = field(default_factory=dict)

    def decided(self) -> Levels:
        """Alpha with every closed area opaque or clear as a whole."""
        if self.areas is None or not any(value > 0 for value in self.evidence.values()):
            return self.alpha
        open_numbers = np.asarray([number for number, value in self.evidence.items() if value > 0])
        table = np.zeros(int(self.areas.max()) + 1, np.uint8)
        table[open_numbers] = 1
        holes = table[self.areas]
        around = cv2.dilate(holes, disc(self.band + 1)) > 0
        return np.where(around, np.minimum(self.alpha, self.opened), self.alpha)

    def whole(self, levels: Levels, solid: dict[int, bool]) -> Levels:
        """Other alpha levels (`h w`) with each closed area opaque or clear as a whole, edges left as they are."""
        if self.areas is None or levels.shape != self.areas.shape or not solid:
            return levels
        table = np.zeros(int(self.areas.max()) + 1, np.uint8)
        for number, value in solid.items():
            table[number] = 255 if value else 0
        return np.where(self.areas > 0, table[self.areas], levels).astype(np.uint8)

    @property
    def doubtful(self) -> float:
        """Share of the picture in closed areas whose evidence is weak."""
        weak = [area.pixels for area in self.described if abs(self.evidence.get(area.number, 0.0)) < 0.7]
        return sum(weak) / self.alpha.size


class ClosedCutter:
    """Closed-form alpha of frames in order.

    Args:
        track: the background over time.
        subject: where the sticker is, for pictures whose background fits no model.
        prior: a network that finds it there; None guesses.

    Attributes:
        asked: frames that the prior was asked about.
    """

    def __init__(
        self, track: BackgroundTrack, subject: Subject | None = None, prior: "SubjectPrior | None" = None
    ) -> None:
        self.track, self.subject, self.prior = track, subject, prior
        self.asked = 0
        self._last_picture: Picture | None = None
        self._last: FrameCut | None = None
        self._before: FrameCut | None = None  # of the last window, for areas that go on
        self._sums: dict[int, tuple[float, float]] = {}  # evidence and weight of the areas of `_before`

    def cut(self, picture: Picture) -> FrameCut:
        """One frame, `h w 3` uint8; a frame that equals the one before costs nothing."""
        if self._last is not None and self._last_picture is not None and np.array_equal(picture, self._last_picture):
            return self._last
        behind = self.track.of(picture)
        inner = np.ascontiguousarray(behind.inset.of(picture))
        evidence = look(inner, behind.picture(inner), behind.noise, behind.kind == "checkerboard")
        unknown = behind.fit < GOOD_FIT and not self.track.is_given
        still = behind.kind == "picture"
        found = self._guess(evidence, still) if unknown or still else closed_form(evidence)
        described: list[Area] = []
        if found.areas.any():
            described = describe(evidence, found.alpha <= 0, found.areas, self.track.brightest)
        alpha, opened = (to_levels(plane) for plane in (found.alpha, found.opened))
        areas = found.areas if described else None
        if behind.inset:
            alpha, opened = (within(plane, behind, picture) for plane in (alpha, opened))
            areas = within(areas, behind, picture) if areas is not None else None
        self._last_picture = picture
        self._last = FrameCut(
            alpha, opened, areas, described, behind, evidence.noise, found.band, merging(evidence, found.alpha)
        )
        return self._last

    def _guess(self, evidence: Evidence, still: bool) -> ClosedForm:
        if self.prior is not None:
            self.asked += 1
            alpha = alpha_of_mask(evidence.picture, self.prior(evidence.picture, self.subject))
        else:
            alpha = guess_alpha(evidence.picture, self.subject, evidence.distance if still else None)
        return ClosedForm(alpha, alpha, np.zeros(alpha.shape, np.int32), 1)

    def decide(self, cuts: Sequence[FrameCut], report: CutoutReport | None = None) -> None:
        """Pool the evidence of closed areas over consecutive frames; each `FrameCut.evidence` is filled in."""
        next_sums: dict[int, tuple[float, float]] = {}
        tracks = _link([*([self._before] if self._before is not None else []), *cuts])
        for track in tracks:
            weight = total = 0.0
            for cut, area in track:
                if cut is self._before:
                    total_before, weight_before = self._sums.get(area.number, (0.0, 0.0))
                    total, weight = total + total_before, weight + weight_before
                else:
                    total += area.pixels * hole_evidence(area)
                    weight += area.pixels
            for cut, area in track:
                if cut is not self._before:
                    cut.evidence[area.number] = total / max(weight, 1.0)
            last_cut, last_area = track[-1]
            if cuts and last_cut is cuts[-1]:
                next_sums[last_area.number] = (total, weight)
            if report is not None and track[0][0] is not self._before:
                report.areas += 1
                report.holes += int(total > 0)
        if cuts:
            self._before, self._sums = cuts[-1], next_sums


def vote(cuts: Sequence[FrameCut], alphas: Sequence[Floats]) -> list[dict[int, bool]]:
    """For each frame, which of its closed areas are part of the sticker by a network's alpha, pooled over time.

    Args:
        cuts: consecutive frames in closed form.
        alphas: the network's alpha of each, `h w` in [0, 1] at any size of the same shape.
    """
    means: dict[tuple[int, int], float] = {}
    places: dict[int, list[int]] = {}
    for number, (cut, alpha) in enumerate(zip(cuts, alphas, strict=True)):
        places.setdefault(id(cut), []).append(number)
        if cut.areas is None:
            continue
        fine = cv2.resize(alpha, cut.areas.shape[::-1], interpolation=cv2.INTER_LINEAR)
        sums = np.bincount(cut.areas.ravel(), fine.ravel())
        for area in cut.described:
            means[id(cut), area.number] = float(sums[area.number]) / max(area.pixels, 1)
    answers: list[dict[int, bool]] = [{} for _ in cuts]
    for track in _link(cuts):
        total = sum(area.pixels * (means.get((id(cut), area.number), 0.5) - 0.5) for cut, area in track)
        for cut, area in track:
            for number in places[id(cut)]:
                answers[number][area.number] = total > 0
    return answers


def _link(cuts: Iterable[FrameCut]) -> list[list[tuple[FrameCut, Area]]]:
    """Closed areas followed through frames: an area goes on as the one that it overlaps most, if by half."""
    tracks: list[list[tuple[FrameCut, Area]]] = []
    before: FrameCut | None = None
    owner: dict[int, list[tuple[FrameCut, Area]]] = {}
    for cut in cuts:
        if cut is before:  # an unchanged frame
            continue
        mine: dict[int, list[tuple[FrameCut, Area]]] = {}
        overlap = _overlaps(before, cut)
        for area in cut.described:
            track: list[tuple[FrameCut, Area]] | None = None
            if overlap is not None and before is not None:
                row = overlap[area.number]
                row[0] = 0
                other = int(row.argmax())
                sizes = {one.number: one.pixels for one in before.described}
                if other and row[other] >= 0.5 * min(area.pixels, sizes.get(other, 1)):
                    track = owner.get(other)
            if track is None:
                track = []
                tracks.append(track)
            track.append((cut, area))
            mine[area.number] = track
        before, owner = cut, mine
    return tracks


def _overlaps(before: FrameCut | None, cut: FrameCut) -> NDArray[np.int64] | None:
    """Pixels that area i of `cut` shares with area j of `before`, `i j`."""
    if before is None or before.areas is None or cut.areas is None or before.areas.shape != cut.areas.shape:
        return None
    width = int(before.areas.max()) + 1
    height = int(cut.areas.max()) + 1
    both = cut.areas.astype(np.int64) * width + before.areas
    return np.bincount(both.ravel(), minlength=height * width).reshape(height, width)


def to_levels(plane: Floats) -> Levels:
    """Alpha in [0, 1] to 0..255."""
    return (plane * 255 + 0.5).astype(np.uint8)


def within(plane: NDArray, behind: Behind, picture: Picture) -> NDArray:
    """A plane of the picture inside `behind.inset` on the whole picture, 0 around."""
    whole = np.zeros(picture.shape[:2], plane.dtype)
    behind.inset.of(whole)[:] = plane
    return whole
