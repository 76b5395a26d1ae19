from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from glassine.data.shards.timing import DEFAULT_DURATION, file_timing

DURATIONS = [70, 200, 30, 30]


def animation(kind: str, **settings: object) -> bytes:
    generator = np.random.default_rng(1)
    frames = [Image.fromarray(generator.integers(0, 256, (9, 13, 4), dtype=np.uint8)) for _ in DURATIONS]
    data = BytesIO()
    frames[0].save(data, kind, save_all=True, append_images=frames[1:], duration=DURATIONS, **settings)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_durations_and_size_are_those_the_file_was_written_with(kind: str) -> None:
    timing = file_timing(animation(kind))
    assert list(timing.durations) == DURATIONS
    assert (timing.width, timing.height) == (13, 9)


@pytest.mark.parametrize(("kind", "settings"), [("GIF", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_a_still_has_one_frame(kind: str, settings: dict) -> None:
    data = BytesIO()
    Image.new("RGB", (300, 20), "red").save(data, kind, **settings)
    timing = file_timing(data.getvalue())
    assert (timing.durations, timing.width, timing.height) == ((DEFAULT_DURATION,), 300, 20)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_file_cut_short_is_an_error(kind: str) -> None:
    with pytest.raises(ValueError, match="cut short"):
        file_timing(animation(kind)[:-40])


def test_other_files_are_an_error() -> None:
    with pytest.raises(ValueError, match="not a GIF"):
        file_timing(b"hello")
    with pytest.raises(ValueError, match="no frame"):
        file_timing(b"GIF89a\x05\x00\x05\x00\x00\x00\x00;")
