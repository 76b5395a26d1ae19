from pathlib import Path

import pytest
from tests.helpers.small_crawl import drawing, sticker

from glassine.curation.report_page import write_report
from glassine.data.shards import ShardFormat, ShardWriter
from glassine.data.sticker import Sticker

pytest.importorskip("matplotlib")


def test_figures_stand_under_the_papers_names_and_published_numbers_are_tinted(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "set", ShardFormat(codec="png")) as writer:
        writer.write("moving", sticker(1), {"description": "a waving sticker", "trigger_words": ["hello"]})
        writer.write("still", Sticker(drawing(2, 1), (1000,)), {"description": "a blob", "trigger_words": ["hello"]})
    page = write_report(tmp_path / "set").read_text()
    places = [
        page.index(part)
        for part in ("VSD2M figure 3", "word_cloud.png", "VSD2M figure 4", "trigger_words_25.png", "frames.png")
    ]
    assert places == sorted(places)
    assert "<td class='published'>0.32M</td><td>2</td>" in page
    assert "<tr class='published'><td>TGIF (published)</td>" in page
    assert "<tr><td>this data set</td>" in page
    for name in ("word_cloud", "description_words", "text_letters"):
        assert (tmp_path / "set" / "report" / f"{name}.png").stat().st_size > 1000
