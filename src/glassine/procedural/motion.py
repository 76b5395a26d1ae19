"""Movements: poses as functions of the phase 0..1 of a loop."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAU = 2 * np.pi


@dataclass(frozen=True)
class Pose:
    """A transformation: scale, then shear, then rotation, then shift (object units; ``turn`` in turns, clockwise)."""

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    sx: float = 1.0
    sy: float = 1.0
    shear: float = 0.0
    opacity: float = 1.0

    def matrix(self, pivot: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
        """The ``3 3`` matrix that applies the pose about ``pivot``."""
        c, s = np.cos(self.turn * TAU), np.sin(self.turn * TAU)
        turn = np.array([[c, -s, self.x + pivot[0]], [s, c, self.y + pivot[1]], [0, 0, 1]])
        scale = np.array([[self.sx, self.shear * self.sy, 0], [0, self.sy, 0], [0, 0, 1.0]])
        shift = np.array([[1, 0, -pivot[0]], [0, 1, -pivot[1]], [0, 0, 1.0]])
        return turn @ scale @ shift


Track = Callable[[float], Pose]

# name -> (English verb, Chinese verb)
VERBS = {
    "rest": ("stays still", "静止不动"),
    "slide": ("slides from side to side", "左右滑动"),
    "float": ("floats up and down", "上下漂浮"),
    "orbit": ("moves in a circle", "绕圈移动"),
    "bounce": ("bounces", "弹跳"),
    "swing": ("swings", "摇摆"),
    "spin": ("spins", "旋转"),
    "pulse": ("pulses", "一胀一缩"),
    "squash": ("squashes and stretches", "压扁又拉长"),
    "wobble": ("wobbles", "晃动"),
    "shake": ("shakes", "抖动"),
    "flip": ("flips over", "翻转"),
    "pop": ("pops up", "弹出来"),
    "pass": ("passes by", "飞过"),
}


def track(name: str, amount: float, cycles: int, phase: float) -> Track:
    """The movement of a whole object.

    Args:
        name: one of :data:`VERBS`.
        amount: amplitude; 1 is normal.
        cycles: repetitions per loop, at least 1.
        phase: phase offset, 0..1.
    """

    def pose(at: float) -> Pose:
        u = (at * cycles + phase) % 1.0
        wave, turn = np.sin(u * TAU), np.cos(u * TAU)
        a = amount
        match name:
            case "slide":
                return Pose(x=0.22 * a * wave, turn=0.015 * a * turn)
            case "float":
                return Pose(y=0.13 * a * wave, turn=0.01 * a * turn)
            case "orbit":
                return Pose(x=0.15 * a * turn, y=0.15 * a * wave)
            case "bounce":
                height = abs(np.sin(u * np.pi))
                flat = 0.25 * a * max(0.0, 1 - height * 4)
                return Pose(y=-0.35 * a * height + 0.12 + 0.5 * flat, sx=1 + flat, sy=1 - flat)
            case "swing":
                return Pose(turn=0.06 * a * wave)
            case "spin":
                return Pose(turn=u)
            case "pulse":
                return Pose(sx=1 + 0.12 * a * wave, sy=1 + 0.12 * a * wave)
            case "squash":
                return Pose(sx=1 + 0.14 * a * wave, sy=1 - 0.14 * a * wave, y=0.1 * a * wave)
            case "wobble":
                return Pose(shear=0.2 * a * wave, turn=0.01 * a * turn)
            case "shake":
                return Pose(x=0.05 * a * np.sin(u * TAU * 3), turn=0.012 * a * np.sin(u * TAU * 2))
            case "flip":
                width = np.cos(u * TAU)
                return Pose(sx=float(np.sign(width) or 1.0) * max(0.04, abs(width)))
            case "pop":
                grown = 1 - np.exp(-9 * u) * np.cos(14 * u)
                size = max(0.02, grown if u < 0.85 else grown * (1 - u) / 0.15)
                return Pose(sx=size, sy=size)
            case "pass":
                return Pose(x=2.6 * a * (u - 0.5), y=0.08 * wave)
            case _:
                return Pose()

    return pose


def fade(name: str, low: float, cycles: int, phase: float) -> Callable[[float], float]:
    """The opacity of a whole object over a loop.

    Args:
        name: ``"wave"`` (up and down), ``"in"``, ``"out"``, ``"still"`` (constant ``low``) or ``"flicker"``; any other
            name is constant 1.
        low: minimum opacity, 0..1.
        cycles: repetitions per loop.
        phase: phase offset, 0..1.
    """

    def opacity(at: float) -> float:
        u = (at * cycles + phase) % 1.0
        match name:
            case "wave":
                return low + (1 - low) * (0.5 - 0.5 * float(np.cos(u * TAU)))
            case "in":
                return low + (1 - low) * min(1.0, at * 1.6)
            case "out":
                return 1 - (1 - low) * min(1.0, max(0.0, at * 1.5 - 0.3))
            case "still":
                return low
            case "flicker":
                return low + (1 - low) * float(0.5 + 0.3 * np.sin(u * TAU * 3) + 0.2 * np.sin(u * TAU * 5 + 1))
            case _:
                return 1.0

    return opacity


def own_move(name: str, at: float, phase: float) -> Pose:
    """The movement of a part: ``blink``, ``look``, ``talk``, ``sway``, ``wave``, ``spin``, ``beat`` or ``rise``."""
    u = (at + phase) % 1.0
    wave = float(np.sin(u * TAU))
    match name:
        case "blink":
            return Pose(sy=max(0.08, 1 - max(0.0, 1 - abs(u - 0.5) * 14)))
        case "look":
            return Pose(x=0.05 * float(np.tanh(3 * wave)), y=0.015 * float(np.cos(u * TAU)))
        case "talk":
            return Pose(sy=0.65 + 0.35 * float(np.cos(u * TAU * 2)))
        case "sway":
            return Pose(turn=0.025 * wave)
        case "wave":
            return Pose(turn=0.08 * float(np.sin(u * TAU * 2)))
        case "spin":
            return Pose(turn=u)
        case "beat":
            return Pose(sx=1 + 0.1 * wave, sy=1 + 0.1 * wave)
        case "rise":
            return Pose(y=-0.35 * u, x=0.04 * wave, opacity=float(np.sin(u * np.pi)))
        case _:
            return Pose()
