"""What is said about one cut-out: how sure it is, what was found, and what the user should look at."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

LITTLE_FITS = 0.6  # of the border
NEARLY_ALL, NEARLY_NOTHING = 0.985, 0.0005  # of the picture
GUESSED = ("unknown", "picture")  # backgrounds before which alpha is a guess
UNSURE = 0.5  # confidence below which a word is said


@dataclass
class CutoutReport:
    """Counted while frames go by.

    Attributes:
        frames: how many.
        background: kind of background; see `background_models.Behind`.
        color: its mean color, red, green, blue in 0..255.
        fit: mean share of the border that the background explains.
        noise: mean noise near edges in 255ths; 0 for undamaged files.
        kept: mean share of the picture that is visible in the result.
        method: `closed-form`, `network`, `prior` where a network of the user's told where the sticker is, or `kept` for
            a sticker that was transparent already.
        areas: closed areas of the background's color.
        holes: how many of them were opened.
        asked: frames in which the prior was asked.
        doubtful: share of the picture in areas about which the evidence is weak.
        was_transparent: whether the input came with transparency.
    """

    frames: int = 0
    background: str = "flat"
    color: tuple[int, int, int] = (0, 0, 0)
    fit: float = 0.0
    noise: float = 0.0
    kept: float = 0.0
    method: str = "closed-form"
    areas: int = 0
    holes: int = 0
    asked: int = 0
    doubtful: float = 0.0
    was_transparent: bool = False
    _sums: dict[str, float] = field(default_factory=dict, repr=False)

    def count(self, **values: float) -> None:
        """Add one frame's `fit`, `noise`, `kept` and `doubtful`; each becomes the mean over all frames."""
        self.frames += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            setattr(self, name, self._sums[name] / self.frames)

    @property
    def confidence(self) -> float:
        """From 0 to 1: how well the border fits, less what is doubtful, and little where nothing or all is kept."""
        if self.method == "kept":
            return 1.0
        fit = float(np.clip((self.fit - 0.3) / 0.65, 0, 1))
        clear = 1 - min(1.0, 6 * self.doubtful)
        whole = 0.2 if self.kept > NEARLY_ALL or self.kept < NEARLY_NOTHING else 1.0
        damage = 1 - 0.02 * min(self.noise, 14)
        guess = 0.4 if self.background in GUESSED else 1.0
        return round(fit * clear * whole * damage * guess, 3)

    @property
    def warnings(self) -> list[str]:
        """What the user should know, a sentence each."""
        said = []
        if self.method == "kept":
            return ["transparent already: it is kept as it is (--force cuts it out all the same)"]
        if self.was_transparent:
            said.append("transparent already; what it hides stays hidden")
        if self.frames and self.kept < NEARLY_NOTHING:
            said.append("nothing stands out from the background, the result is empty: give --background")
        elif self.kept > NEARLY_ALL:
            said.append("everything stands out from the background, nothing was cut out: give --background")
        if self.method == "prior":
            how = "is a picture" if self.background == "picture" else "fits no model"
            frames = f"in {self.asked} of {self.frames} frames " if self.asked < self.frames else ""
            said.append(f"{frames}the background {how}, so the network of --prior decided: look at the result")
        elif self.fit < LITTLE_FITS or self.background == "unknown":
            said.append(
                f"only {self.fit:.0%} of the border fits the background that was found, so the result is a guess: "
                "give --background, --subject X,Y or --prior FILE"
            )
        elif not said and self.confidence < UNSURE:
            said.append("the result is uncertain, look at it")
        return said

    def as_json(self) -> dict[str, Any]:
        """All of it, for `--report`."""
        values = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
        return {**rounded, "confidence": self.confidence, "warnings": self.warnings}
