import numpy as np
import pytest
from tests.helpers.small_shards import small_shards
from tests.helpers.tiny_dynamics import save_tiny_dynamics

from glassine.bench.records import read_records
from glassine.bench.stills import (
    CAP,
    TRUE,
    Still,
    find_stills,
    run_stills,
    score_still,
    score_stills,
    stills_table,
    write_stills,
)
from glassine.data.sticker import Sticker
from glassine.nn.motion_fields import move
from glassine.utils.errors import UserError


def drawing() -> np.ndarray:
    image = np.zeros((128, 128, 4), np.uint8)
    image[30:90, 40:80] = (220, 60, 30, 255)
    image[44:50, 48:72, :3] = (20, 20, 90)
    return image


def field(strength: float) -> np.ndarray:
    terms = np.zeros((8, 16, 16, 2), np.float32)
    terms[0, ..., 1] = strength
    return terms


def test_a_moved_still_is_itself_and_one_that_falls_apart_is_not():
    moved = score_still(drawing(), move(drawing(), field(0.04), 16, 8))
    assert (moved["alpha_psnr"], moved["color_psnr"]) == (CAP, CAP)
    assert moved["likeness"] > 25
    assert moved["sharpness"] > 0.75
    rng = np.random.default_rng(0)
    broken = np.stack([drawing()] * 16)
    broken[:8, 30:90, 40:80, :3] = rng.integers(0, 255, (8, 60, 40, 3))
    scores = score_still(drawing(), broken)
    assert scores["alpha_psnr"] == CAP
    assert scores["likeness"] < moved["likeness"]


def test_more_motion_is_more_flow_and_none_is_none():
    still, little, much = (score_still(drawing(), move(drawing(), field(s), 16, 8))["flow"] for s in (0, 0.02, 0.06))
    assert still < 0.01 < little < much


def test_a_still_that_was_shrunk_in_the_middle_frame_loses_it():
    frames = np.stack([drawing()] * 16)
    frames[8] = np.roll(drawing(), 5, axis=0)
    assert score_still(drawing(), frames)["alpha_psnr"] < 20


def test_records_have_intervals_and_make_a_table_with_true_stickers_last(tmp_path):
    stills = [Still(f"a/{n}", f"g{n}", "waves", np.roll(drawing(), n, axis=1)) for n in range(3)]
    frames = move(drawing(), field(0.05), 16, 8)
    clips = [Still(f"b/{n}", f"h{n}", "", drawing(), frames) for n in range(2)]
    folder = tmp_path / "results" / "stills"
    score_stills(TRUE, "true stickers", "", None, clips, folder)
    prompts: list[str] = []
    seeds: list[int] = []

    def animate(prompt: str, image: np.ndarray, seed: int) -> Sticker:
        prompts.append(prompt)
        seeds.append(seed)
        return Sticker(move(image, field(0.03), 16, 8), (100,) * 16)

    score_stills("fields", "moved", "somewhere", animate, stills, folder)
    assert prompts == ["waves"] * 3
    assert seeds == [0, 1, 2]
    head, rows = stills_table(read_records(folder))
    assert [row[0] for row in rows] == ["moved", "true stickers"]
    assert rows[0][1].startswith("50.0 [50.0, 50.0]")
    assert (rows[0][-1], rows[1][-2], len(head)) == ("3 / 3", "", len(rows[0]))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "animate.md").write_text("<!-- table:stills -->\n<!-- /table -->\n")
    (tmp_path / "README.md").write_text("")
    assert write_stills(tmp_path, tmp_path / "README.md")
    assert "Mean over 3 drawings" in (tmp_path / "docs" / "animate.md").read_text()
    assert "| moved |" in (tmp_path / "stills.md").read_text()
    assert not write_stills(tmp_path / "none")


def test_stills_are_drawings_of_as_many_groups_from_each_folder(tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        keys = [f"{folder.name}{letter}" for letter in "klmnop"]
        small_shards(
            folder, {key: key[0] + "klm"["klmnop".index(key[1]) // 2] for key in keys}, dict.fromkeys(keys, "test")
        )
    found = find_stills(folders, 5)
    assert [still.key[0] for still in found] == ["a"] * 2 + ["b"] * 3
    assert len({still.group for still in found}) == 5
    assert found[0].image.shape == (128, 128, 4)
    assert not found[0].image[:16].any()
    assert found[0].prompt.startswith("square a")
    with pytest.raises(UserError, match="must be at least 7 groups"):
        find_stills(folders, 7)


def test_rows_of_one_name_or_without_weights_are_refused(tmp_path):
    for rows, said in ((["a=x", "a=y"], "a different NAME"), (["a="], "NAME=WEIGHTS"), (["a"], "NAME=WEIGHTS")):
        with pytest.raises(UserError, match=said):
            run_stills(rows, [tmp_path], [], tmp_path, 4, "cpu")
    with pytest.raises(UserError, match="--count must be at least 1"):
        run_stills(["a=x"], [tmp_path], [], tmp_path, 0, "cpu")


def test_weights_by_name_are_scored_beside_true_stickers(tmp_path):
    keys = [f"{letter}x" for letter in "klmn"]
    small_shards(tmp_path / "drawings", {key: key for key in keys}, dict.fromkeys(keys, "test"))
    source = save_tiny_dynamics(tmp_path / "weights")
    records = run_stills([f"fields={source}"], [tmp_path / "drawings"], [], tmp_path / "to", 3, "cpu")
    assert [(record.method, record.weights) for record in records] == [("fields", source)]
    scores = records[0].conditions["stills"].scores
    assert scores["alpha_psnr"] == CAP
    assert scores["flow"] > 0
    with pytest.raises(UserError, match="--true must hold 3 groups of animated stickers, got 0"):
        run_stills([f"fields={source}"], [tmp_path / "drawings"], [tmp_path / "drawings"], tmp_path / "to", 3, "cpu")
