"""Tables: made from records alone, the same each time, and never mixing what does not belong together."""

import re
import shutil
from pathlib import Path

import pytest

from glassine.bench.alpha_report import alpha_detail, matting_detail, overview, table_two
from glassine.bench.animation_report import SECTIONS
from glassine.bench.methods import TITLES
from glassine.bench.protocols import SECOND
from glassine.bench.records import Cell, Record, plain, read_record, read_records
from glassine.bench.report import ALPHA_RESULTS, PAGES, write_all, write_alpha
from glassine.bench.tables import (
    PAGES_WITH_BLOCKS,
    markdown,
    one_setup,
    published_tables,
    replace_block,
    to_rows,
    write_blocks,
)
from glassine.utils.errors import UserError

REPOSITORY = Path(__file__).parents[3]
STICKERS = ["a", "b", "c"]


def record(method: str, psnr: float, **more) -> Record:
    scores = {"psnr_mean": psnr, "psnr_median": psnr + 1, "psnr_share_under_20db": 0.25, "psnr_pooled": psnr - 1}
    cell = Cell("x", 3, {**scores, "ssim": 0.9, "mad": 12.3456, "holes_filled": None}, {"a": psnr})
    defaults = {"title": method, "split": "test", "size": 64, "num_frames": 8, "stickers": STICKERS, "data": "shapes"}
    costs = {"ms_per_frame": 1.5, "parameters": 2_500_000}
    return Record(method, **{**defaults, "conditions": {"white": cell}, "costs": costs, **more})


def cells(text: str, row: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_record_survives_its_file_and_nan_becomes_null(tmp_path):
    before = record("threshold", 21.5, seed=3)
    path = before.save(tmp_path)
    assert read_record(path) == before
    assert before.versions["torch"]
    assert re.match(r"\d{4}-\d\d-\d\dT", before.date)
    assert plain(float("nan")) is None
    assert '"holes_filled": null' in path.read_text()


def test_values_of_clips_survive_the_file_and_stand_on_one_line(tmp_path):
    values = {"psnr_mean": [21.5, None, 1e-05], "ssim": []}
    cell = Cell("x", 3, {"psnr_mean": 21.5}, keys=["a", "b", "[1, 2]"], groups=["g", "g", "h"], items=values)
    before = record("threshold", 0, conditions={"white": cell})
    path = before.save(tmp_path)
    assert read_record(path) == before
    assert '"psnr_mean": [21.5, null, 1e-05]' in path.read_text()
    assert cell.num_groups == 2
    assert cell.per_item("psnr_mean") == {"a": ("g", 21.5), "[1, 2]": ("h", 1e-05)}
    assert cell.per_item("mad") == {}
    assert record("old", 0).conditions["white"].per_item("psnr_mean") == {"a": ("a", 0)}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"conditions": {"white": {"mean": 3}}}'])
def test_a_broken_record_is_named(tmp_path, content):
    (tmp_path / "broken.json").write_text(content)
    with pytest.raises(UserError, match=r"broken\.json must be a benchmark record, got"):
        read_records(tmp_path)


def test_the_overview_gives_the_mean_and_the_share_under_20_db():
    text = markdown(overview([record("ildiff", 33.44), record("threshold", 21.0)]))
    assert text.splitlines()[0] == "| method | white | ms a frame | parameters |"
    assert cells(text, "ildiff") == ["ildiff", "33.4 (25%)", "1.50", "2.50 M"]
    assert text.index("threshold") < text.index("ildiff")  # the table's order, not that of the records


def test_seeds_of_one_title_are_one_row_with_their_spread():
    seeds = [record("ildiff", value, title="ILDiff", seed=seed) for seed, value in enumerate([30.0, 32.0, 34.0])]
    assert cells(markdown(overview(seeds)), "ILDiff")[:2] == ["ILDiff (3 seeds)", "32.0 ± 2.0 (25%)"]


def test_a_method_without_weights_has_a_row_without_numbers():
    missing = record("ildiff", 0, title="ILDiff", conditions={}, costs={}, missing="no weights at x")
    text = markdown(overview([record("threshold", 21.0), missing]))
    assert cells(text, "ILDiff") == ["ILDiff (no weights)", "–", "–", "–"]
    found = record("ildiff", 30.0, title="ILDiff")
    assert [row.records for row in to_rows([missing, found])] == [(found,)]


def test_details_of_a_condition_are_of_the_methods_that_belong_there():
    elsewhere = record("ildiff_no_time", 30.0, title="no time", conditions={"gray": record("x", 1).conditions["white"]})
    missing = record("sam2", 0, title="SAM-2", conditions={}, costs={}, missing="no weights at x")
    for detail in (alpha_detail, matting_detail):
        rows = detail([record("threshold", 21.0), elsewhere, missing], "white")[1]
        assert [row[0] for row in rows] == ["threshold", "SAM-2 (no weights)"]


def test_only_the_largest_set_of_held_out_stickers_is_shown():
    full, part = record("threshold", 21.0), record("threshold", 50.0, stickers=["a"])
    tuning = record("threshold", 60.0, split="val", stickers=["d", "e", "f", "g"])
    assert one_setup([part, tuning, full]) == [full]
    assert one_setup([tuning]) == []


def test_tables_are_written_identically_from_the_same_records(tmp_path):
    for one in (record("threshold", 21.0), record("ildiff", 33.0, weights="w")):
        one.save(tmp_path / ALPHA_RESULTS)
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- table:alpha -->\nstale\n<!-- /table -->\n\nThe end.\n")
    assert len(write_alpha(tmp_path, readme)) == 2
    first = (readme.read_text(), (tmp_path / "tables.md").read_text())
    write_alpha(tmp_path, readme)
    assert (readme.read_text(), (tmp_path / "tables.md").read_text()) == first
    assert first[0].startswith("# Title\n\n<!-- table:alpha -->\n|  | threshold | ildiff |")
    assert first[0].endswith("<!-- /table -->\n\nThe end.\n")
    assert "stale" not in first[0]
    assert "33.0 (25%)" in first[0]
    assert cells(first[1].split("## White")[1], "ildiff")[1:6] == ["33.0", "34.0", "25%", "32.0", "0.900"]


def test_a_second_domain_stands_apart_however_many_stickers_it_has(tmp_path):
    record("threshold", 21.0).save(tmp_path / ALPHA_RESULTS)
    record("threshold", 47.0, data=SECOND, stickers=["d", "e", "f", "g"]).save(tmp_path / ALPHA_RESULTS)
    assert [one.data for one in write_alpha(tmp_path)] == ["shapes"]
    first, second = (tmp_path / "tables.md").read_text().split("## A second domain")
    assert "47.0" not in first
    assert f"of `{SECOND}`" in second.split("\n## ")[0]


def test_nothing_is_written_without_records_of_the_test_split(tmp_path):
    record("threshold", 21.0, split="val").save(tmp_path / ALPHA_RESULTS)
    assert write_alpha(tmp_path) == []
    assert not (tmp_path / "tables.md").exists()


def test_published_numbers_stand_apart_and_are_marked(tmp_path):
    record("threshold", 21.0).save(tmp_path / ALPHA_RESULTS)
    (tmp_path / "published.yaml").write_text((REPOSITORY / "benchmarks" / "published.yaml").read_text())
    write_alpha(tmp_path)
    ours, published = (tmp_path / "tables.md").read_text().split("## Published")
    assert "28.04" in published
    assert "TASD" in published
    assert "28.04" not in ours


def test_a_number_that_a_paper_does_not_have_is_a_dash():
    entry = {"title": "ILDiff", "paper": "a paper", "table": 2, "data": "TASD", "columns": ["PSNR", "SSIM"]}
    page = published_tables([entry | {"rows": [{"name": "SAM", "PSNR": 22.86, "SSIM": None}]}])
    assert "| SAM | 22.86 | – |" in page


def test_the_table_of_depths_shows_finished_networks_of_one_kind(tmp_path):
    def depth(title: str, seed: int, steps: float | None, *conditions: str) -> Record:
        cells = {name: record("x", 30.0 + seed).conditions["white"] for name in conditions}
        costs = {"steps": steps, "parameters": 4e6} if steps else {}
        named = {"title": title, "weights": f"{title}-{seed}", "seed": seed}
        return record("depth", 0, split="val", conditions=cells, costs=costs, **named)

    record("threshold", 21.0).save(tmp_path / ALPHA_RESULTS)
    whole = ("white", "gray", "own_color_jpeg75")
    shown = [depth("depth 5", seed, 150.0, *whole) for seed in (0, 1)]
    hidden = [depth("depth 5", 2, None, "white"), depth("depth 0", 0, 20.0, *whole)]  # stopped; of another length
    for one in (*shown, *hidden):
        one.save(tmp_path / "results" / "ablate_depth")
    write_alpha(tmp_path)
    page = (tmp_path / "tables.md").read_text()
    assert "| depth 5 (2 seeds) |" in page
    assert "| depth 0" not in page


def test_the_tables_in_the_repository_are_those_of_its_records(tmp_path):
    benchmarks = REPOSITORY / "benchmarks"
    shutil.copytree(benchmarks, tmp_path / "benchmarks")
    readme = tmp_path / "README.md"
    readme.write_text((REPOSITORY / "README.md").read_text())
    for name in PAGES_WITH_BLOCKS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    written, empty = write_all(tmp_path / "benchmarks", readme)
    for page in written:
        assert page.read_text() == (benchmarks / page.relative_to(tmp_path / "benchmarks")).read_text(), page
    assert readme.read_text() == (REPOSITORY / "README.md").read_text()
    for name in PAGES_WITH_BLOCKS:
        assert (tmp_path / name).read_text() == (REPOSITORY / name).read_text()
    assert set(empty.values()) == {
        "glassine benchmark speed",
        "glassine benchmark animated-stickers --split test --row NAME=WEIGHTS",
    }
    assert len(written) + len(empty) == len(PAGES)


PUBLISHED = [
    {"table": "II", "rows": [{"name": "SAM", "PSNR": 22.86, "SSIM": 0.949}, {"name": "SAM-2", "PSNR": 18, "SSIM": 1}]},
    {"table": "III", "rows": [{"name": "SAM", "PSNR": 99, "SSIM": 1}]},
]


def paper_record(method: str, missing: str = "") -> Record:
    cells = {} if missing else {"white": Cell("x", 1, {"psnr_mean": 21.04, "ssim": 0.9})}
    costs = {} if missing else {"ms_per_frame": 12.0, "parameters": 1_500_000}
    return Record(method, TITLES[method], "test", 64, 8, ["a"], missing=missing, conditions=cells, costs=costs)


def test_published_numbers_stand_beside_ours_and_missing_weights_give_none():
    head, rows = table_two(
        [
            paper_record("threshold"),
            paper_record("sam"),
            paper_record("sam2", missing="no weights"),
        ],
        PUBLISHED,
    )
    assert head[:5] == ["method", "published PSNR (TASD-T)", "published SSIM (TASD-T)", "PSNR, white", "SSIM, white"]
    assert rows == [
        ["SAM, true point and box", "22.86", "0.949", "21.0", "0.900", "12.0", "1.50 M"],
        ["SAM-2, true point and box of one frame (no weights)", "18", "1", "–", "–", "–", "–"],
    ]


def test_only_what_stands_between_the_markers_of_a_name_changes(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- table:one -->\nold\n<!-- /table -->\nb\n<!-- table:two -->\nx\n<!-- /table -->\n")
    assert write_blocks(readme, {"one": r"\1 new", "three": "nowhere"})
    expected = "a\n<!-- table:one -->\n\\1 new\n<!-- /table -->\nb\n<!-- table:two -->\nx\n<!-- /table -->\n"
    assert readme.read_text() == expected


def test_a_file_without_markers_stays_as_it_is():
    assert replace_block("no table here", "alpha", "new") == "no table here"
    assert replace_block("<!-- table:depth -->\nx\n<!-- /table -->", "alpha", "new").endswith("x\n<!-- /table -->")


def test_without_a_file_nothing_is_written(tmp_path):
    assert not write_blocks(None, {"one": "new"})
    assert not write_blocks(tmp_path / "README.md", {"one": "new"})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("page", "tables"),
    [
        ("README.md", ["front"]),
        ("docs/results.md", ["verdicts", "alpha", "paper", "depth", "generation", *SECTIONS]),
        ("docs/cutout.md", ["styles"]),
    ],
)
def test_our_own_has_a_place_for_every_table_that_is_written_into_it(page, tables):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    places = re.findall(r"^<!-- table:(\w+) -->$", text, re.MULTILINE)
    assert sorted(places) == sorted(tables)
    assert text.count("<!-- /table -->") == len(places)
