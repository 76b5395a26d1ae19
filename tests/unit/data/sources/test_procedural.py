import subprocess
import sys
import zlib

import numpy as np
import pytest

from glassine.data.sources.procedural import ProceduralStickers
from glassine.procedural.canvas import Canvas, Mask, coverage
from glassine.procedural.outlines import ellipse, points, rectangle
from glassine.procedural.scene import FAMILIES
from glassine.utils.errors import UserError


def test_a_sticker_depends_on_seed_and_number_only() -> None:
    source = ProceduralStickers(seed=3, size=48, num_frames=5)
    first = source[4].frames
    _ = source[11], source.info(2)
    np.testing.assert_array_equal(ProceduralStickers(seed=3, size=48, num_frames=5)[4].frames, first)
    assert not np.array_equal(ProceduralStickers(seed=4, size=48, num_frames=5)[4].frames, first)
    assert not np.array_equal(source[5].frames, first)


def test_another_process_renders_the_same() -> None:
    code = "from glassine.data.sources.procedural import ProceduralStickers as P; import zlib; print({})"
    check = "zlib.crc32(P(seed=1, size=32, num_frames=2)[6].frames.tobytes())"
    run = subprocess.run([sys.executable, "-c", code.format(check)], capture_output=True, text=True, check=True)
    here = zlib.crc32(ProceduralStickers(seed=1, size=32, num_frames=2)[6].frames.tobytes())
    assert int(run.stdout) == here


def test_chosen_frames_equal_those_of_the_whole_sticker() -> None:
    source = ProceduralStickers(size=40, num_frames=(8, 24))
    for index in (0, 7):
        whole = source[index]
        assert 8 <= whole.num_frames <= 24
        picks = [whole.num_frames - 1, 0, 3, 3]
        np.testing.assert_array_equal(source.render(index, picks), whole.frames[picks])


def test_two_sizes_show_the_same_thing() -> None:
    source = ProceduralStickers(size=128, num_frames=8, families=["flat", "glass", "fade"])
    for index in range(6):
        small = source.render(index, [2], size=64)[0, ..., 3].astype(float)
        large = source.render(index, [2])[0, ..., 3].astype(float).reshape(64, 2, 64, 2).mean((1, 3))
        assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_renders_visible_moving_content(family: str) -> None:
    source = ProceduralStickers(seed=9, size=48, num_frames=6, families=[family])
    frames = np.stack([source[i].frames for i in range(6)])  # n f h w 4
    assert frames.dtype == np.uint8
    alpha = frames[..., 3]
    assert (alpha.max(axis=(1, 2, 3)) > 60).all()  # something is to be seen in each sticker
    assert (alpha.min(axis=(1, 2, 3)) == 0).all()  # and something of the background too
    assert (frames[alpha == 0] == 0).all()
    assert sum(not np.array_equal(f[0], f[3]) for f in frames) >= 3


def test_glass_is_see_through_and_flat_is_solid() -> None:
    def half_transparent(family: str) -> float:
        source = ProceduralStickers(seed=2, size=64, num_frames=1, families=[family], length=30)
        alpha = np.stack([source.render(i, [0])[0, ..., 3] for i in range(30)])
        return float(((alpha > 20) & (alpha < 235)).sum() / (alpha > 20).sum())

    assert half_transparent("glass") > 0.5
    assert half_transparent("fade") > 0.4
    assert half_transparent("pixel") == 0
    assert half_transparent("border") < 0.3


def test_metadata_is_complete_and_in_two_languages() -> None:
    source = ProceduralStickers(seed=5, length=40)
    items = list(source.items())
    assert len(items) == len(source) == 40
    assert len({item.key for item in items}) == 40
    for item in items:
        assert item.info["description"].isascii()
        assert any("\u4e00" <= c <= "\u9fff" for c in item.info["description_zh"])
        assert item.info["trigger_words"]
        assert item.info["domain"] in ("cartoon", "real")
        assert item.info["split"] in ("train", "val", "test")
    loaded = items[3].load()
    assert loaded.num_frames == items[3].info["num_frames"]
    assert list(loaded.durations) == items[3].info["durations"]


def test_words_are_named_in_ocr() -> None:
    source = ProceduralStickers(families=["text"])
    assert all(source.info(i)["ocr"] and source.info(i)["ocr"] in source.info(i)["description"] for i in range(5))


def test_wrong_arguments() -> None:
    with pytest.raises(UserError, match=r"families must be some of .*glass.*, got \['glas'\]"):
        ProceduralStickers(families=["glas"])
    for wrong in ({"size": 4}, {"num_frames": 0}, {"num_frames": (9, 8)}, {"length": -1}, {"seed": -1}):
        with pytest.raises(UserError):
            ProceduralStickers(**wrong)  # type: ignore[arg-type]
    source = ProceduralStickers(length=2, num_frames=3)
    with pytest.raises(IndexError):
        source[2]
    with pytest.raises(IndexError):
        source.render(0, [3])


def test_coverage_is_the_covered_area() -> None:
    box = coverage([rectangle(4.0, 4.0, 12.0, 10.0)], 16)
    assert box is not None
    assert 48 <= box.alpha.sum() <= 48 + 28 * 0.4  # the smooth edge reaches up to 0.4 pixel outwards
    assert (box.alpha[5 - box.y : 9 - box.y, 5 - box.x : 11 - box.x] == 1).all()
    disc = coverage([ellipse(32, 32, 20)], 64)
    assert disc is not None
    assert disc.alpha.sum() == pytest.approx(np.pi * 400, rel=0.04)
    ring = coverage([ellipse(32, 32, 20), ellipse(32, 32, 10)], 64)
    assert ring is not None
    assert ring.alpha[32 - ring.y, 32 - ring.x] == 0  # a hole is a hole
    assert coverage([points([(-9, -9), (-5, -9), (-5, -5)])], 16) is None


def test_over_keeps_straight_colors() -> None:
    canvas = Canvas(8)
    canvas.lay(Mask(0, 0, np.full((8, 8), 0.5, np.float32)), (1.0, 0.0, 0.0))
    np.testing.assert_array_equal(canvas.rgba()[0, 0], [255, 0, 0, 128])
    canvas.lay(Mask(0, 0, np.full((8, 4), 0.5, np.float32)), (0.0, 0.0, 1.0))
    # over: alpha 1 - 0.5 * 0.5 = 0.75, red 0.25 / 0.75
    np.testing.assert_array_equal(canvas.rgba()[0, 0], [85, 0, 170, 191])
    canvas.lay_under(Mask(0, 0, np.ones((8, 8), np.float32)), (0.0, 1.0, 0.0))
    assert (canvas.rgba()[..., 3] == 255).all()
