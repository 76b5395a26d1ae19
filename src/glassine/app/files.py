"""Files that users gave: checked, kept in folders of their own, and found again by number, never by path."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import time
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from glassine.app.errors import AppError
from glassine.app.film import Film
from glassine.app.limits import Limits
from glassine.data.codecs import open_sticker
from glassine.utils.errors import UserError, printable
from glassine.utils.files import atomic_path

ABOUT, FILM, CONTENT = "about.json", "film.webp", "content"
MEDIA_TYPES = {
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".png": "image/png",
    ".apng": "image/apng",
    ".avif": "image/avif",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".zip": "application/zip",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
}


@dataclass
class Upload:
    """A file that was read to its end once.

    Attributes:
        name: the user's name for it, made safe.
        width: of every frame in pixels.
        opaque: whether every pixel is.
        background: its estimated background color `#rrggbb`.
        film: see `Film.about`.
    """

    id: str
    name: str
    bytes: int
    width: int
    height: int
    frames: int
    duration_ms: int
    loop: int
    opaque: bool
    notes: list[str] = field(default_factory=list)
    film: dict[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.frames * self.width * self.height

    def as_json(self) -> dict[str, Any]:
        """What clients see."""
        return {**asdict(self), "film_url": f"/v1/files/{self.id}/film"}


def safe_name(name: str, fallback: str = "sticker") -> str:
    """A file name that is a name only: no folders, nothing hidden, nothing that a system takes for something else."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(letter if letter.isalnum() or letter in " ._-()+'" else "_" for letter in last).strip(" .")
    stem, dot, suffix = kept.rpartition(".")
    if not dot:
        stem, suffix = kept, ""
    stem = stem.strip(" .").encode()[:80].decode(errors="ignore") or fallback
    if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", stem):
        stem = f"_{stem}"
    return f"{stem}.{suffix[:8]}" if suffix else stem


class FileStore:
    """Uploads in a folder.

    Args:
        folder: made if it does not exist.
        limits: what is accepted.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limits = folder, limits

    def add(self, content: BinaryIO, name: str) -> Upload:
        """Store a file and read it to its end.

        Raises:
            AppError: 413 if it passes a limit, 415 if it is nothing that can be read, 504 if reading it takes too long.
            OSError: it cannot be written.
        """
        name = safe_name(name)
        number = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(6)}"
        with atomic_path(self._folder / number) as temporary:
            temporary.mkdir()
            path = temporary / f"{CONTENT}{Path(name).suffix}"
            with path.open("wb") as file:
                self._copy(content, file)
            upload = self._inspect(path, number, name, temporary / FILM)
            (temporary / ABOUT).write_text(json.dumps(asdict(upload), ensure_ascii=False) + "\n", encoding="utf-8")
        return upload

    def _copy(self, content: BinaryIO, file: BinaryIO) -> None:
        size = 0
        while part := content.read(1 << 20):
            size += len(part)
            if size > self._limits.upload_bytes:
                raise AppError(413, f"a file must have at most {self._limits.upload_bytes / 1e6:g} MB, got more")
            file.write(part)
        if not size:
            raise AppError(415, "a file must be a picture or a video, got an empty one")

    def _inspect(self, path: Path, number: str, name: str, film_path: Path) -> Upload:
        film, limits, end = Film(), self._limits, time.monotonic() + self._limits.read_seconds
        frames, duration, opaque = 0, 0, True
        try:
            with open_sticker(path) as reader:
                limits.check_frame(reader.width, reader.height)
                limits.check_count(reader.num_frames or 0)
                for frame, milliseconds in reader:
                    frames, duration = frames + 1, duration + milliseconds
                    limits.check_count(frames)
                    if time.monotonic() > end:
                        raise AppError(504, f"a file must be read in {limits.read_seconds:g} s, got a slower one")
                    opaque = opaque and bool((frame[..., 3] == 255).all())
                    film.add(frame, milliseconds)
                found = Upload(
                    number, name, path.stat().st_size, reader.width, reader.height, frames, duration, reader.loop,
                    opaque, list(reader.notes),
                )  # fmt: skip
            if not frames:
                raise AppError(415, f"{name} must have at least one frame, got none")
        except AppError:
            raise
        except UserError as error:
            # the message names the stored file, which the user does not know
            raise AppError(415, printable(str(error)).replace(printable(str(path)), name)) from error
        film_path.write_bytes(film.picture())
        found.film = film.about()
        return found

    def get(self, number: str) -> Upload:
        """One upload, which is then kept for another while.

        Raises:
            AppError: there is none of this number.
        """
        folder = self._place(number)
        try:
            upload = Upload(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))
            os.utime(folder)
        except (OSError, ValueError, TypeError) as error:
            raise AppError(404, f"there is no file {number!r}: it was removed; give it again") from error
        return upload

    def path(self, upload: Upload) -> Path:
        """Where its content lies."""
        return self._place(upload.id) / f"{CONTENT}{Path(upload.name).suffix}"

    def film(self, number: str) -> Path:
        """Where its film lies."""
        path = self._place(number) / FILM
        if not path.is_file():
            raise AppError(404, f"there is no file {number!r}: it was removed; give it again")
        return path

    def _place(self, number: str) -> Path:
        if not re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{12}", number):
            raise AppError(404, f"there is no file {printable(number)[:80]!r}: it was removed; give it again")
        return self._folder / number

    def clean(self, days: float) -> int:
        """Remove what was not used for `days`; returns how many files."""
        count = 0
        for folder in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > 86_400 * days:
                    shutil.rmtree(folder)
                    count += 1
        return count
