from pathlib import Path

import numpy as np
import pytest
from tests.helpers.small_crawl import drawing, file_bytes, jpeg, sticker

from glassine.curation.duplicates import Groups, PrintStore, near_copies
from glassine.curation.ingest import decode
from glassine.curation.prints import Prints, make_prints, moments
from glassine.data.alpha import composite_frames
from glassine.data.sticker import Sticker

pytest.importorskip("pdqhash")


def pairs_of(folder, stickers):
    store = PrintStore(folder / "thumbs.bin")
    for one in stickers:
        store.add(make_prints(one.frames, one.durations), one.num_frames > 1)
    return list(near_copies(store.finish()))


def test_copies_are_found_and_told_apart(tmp_path):
    one = sticker(5)
    still = Sticker(drawing(6, 1), (1000,))
    mirrored = Sticker(np.ascontiguousarray(one.frames[:, :, ::-1]), one.durations)
    stickers = [
        one,
        decode(file_bytes(tmp_path, one, ".gif"), "gif").sticker,
        decode(file_bytes(tmp_path, one, ".webp"), "webp", 48).sticker,
        mirrored,
        Sticker(one.frames[:1], (1000,)),
        still,
        decode(jpeg(still.frames[0], 20), "jpeg").sticker,
        *[sticker(seed) for seed in range(10, 20)],
    ]
    found = {(pair.left, pair.right): pair.relation for pair in pairs_of(tmp_path, stickers)}
    assert found[0, 1] == found[0, 2] == found[5, 6] == "copy"
    assert found[0, 3] == "mirrored"
    assert found[0, 4] == "frame"
    assert all((left < 5 and right < 5) or (left, right) == (5, 6) for left, right in found)


def test_the_order_of_stickers_does_not_matter(tmp_path):
    stickers = [sticker(1), sticker(2), decode(file_bytes(tmp_path, sticker(1), ".gif"), "x").sticker, sticker(3)]
    forward = {(p.left, p.right) for p in pairs_of(tmp_path, stickers)}
    backward = {(3 - p.right, 3 - p.left) for p in pairs_of(tmp_path, stickers[::-1])}
    assert forward == backward == {(0, 2)}


def test_empty_and_flat_stickers_are_copies_of_nothing(tmp_path):
    clear = Sticker(np.zeros((1, 40, 40, 4), np.uint8), (1000,))
    flat = Sticker(np.full((1, 40, 40, 4), 255, np.uint8), (1000,))
    assert not pairs_of(tmp_path, [clear, clear, flat, flat])


def test_prints_survive_json():
    prints = make_prints(drawing(3), (80,) * 6)
    back = Prints.from_json(prints.as_json())
    for name in ("hashes", "mirrored", "cropped", "thumbs", "alone", "alone_thumbs", "cropped_thumb"):
        assert np.array_equal(getattr(prints, name), getattr(back, name)), name
    assert back.quality == prints.quality


def test_moments_go_by_time_and_not_by_frame():
    assert moments([1000]) == [0]
    assert moments([700, 100, 100, 100]) == [0, 0, 0, 2]


def test_groups_hang_together_whatever_the_order():
    one, other = Groups(6), Groups(6)
    for a, b in ((4, 5), (1, 4), (2, 3)):
        one.join(a, b)
    for a, b in ((3, 2), (5, 1), (5, 4)):
        other.join(a, b)
    assert one.roots().tolist() == other.roots().tolist() == [0, 1, 2, 2, 1, 1]


def on_color(one: Sticker, color: tuple[int, int, int]) -> Sticker:
    opaque = np.full_like(one.frames, 255)
    opaque[..., :3] = composite_frames(one.frames, color)
    return Sticker(opaque, one.durations)


def test_a_ground_that_hides_a_part_of_the_drawing_does_not_hide_the_copy(tmp_path):
    """A stalk at the border, and a spot within, of the very color that the copy is flattened onto."""
    brown = (150, 90, 60)
    frames = np.zeros((1, 96, 96, 4), np.uint8)
    blob = drawing(3, 1, 72)[0]
    frames[0, 4:76, 12:84] = blob
    stalk = frames.copy()
    stalk[0, 66:92, 42:54] = (*brown, 255)
    spot = frames.copy()
    spot[0, 30:50, 38:58] = (*brown, 255)
    for one in (Sticker(stalk, (1000,)), Sticker(spot, (1000,))):
        assert [(p.left, p.right) for p in pairs_of(tmp_path, [one, on_color(one, brown), sticker(9)])] == [(0, 1)]


def test_of_many_copies_each_is_compared_until_it_has_its_group(tmp_path: Path) -> None:
    store = PrintStore(tmp_path / "thumbs.bin")
    one, other = (make_prints(sticker(seed, frames=2).frames, (100, 100)) for seed in (1, 2))
    for prints in (one, one, other, one, one):
        store.add(prints, True)
    everything = store.finish()
    assert len(list(near_copies(everything))) == 6
    groups = Groups(5)
    pairs = list(near_copies(everything, groups=groups))
    assert [(pair.left, pair.right) for pair in pairs] == [(0, 1), (0, 3), (0, 4)]
    assert groups.roots().tolist() == [0, 0, 2, 0, 0]
