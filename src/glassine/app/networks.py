"""The networks of a running app: each is loaded when it is first needed, and then kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glassine.pipelines.animate import AnimatePipeline
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.motion import MotionPipeline, MovedStickerPipeline
    from glassine.pipelines.text_to_sticker import TextToStickerPipeline


@dataclass
class Networks:
    """Weights and device of each network; clients of the API cannot change them.

    Args:
        device: `auto`, `cpu`, `cuda`, ...
        cutout: weights that cut out.
        generate: weights that make opaque stickers from text.
        animate: weights that animate a still.
        latents: weights that make transparent stickers from text.
    """

    device: str = "auto"
    cutout: str = "glassine:tiny-ildiff"
    generate: str = "glassine:sti"
    animate: str = "glassine:motion-fields"
    latents: str = "glassine:layer-animate"
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def lane(self) -> str:
        """Name of the queue of jobs that need a network: packs are made beside them only if they are on a GPU."""
        if self.device != "auto":
            return self.device
        from glassine.utils.devices import pick_device

        return pick_device("auto").type

    def cutter(self) -> CutoutPipeline:
        """The network that cuts out."""
        from glassine.pipelines.cutout import CutoutPipeline

        return self._load(f"cutout {self.cutout}", lambda: CutoutPipeline.from_pretrained(self.cutout, self.device))

    def generator(self) -> TextToStickerPipeline:
        """The network that makes opaque stickers, cut out afterwards."""
        from glassine.pipelines.text_to_sticker import TextToStickerPipeline

        cut_out = self.cutter()
        return self._load(
            f"generate {self.generate}",
            lambda: TextToStickerPipeline.from_pretrained(self.generate, cut_out, self.device),
        )

    def animator(self) -> MotionPipeline | AnimatePipeline:
        """The network that animates a still."""
        from glassine.pipelines.motion import load_animator

        return self._load(f"animate {self.animate}", lambda: load_animator(self.animate, self.device))

    def transparent_generator(self) -> MovedStickerPipeline | AnimatePipeline:
        """The network with alpha in its latents; what it makes is moved if stills are."""
        from glassine.pipelines.animate import AnimatePipeline
        from glassine.pipelines.motion import MotionPipeline, MovedStickerPipeline

        def load() -> AnimatePipeline:
            return AnimatePipeline.from_pretrained(self.latents, self.device)

        images, animator = self._load(f"animate {self.latents}", load), self.animator()
        return MovedStickerPipeline(images, animator) if isinstance(animator, MotionPipeline) else images

    def _load(self, name: str, load: Any) -> Any:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load()
            return self._loaded[name]
