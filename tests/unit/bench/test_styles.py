"""Cut-out over styles: cases are what they say, records resume, gaps are paired, backgrounds are removed."""

import numpy as np
import pytest
from PIL import Image

from glassine.bench.gallery import laid_over
from glassine.bench.records import read_records
from glassine.bench.style_cases import CONDITIONS, FAMILIES, Case, find_cases, seed_of, show
from glassine.bench.style_pictures import GAP, TILE, chat_backgrounds, draw_styles
from glassine.bench.style_rows import ROW_NAMES, StyleRow, make_rows
from glassine.bench.styles import (
    best_closed,
    condition_table,
    evaluate,
    of_style,
    psnr,
    style_table,
    worse_than,
    write_styles,
)
from glassine.utils.errors import UserError


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return find_cases([], "val", 1, 1)


def perfect(frames, damaged, truth):
    return truth


def solid(frames, damaged, truth):
    return np.full_like(truth, 255)


def test_cases_have_exact_truth_on_every_background(cases):
    assert [case.style for case in cases] == [f"rendered {family}" for family in FAMILIES]
    frames = cases[0].frames
    for condition in CONDITIONS:
        shown = show(cases[0], condition)
        assert (shown[..., 3] == 255).all()
        if "+" not in condition:
            opaque = frames[..., 3] == 255
            np.testing.assert_array_equal(shown[opaque], frames[opaque])


def test_a_case_is_shown_alike_whatever_cases_are_beside_it_and_damaged_on_the_same_background(cases):
    alone = find_cases([], "val", 1, 1)[3]
    np.testing.assert_array_equal(show(alone, "gradient"), show(cases[3], "gradient"))
    assert seed_of(alone, "gradient") == seed_of(alone, "gradient+jpeg75") != seed_of(alone, "two_colors")


def test_tables_name_the_gap_to_the_best_closed_form_and_records_resume(cases, tmp_path):
    calls = []

    def counted(frames, damaged, truth):
        calls.append(damaged)
        return truth

    rows = [StyleRow("cutout", "ours", counted), StyleRow("calm", "calm", solid), StyleRow("projection", "p", perfect)]
    rows.append(StyleRow("closed_form_matting", "matting", None, missing="needs a package"))
    names = ["white", "white+jpeg75"]
    records = evaluate(rows, cases[:3], "val", tmp_path, names)
    assert calls == [False] * 3 + [True] * 3
    again = evaluate(rows, cases[:3], "val", tmp_path, names)
    assert len(calls) == 6, "measured once"
    assert [one.scores for one in again[0].conditions.values()] == [
        one.scores for one in records[0].conditions.values()
    ]
    assert {record.method for record in read_records(tmp_path)} == {row.name for row in rows}
    best = best_closed(records, "white")
    assert best is not None
    assert best.method == "projection"
    lines = condition_table(records, names)[1]
    assert lines[0][:5] == ["white", "ours", "60.0 (0%)", "0.00", "3 / 3"]
    assert lines[0][5].startswith("+0.0 [")
    assert worse_than(records[1].conditions["white"], records[0], "white") == "100%"
    _, by_style = style_table(records, names)
    assert len(by_style) == 3 * len(names)
    assert by_style[0][:3] == [cases[0].style, "white", "1 / 1"]
    assert of_style(records[0], cases[1].style).conditions["white"].keys == [cases[1].key]


def test_the_page_of_the_test_split_and_the_documentation_are_written_from_records(cases, tmp_path):
    rows = [StyleRow("cutout", "ours", perfect), StyleRow("calm", "calm", solid)]
    evaluate(rows, cases[:2], "test", tmp_path / "results" / "styles", ["white", "gray"])
    readme, page = tmp_path / "README.md", tmp_path / "docs" / "cutout.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- table:styles -->\nold\n<!-- /table -->\nafter\n")
    readme.write_text("no table here\n")
    assert write_styles(tmp_path, readme=readme) == tmp_path / "styles.md"
    text = page.read_text()
    assert "old" not in text
    assert "| white | 60.0 (0%) |" in text
    assert "2 stickers of 2 groups of the split test" in text
    assert write_styles(tmp_path, "val") is None


def test_every_row_gives_alpha_of_the_frames_and_ours_beats_flood_fill_on_a_gradient(cases):
    names = [name for name in ROW_NAMES if name not in ("network", "closed_form_matting")]
    found = {}
    for row in make_rows(names):
        assert row.cut is not None
        truth = cases[0].frames[..., 3]
        alpha = row.cut(show(cases[0], "gradient"), False, truth)
        assert (alpha.shape, alpha.dtype) == (truth.shape, np.uint8)
        found[row.name] = psnr(alpha, truth)
    assert min(found["cutout"], found["closed_form"]) > max(found["flood_fill"], found["projection"]) + 5
    assert {row.name for row in make_rows()} == set(ROW_NAMES)


@pytest.mark.full  # pymatting compiles its functions when it is first imported, which takes a minute
def test_matting_leaves_a_sticker_that_is_nowhere_solid_as_the_fill_cut_it():
    pytest.importorskip("pymatting")
    frames = np.full((1, 64, 64, 4), 255, np.uint8)
    frames[:, 30:33, 10:50, :3] = 0  # a line narrower than the band in which matting is unsure
    row, fill = make_rows(["closed_form_matting"])[0], make_rows(["flood_fill"])[0]
    assert np.array_equal(row.cut(frames, False, frames[..., 3]), fill.cut(frames, False, frames[..., 3]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: make_rows(["rembg"]), "methods must be of cutout,"),
        (lambda: evaluate([], [], "val", None, ["teal"]), "conditions must be of white,"),
        (lambda: find_cases([], "val", 0, 1), "limit must be at least 1"),
        (lambda: find_cases([], "val", 1, 0), "must hold stickers, got none"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(UserError, match=message):
        change()


def test_the_sheet_shows_input_and_result_on_four_chat_backgrounds(cases, tmp_path):
    class Everything:
        """Keeps the whole picture."""

        class report:
            method = "kept"

        def stream(self, pairs):
            return pairs

    draw_styles(cases, tmp_path / "sheet.png", ["white"], Everything())
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    top, first = GAP, [GAP + column * (TILE + GAP) for column in range(5)]
    tiles = [page[top : top + TILE, left : left + TILE] for left in first]
    for tile in tiles[1:]:  # nothing was removed, so that no background shows
        np.testing.assert_array_equal(tile, tiles[0])
    backgrounds = chat_backgrounds()
    assert len({picture.tobytes() for picture in backgrounds}) == 4
    clear = np.zeros((TILE, TILE, 4), np.uint8)
    np.testing.assert_array_equal(laid_over(clear, backgrounds[3]), backgrounds[3])
