"""Tables and plots of text to sticker, from records."""

from glassine.bench.generation_report import data_table, generation_report, method_table
from glassine.bench.plots import curve, plot_steps
from glassine.bench.records import Cell, Record
from glassine.bench.specs import METHODS


def record(method: str, data: str, seed: int, fvd: float) -> Record:
    scores = {"fvd_glassine_native_8f_white": fvd, "clip_glassine_score_white": 20.0}
    cells = {name: Cell("x", 6, dict(scores)) for name in (["stickers", "procedural"] if data == "both" else [data])}
    costs = {"steps": 7.0, "seconds_per_clip": 2.0, "parameters": 5e6}
    settings = {"sampler": "dpm++ 10", "guidance_scale": 5.0}
    title = METHODS[method].title
    return Record(method, title, "test", 32, 8, [], data, seed=seed, conditions=cells, costs=costs, settings=settings)


def test_seeds_stand_in_one_row_with_their_spread_and_published_numbers_apart():
    records = [record("sti", "stickers", 0, 2.0), record("sti", "stickers", 1, 4.0), record("sti", "both", 0, 1.0)]
    records.append(record("video_gpt", "stickers", 0, 9.0))
    head, rows = method_table(records, "stickers", "stickers")
    assert [row[0] for row in rows] == ["VideoGPT (trained from nothing, at 64 px)", "STI (2 seeds)"]
    assert rows[1][1] == "3.00 ± 1.41"
    assert "s a clip" in head
    _, trained_on = data_table(records, "stickers")
    assert [row[0] for row in trained_on] == ["real stickers (2 seeds)", "both"]
    published = [
        {
            "table": "4",
            "title": "t",
            "data": "VSD-R",
            "paper": "VSD2M",
            "columns": ["FVD"],
            "rows": [{"name": "STI", "FVD": 2613.41}],
        }
    ]
    page = generation_report(records, published, {"STI": {"UNet": 3_000_000, "VAE": 1_500_000}})
    assert "| STI | 3.000 | 1.500 | 4.500 |" in page
    ours, theirs = page.split("## Published")
    assert "2613.41" in theirs
    assert "2613.41" not in ours


def test_a_second_domain_has_a_table_of_its_own():
    one = record("sti", "stickers", 0, 2.0)
    assert "second domain" not in generation_report([one], [], {})
    one.conditions["second"] = Cell("x", 6, {"fvd_glassine_native_8f_white": 7.0})
    page = generation_report([one], [], {})
    below = page.split("## Real stickers of a second domain, trained on real stickers of the first")[1]
    assert "| STI | 7.00 |" in below.split("##")[0]


def test_scores_along_the_way_are_drawn_in_order_of_their_steps(tmp_path):
    ends = [record("sti", "stickers", 0, 2.0), record("sti", "stickers", 1, 4.0), record("video_gpt", "stickers", 0, 9)]
    early = record("sti", "stickers", 0, 5.0)
    early.costs["steps"] = 3.0
    assert curve([*ends, early], "sti", "fvd_glassine_native_8f_white") == [(3.0, 5.0), (7.0, 2.0)]
    assert curve(ends, "sti", "clip_glassine_similarity_softmax_white") == []
    plot_steps([*ends, early], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_further_method_is_drawn_as_well(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "further", METHODS["sti"])
    plot_steps([record("further", "stickers", 0, 2.0)], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
