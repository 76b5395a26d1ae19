"""What the app accepts, so that no upload takes the machine down."""

from __future__ import annotations

from dataclasses import dataclass

from glassine.app.errors import AppError
from glassine.utils.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Limits of uploads and jobs.

    Args:
        upload_bytes: largest file.
        frame_pixels: largest frame, width times height.
        frames: most frames of a file.
        job_seconds: longest that a job may run.
        read_seconds: longest that a file may take to be read after its upload.
        waiting: most jobs that may wait.
        stickers: most stickers that one request may ask for.
        wait_seconds: longest that a request waits for its result; then it gets the job.
        small_pixels: frames times width times height up to which `POST /v1/cutout` waits.
        keep_days: age at which uploads and results are removed.

    Raises:
        UserError: one is not positive.
    """

    upload_bytes: int = 200_000_000
    frame_pixels: int = 4096 * 4096
    frames: int = 2000
    job_seconds: float = 1800.0
    read_seconds: float = 120.0
    waiting: int = 500
    stickers: int = 64
    wait_seconds: float = 60.0
    small_pixels: int = 64 * 512 * 512
    keep_days: float = 14.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UserError(f"{name.replace('_', ' ')} must be more than 0, got {value:g}")

    def check_frame(self, width: int, height: int) -> None:
        """Raises AppError if a frame is too large."""
        if width * height > self.frame_pixels:
            raise AppError(
                413,
                f"a frame must have at most {self.frame_pixels:,} pixels, got {width}x{height}: scale it down first",
            )

    def check_count(self, frames: int) -> None:
        """Raises AppError if there are too many frames."""
        if frames > self.frames:
            raise AppError(413, f"a file must have at most {self.frames:,} frames, got more: cut it shorter first")
