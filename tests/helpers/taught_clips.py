"""A folder of clips as teachers make them: procedural stickers, whose motion differs by teacher."""

from pathlib import Path
from typing import Any

import numpy as np

from glassine.review.clip_writer import ClipWriter
from glassine.review.manifest import Manifest

FRAMES, SIDE, FPS = 6, 32, 12.0
DIGEST = {"calm": "a" * 64, "lively": "b" * 64, "still": "c" * 64}
CAPTIONS = ("a red ball", "a blue ball", "a green ball", "a yellow ball", "a pink ball", "a gray ball")
COLORS = ((210, 40, 40), (40, 70, 210), (40, 170, 70), (230, 200, 40), (235, 130, 180), (120, 120, 125))


def ball(number: int, step: float, frames: int = FRAMES, side: int = SIDE) -> np.ndarray:
    """A ball that goes once around a circle, `f h w 4`; `step` is the circle's radius in pixels."""
    rows, columns = np.mgrid[:side, :side]
    clip = np.zeros((frames, side, side, 4), np.uint8)
    for frame in range(frames):
        turn = 2 * np.pi * frame / frames
        y, x = side / 2 + step * np.sin(turn), side / 2 + step * np.cos(turn)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < (side / 4) ** 2
        clip[frame][inside] = [*COLORS[number % len(COLORS)], 255]
    return clip


def teachers(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"weights": DIGEST[name], "recipe": {"data": name, "fps": 12}} for name in names}


def add_clips(writer: ClipWriter, prompts: int, steps: dict[str, float], splits: dict[int, str] | None = None) -> None:
    """A clip of each prompt by each teacher, those that are there already left out."""
    for number in range(prompts):
        for name, step in steps.items():
            prompt = f"p{number}"
            if not writer.has(prompt, name, 0):
                writer.write(
                    prompt,
                    name,
                    0,
                    ball(number, step),
                    ball(number, 0)[0],
                    caption=CAPTIONS[number % len(CAPTIONS)],
                    caption_zh=None if number else "红球",
                    group=f"ball{number}",
                    split=(splits or {}).get(number, "train"),
                    source="procedural",
                    licence="MIT",
                )


def taught(folder: Path, prompts: int = 3, splits: dict[int, str] | None = None, **steps: float) -> Manifest:
    """Write such a folder; `steps` are the teachers' radii."""
    steps = steps or {"calm": 2.0, "lively": 6.0}
    with ClipWriter(folder, FRAMES, (SIDE, SIDE), FPS, teachers(*steps)) as writer:
        add_clips(writer, prompts, steps, splits)
        return writer.finish()
