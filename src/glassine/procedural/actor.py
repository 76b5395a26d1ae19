"""An object of a scene with its motion and effects, and generation of faces."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.procedural.canvas import Canvas, Mask, blur, coverage
from glassine.procedural.motion import TAU, Track, own_move
from glassine.procedural.outlines import Outline, arc, ellipse, heart, place, points, rectangle, star
from glassine.procedural.paint import RGB, Spot
from glassine.procedural.palette import Part, detail, line
from glassine.procedural.styles import Dressed


def _always(at: float) -> float:
    return 1.0


@dataclass(frozen=True)
class Actor:
    """An object with its position, movement and effects. Lengths are fractions of the image size.

    Attributes:
        parts: parts to draw, from back to front.
        x: horizontal center, 0..1.
        y: vertical center, 0..1.
        scale: length of an object unit.
        turn: constant rotation in turns.
        tracks: movements, which are combined.
        opacity: opacity of the whole object as a function of the phase.
        phase: phase offset of the parts' own movements.
        jelly: amplitude of a wave through all outlines, in object units.
        boil: amplitude of the jitter of hand-drawn lines, in object units; changes six times per loop.
        glow: color of the glow around the object, or None.
        glow_size: standard deviation of the glow.
        glow_strength: opacity of the glow, 0..1.
        shadow: ``""``, ``"drop"`` (offset copy) or ``"contact"`` (an ellipse on the ground).
        rim: width of a solid border around the object (die-cut stickers), 0 for none.
        rim_color: color of the border.
        trail: number of fading copies at earlier phases.
        smear: length of a horizontal motion blur.
    """

    parts: tuple[Dressed, ...]
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.4
    turn: float = 0.0
    tracks: tuple[Track, ...] = ()
    opacity: Callable[[float], float] = _always
    phase: float = 0.0
    jelly: float = 0.0
    boil: float = 0.0
    glow: RGB | None = None
    glow_size: float = 0.05
    glow_strength: float = 0.8
    shadow: str = ""
    rim: float = 0.0
    rim_color: RGB = (1.0, 1.0, 1.0)
    trail: int = 0
    smear: float = 0.0

    def draw(self, canvas: Canvas, at: float) -> None:
        """Draw the actor at phase ``at`` (0..1) of the loop on the canvas."""
        for step in range(self.trail, 0, -1):
            self._draw_once(canvas, (at - 0.045 * step) % 1.0, 0.45 * (1 - step / (self.trail + 1)))
        self._draw_once(canvas, at, 1.0)

    def _draw_once(self, canvas: Canvas, at: float, share: float) -> None:
        opacity = share * self.opacity(at)
        if opacity <= 0.002:
            return
        plain = opacity >= 1 and self.glow is None and not self.shadow and self.rim <= 0 and self.smear <= 0
        sheet = canvas if plain else Canvas(canvas.size)
        self._draw_parts(sheet, at)
        if plain:
            return
        size = canvas.size
        if self.smear > 0:
            reach = max(1, round(self.smear * size))
            for plane in sheet.planes:
                cv2.blur(plane, (reach, 1), dst=plane, borderType=cv2.BORDER_CONSTANT)
        if self.rim > 0:
            self._add_rim(sheet)
        if self.glow is not None:
            halo = blur(sheet.planes[3], max(0.7, self.glow_size * size))
            sheet.lay_under(
                Mask(0, 0, np.minimum(halo * np.float32(2 * self.glow_strength), 1) * np.float32(self.glow_strength)),
                self.glow,
            )
        if self.shadow:
            sheet.lay_under(self._shadow(sheet), (0.0, 0.0, 0.0))
        canvas.lay_canvas(sheet, opacity)

    def _matrix(self, at: float, size: int) -> NDArray[np.float64]:
        unit = self.scale * size
        c, s = np.cos(self.turn * TAU) * unit, np.sin(self.turn * TAU) * unit
        matrix = np.array([[c, -s, self.x * size], [s, c, self.y * size], [0, 0, 1.0]])
        for track in self.tracks:
            matrix = matrix @ track(at).matrix()
        return matrix

    def _draw_parts(self, sheet: Canvas, at: float) -> None:
        size = sheet.size
        whole = self._matrix(at, size)
        carrier: Mask | None = None
        for index, dressed in enumerate(self.parts):
            part = dressed.part
            pose = own_move(part.move, at, self.phase) if part.move else None
            matrix = whole if pose is None else whole @ pose.matrix(part.pivot)
            opacity = part.opacity * (1.0 if pose is None else pose.opacity)
            turned, shift = matrix[:2, :2].T.astype(np.float32), matrix[:2, 2].astype(np.float32)
            outlines = [self._bend(o, at, index) @ turned + shift for o in part.outlines]
            unit = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
            if dressed.paint is not None:
                mask = coverage(outlines, size, part.width * unit, part.closed, part.soft * unit)
                if mask is None:
                    if part.base:
                        carrier = None
                    continue
                if part.base:
                    carrier = mask
                elif part.clip and carrier is not None:
                    mask = mask.within(carrier)
                color, alpha = dressed.paint(Spot(mask, matrix[:2]))
                sheet.lay(replace(mask, alpha=alpha if opacity >= 1 else alpha * np.float32(opacity)), color)
            if dressed.ink is not None:
                edge = coverage(outlines, size, dressed.ink_width * unit)
                if edge is not None:
                    if part.clip and carrier is not None:
                        edge = edge.within(carrier)
                    sheet.lay(
                        edge if opacity >= 1 else replace(edge, alpha=edge.alpha * np.float32(opacity)), dressed.ink
                    )

    def _bend(self, outline: Outline, at: float, index: int) -> Outline:
        if self.jelly > 0:
            x, y = outline[:, 0], outline[:, 1]
            wave = np.sin(2.5 * y + at * TAU), np.sin(2.5 * x + at * TAU + 1)
            outline = outline + np.float32(self.jelly) * np.stack(wave, axis=1).astype(np.float32)
        if self.boil > 0:
            rng = np.random.default_rng((int(at * 6), index, len(outline)))
            jitter = rng.normal(0, self.boil, outline.shape).astype(np.float32)
            outline = outline + (jitter + np.roll(jitter, 1, 0) + np.roll(jitter, 2, 0)) * np.float32(1 / 3)
        return outline

    def _add_rim(self, sheet: Canvas) -> None:
        reach = max(1, round(self.rim * sheet.size))
        solid = (sheet.planes[3] * 255).astype(np.uint8)
        solid = cv2.copyMakeBorder(solid, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        wide = cv2.dilate(solid, kernel)[1:-1, 1:-1].astype(np.float32) * np.float32(1 / 255)
        sheet.lay_under(Mask(0, 0, wide), self.rim_color)

    def _shadow(self, sheet: Canvas) -> Mask:
        size = sheet.size
        if self.shadow == "drop":
            soft = blur(sheet.planes[3], max(0.7, 0.025 * size))
            shift = np.array([[1, 0, 0.02 * size], [0, 1, 0.035 * size]], np.float32)
            return Mask(0, 0, np.asarray(cv2.warpAffine(soft, shift, (size, size)), np.float32) * np.float32(0.45))
        height = np.clip(self.y + 0.92 * self.scale, 0, 0.94) * size
        center = self._matrix(0.0, size)[0, 2]
        t = np.arange(size, dtype=np.float32)
        dx, dy = (
            (t - np.float32(center)) / (self.scale * size * 0.85),
            (t - np.float32(height)) / (self.scale * size * 0.17),
        )
        fall = np.maximum(0, 1 - (dx * dx)[None, :] - (dy * dy)[:, None])
        return Mask(0, 0, fall * np.float32(0.5))


MOODS = {
    "happy": "开心",
    "laughing": "大笑",
    "surprised": "惊讶",
    "sad": "难过",
    "sleepy": "困倦",
    "in love": "恋爱中",
    "cool": "酷",
    "starry-eyed": "两眼放光",
    "crying": "哭泣",
    "grumpy": "生气",
    "calm": "平静",
}


def _eyes(mood: str, rng: np.random.Generator, dx: float, y: float, r: float) -> list[Part]:
    parts: list[Part] = []
    kind = str(rng.choice(["dot", "white", "tall"]))
    for side in (-1, 1):
        x = side * dx
        if mood in ("laughing", "sleepy"):
            bend = (0.55, 0.95) if mood == "laughing" else (0.05, 0.45)
            parts.append(line(arc(x, y, r, r, *bend, 14), width=r * 0.35))
        elif mood == "in love":
            parts.append(detail(place(heart(40), x, y, r * 1.3), role="tongue", move="beat", pivot=(x, y)))
        elif mood == "starry-eyed":
            parts.append(detail(place(star(5), x, y, r * 1.4), role="light", move="spin", pivot=(x, y)))
        elif mood == "cool":
            parts.append(detail(rectangle(x - 1.7 * r, y - r, x + 1.7 * r, y + r, r * 0.7), role="dark"))
        elif kind == "white":
            parts.append(detail(ellipse(x, y, r, r * 1.15, 32), role="white", move="blink", pivot=(x, y)))
            parts.append(detail(ellipse(x, y, r * 0.5, n=24), role="dark", move="look"))
        else:
            tall = 1.0 if kind == "dot" else 1.6
            parts.append(detail(ellipse(x, y, r * 0.65, r * 0.65 * tall, 24), role="dark", move="blink", pivot=(x, y)))
            parts.append(detail(ellipse(x - r * 0.2, y - r * 0.25 * tall, r * 0.22, n=14), role="white"))
        if mood in ("sad", "crying", "grumpy"):
            tilt = 0.4 * r * (1 if mood == "grumpy" else -1) * side
            parts.append(line(points([(x - r, y - 1.6 * r - tilt), (x + r, y - 1.6 * r + tilt)]), width=r * 0.3))
    if mood == "cool":
        parts.append(line(points([(-dx, y - r * 0.5), (dx, y - r * 0.5)]), width=r * 0.4))
    if mood == "crying":
        parts.append(detail(ellipse(dx, y + 2.2 * r, r * 0.4, r * 0.6, 20), role="clear", move="rise"))
    return parts


def _mouth(mood: str, rng: np.random.Generator, y: float, w: float) -> list[Part]:
    if mood in ("happy", "laughing", "starry-eyed") and rng.random() < 0.65:
        outline = np.concatenate([points([(-w, y), (w, y)]), arc(0, y, w, w * 1.1, 0.02, 0.48, 20)])
        teeth = rectangle(-w, y, w, y + w * 0.28)
        parts = [detail(outline, role="dark", move="talk", pivot=(0, y))]
        if rng.random() < 0.6:
            parts.append(detail(place(teeth, 0, 0, 0.85, 1), role="white", move="talk", pivot=(0, y)))
        parts.append(detail(ellipse(0, y + w * 0.72, w * 0.5, w * 0.25, 24), role="tongue", move="talk", pivot=(0, y)))
        return parts
    if mood == "surprised":
        return [
            detail(ellipse(0, y + w * 0.4, w * 0.45, w * 0.6, 28), role="dark", move="talk", pivot=(0, y + w * 0.4))
        ]
    if mood in ("sad", "crying", "grumpy"):
        return [line(arc(0, y + w * 0.8, w * 0.8, w * 0.6, 0.58, 0.92, 16), width=w * 0.2)]
    if mood == "sleepy":
        return [
            detail(ellipse(0, y + w * 0.3, w * 0.3, w * 0.25, 20), role="dark", move="beat", pivot=(0, y + w * 0.3))
        ]
    return [line(arc(0, y - w * 0.3, w, w * 0.8, 0.08, 0.42, 18), width=w * 0.2)]


def features(rng: np.random.Generator, y: float = 0.0, size: float = 1.0) -> tuple[str, list[Part]]:
    """A random mood and the parts of a face that shows it, centered at (0, ``y``)."""
    mood = str(rng.choice(list(MOODS)))
    dx, r = size * rng.uniform(0.28, 0.42), size * rng.uniform(0.13, 0.21)
    parts = _eyes(mood, rng, dx, y - 0.12 * size, r)
    parts += _mouth(mood, rng, y + size * rng.uniform(0.2, 0.32), size * rng.uniform(0.18, 0.36))
    if rng.random() < 0.4:
        for side in (-1, 1):
            parts.append(
                Part(
                    (ellipse(side * 0.58 * size, y + 0.2 * size, 0.16 * size, 0.11 * size, 24),),
                    "blush",
                    soft=0.03,
                    opacity=0.6,
                )
            )
    return mood, parts
