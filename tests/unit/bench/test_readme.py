import re
from pathlib import Path

from glassine.bench.animation.tables import SECTIONS
from glassine.bench.readme import replace_block, write_blocks


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


def test_our_own_has_a_place_for_every_table_that_is_written_into_it():
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    places = re.findall(r"^<!-- table:(\w+) -->$", text, re.MULTILINE)
    assert sorted(places) == sorted(["alpha", "paper", "depth", "generation", *SECTIONS])
    assert text.count("<!-- /table -->") == len(places)
