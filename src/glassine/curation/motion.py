"""The kind and the amount of motion of a sticker in words, from how its visible part moves, grows, fades and turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from glassine.data.alpha import composite_frames

_VISIBLE = 64
_SHAKE = 0.035  # of the frame's side, from which a back and forth is seen
_MOVE = 0.10  # from which a displacement is
_GROW = 1.35  # ratio of areas
_FADE = 0.35  # of full alpha
_TURN = 25.0  # degrees
_TINT = 30.0  # levels of a mean color
_STILL = 0.4  # mean change in gray levels below which nothing moves
_LITTLE, _MUCH = 2.0, 9.0

# kind -> what is said, English and Chinese
WORDS = {
    "still": ("is still", "静止不动"),
    "shakes left and right": ("shakes left and right", "左右摇晃"),
    "sways left and right": ("sways left and right", "左右摆动"),
    "bounces up and down": ("bounces up and down", "上下弹跳"),
    "moves left": ("moves to the left", "向左移动"),
    "moves right": ("moves to the right", "向右移动"),
    "moves up": ("moves up", "向上移动"),
    "moves down": ("moves down", "向下移动"),
    "grows": ("grows", "变大"),
    "shrinks": ("shrinks", "变小"),
    "pulses": ("grows and shrinks again", "一大一小地跳动"),
    "fades in": ("fades in", "淡入"),
    "fades out": ("fades out", "淡出"),
    "blinks": ("appears and disappears", "闪烁"),
    "turns": ("turns", "转动"),
    "rocks": ("rocks from side to side", "左右晃动"),
    "changes color": ("changes color", "变换颜色"),
    "moves in place": ("moves in place", "原地活动"),
}
AMOUNTS = {"a little": "轻微地", "": "", "strongly": "剧烈地"}


@dataclass(frozen=True)
class Motion:
    """What was seen.

    Attributes:
        kinds: names of `WORDS`, the strongest first, at most two.
        amount: a name of `AMOUNTS`.
        change: mean absolute change between frames in gray levels.
    """

    kinds: tuple[str, ...]
    amount: str
    change: float

    @property
    def english(self) -> str:
        """Such as `shakes left and right strongly and grows`."""
        said = [WORDS[kind][0] for kind in self.kinds]
        if self.amount:
            said[0] = f"{said[0]} {self.amount}"
        return " and ".join(said)

    @property
    def chinese(self) -> str:
        """The same."""
        return AMOUNTS[self.amount] + "并".join(WORDS[kind][1] for kind in self.kinds)


def describe_motion(frames: np.ndarray, durations: Sequence[int], change: float) -> Motion:
    """The motion of a sticker.

    Args:
        frames: `f h w 4` uint8 straight RGBA.
        durations: ms of each frame.
        change: mean absolute change between frames, see `glassine.curation.measures.change`.
    """
    if len(frames) == 1 or change < _STILL:
        return Motion(("still",), "", change)
    alpha = frames[..., 3]
    if alpha.min() >= 250:  # opaque: what differs from the border's color moves
        border = np.concatenate([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], axis=1)[..., :3]
        color = np.median(border.reshape(-1, 3), axis=0)
        alpha = (np.abs(frames[..., :3].astype(np.float32) - color).max(axis=-1) > 40).astype(np.uint8) * 255
    track = _Track(frames, alpha, np.asarray(durations, np.float64) / 1000)
    found = sorted(track.found().items(), key=lambda pair: (-pair[1], pair[0]))
    kinds = tuple(kind for kind, _ in found[:2]) or ("moves in place",)
    amount = "a little" if change < _LITTLE else "strongly" if change > _MUCH else ""
    return Motion(kinds, amount, change)


class _Track:
    """Where the visible part is over time, how large, how opaque, how turned, of what color."""

    def __init__(self, frames: np.ndarray, alpha: np.ndarray, seconds: np.ndarray) -> None:
        height, width = alpha.shape[1:]
        side = max(height, width)
        weight = alpha.astype(np.float64) / 255
        self.mass = weight.sum(axis=(1, 2)) / (height * width)
        total = np.maximum(weight.sum(axis=(1, 2)), 1e-6)
        y, x = np.mgrid[:height, :width]
        self.x = (weight * x).sum(axis=(1, 2)) / total / side
        self.y = (weight * y).sum(axis=(1, 2)) / total / side
        seen = alpha >= _VISIBLE
        self.area = seen.mean(axis=(1, 2))
        inside = np.maximum(seen.sum(axis=(1, 2)), 1)
        self.opacity = (weight * seen).sum(axis=(1, 2)) / inside
        self.length = float(seconds.sum())
        self.angle = _angles(seen)
        colors = composite_frames(frames, (128, 128, 128)).astype(np.float64)
        self.color = (colors * seen[..., None]).sum(axis=(1, 2)) / inside[:, None]
        self.there = self.area > 0.002

    def found(self) -> dict[str, float]:
        """Kinds of motion with how far each is above where it begins to be seen."""
        kinds: dict[str, float] = {}
        there = self.there
        if there.sum() < 2:
            return {"blinks": 1.0} if not there.all() else {}
        self._fading(kinds)
        self._size(kinds, self.area[there])
        self._place(kinds, self.x[there], ("moves right", "moves left"), "x")
        self._place(kinds, self.y[there], ("moves down", "moves up"), "y")
        self._turning(kinds)
        tint = float(np.ptp(self.color[there], axis=0).max())
        if tint > _TINT and not kinds:
            kinds["changes color"] = tint / _TINT
        return kinds

    def _fading(self, kinds: dict[str, float]) -> None:
        opacity = np.where(self.there, self.opacity, 0.0)
        start, end, top = opacity[0], opacity[-1], opacity.max()
        if top - start > _FADE and end > top - 0.2:
            kinds["fades in"] = (top - start) / _FADE + 1
        elif top - end > _FADE and start > top - 0.2:
            kinds["fades out"] = (top - end) / _FADE + 1
        elif _turns(opacity, _FADE) >= 2:
            kinds["blinks"] = float(np.ptp(opacity)) / _FADE

    def _size(self, kinds: dict[str, float], area: np.ndarray) -> None:
        ratio = float(area.max() / max(area.min(), 1e-4))
        if ratio < _GROW or {"fades in", "fades out"} & kinds.keys():
            return
        first, last = float(area[: max(1, len(area) // 6)].mean()), float(area[-max(1, len(area) // 6) :].mean())
        logs = np.log(np.maximum(np.append(area, area[0]), 1e-4))  # it begins again after its end
        if _turns(logs, 0.6 * float(np.ptp(logs))) >= 2:
            kinds["pulses"] = ratio / _GROW
        elif last / max(first, 1e-4) > _GROW:
            kinds["grows"] = last / first / _GROW
        elif first / max(last, 1e-4) > _GROW:
            kinds["shrinks"] = first / last / _GROW
        else:
            kinds["pulses"] = ratio / _GROW

    def _place(self, kinds: dict[str, float], line: np.ndarray, ways: tuple[str, str], axis: str) -> None:
        spread, gone = float(np.ptp(line)), float(line[-1] - line[0])
        turns = _turns(np.append(line, line[0]), max(0.8 * _SHAKE, 0.4 * spread))  # it begins again after its end
        if spread > _SHAKE and turns >= 2:
            if axis == "y":
                kinds["bounces up and down"] = spread / _SHAKE
            else:
                fast = turns / 2 / max(self.length, 0.1) >= 1.5
                kinds["shakes left and right" if fast else "sways left and right"] = spread / _SHAKE
        elif abs(gone) > _MOVE and abs(gone) > 0.6 * spread:
            kinds[ways[0] if gone > 0 else ways[1]] = abs(gone) / _MOVE

    def _turning(self, kinds: dict[str, float]) -> None:
        if self.angle is None:
            return
        line = np.unwrap(self.angle, period=180.0)
        spread = float(np.ptp(line))
        if spread > 300 or (spread > 2 * _TURN and _turns(line, _TURN) < 2):
            kinds["turns"] = spread / _TURN / 2
        elif spread > _TURN * 0.5 and _turns(line, 0.5 * spread) >= 2:
            kinds["rocks"] = spread / _TURN * 2


def _angles(seen: np.ndarray) -> np.ndarray | None:
    """Degrees of the long axis of each frame's visible part; None where it is too round to have one."""
    angles = []
    for mask in seen:
        moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
        if not moments["m00"]:
            return None
        a, b, c = (moments[name] / moments["m00"] for name in ("mu20", "mu11", "mu02"))
        root = float(np.hypot(2 * b, a - c))
        if (a + c - root) <= 0 or (a + c + root) / (a + c - root) < 1.7:
            return None
        angles.append(float(np.degrees(0.5 * np.arctan2(2 * b, a - c))))
    return np.array(angles)


def _turns(line: np.ndarray, least: float) -> int:
    """How often a line turns around, swings smaller than `least` left out."""
    turns, way = 0, 0
    low = high = float(line[0])  # since the last turn
    for value in line[1:].tolist():
        low, high = min(low, value), max(high, value)
        if way <= 0 and value - low >= least:
            turns, way, high = turns + (way < 0), 1, value
        elif way >= 0 and high - value >= least:
            turns, way, low = turns + (way > 0), -1, value
    return turns
