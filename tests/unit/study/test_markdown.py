from pathlib import Path

from tests.helpers.tiny_study import answers_of, tiny_study, write_answers

from glassine.study.answers import read_raters
from glassine.study.markdown import to_markdown
from glassine.study.report import make_report


def test_tables_have_all_methods_and_raters_best_first(tmp_path: Path):
    key = tiny_study(tmp_path, ("plain", "o|urs"), title="Which\nis best", checks=1)
    path = write_answers(tmp_path / "anna.jsonl", key, "anna", answers_of(key, "o|urs"))
    text = to_markdown(make_report(key, read_raters([path], key, 0.5), resamples=20))
    assert text.startswith("# Which is best\n")
    motion = text.partition("## motion")[2].partition("##")[0]
    assert motion.index("o\\|urs") < motion.index("plain")
    assert "100.0% | 100.0% to 100.0%" in motion
    assert "no comparison has two raters yet" in motion
    assert "Chance is 50.0%" in motion
    assert "| anna  | 15 of 15 |       100.0% of 3 |" in text
    assert "With one rater" in text


def test_what_was_left_out_is_said(tmp_path: Path):
    key = tiny_study(tmp_path)
    path = write_answers(tmp_path / "anna.jsonl", key, "anna", [*answers_of(key, None), {"trial": "t0"}])
    report = make_report(key, read_raters([path], key, 0.5), resamples=20)
    text = to_markdown({**report, "skipped": {"item9": "item9.gif: is damaged"}})
    assert "skipped: anna: 1." in text
    assert "- item9: item9.gif: is damaged" in text


def test_names_are_shown_as_they_are_and_never_as_markup(tmp_path: Path):
    name = "<img src=x onerror=alert(1)> [a](javascript:b) `c` \x1b[31m & d"
    key = tiny_study(tmp_path, ("plain", name), title="<script>")
    path = write_answers(tmp_path / "anna.jsonl", key, "anna", answers_of(key, name))
    text = to_markdown(make_report(key, read_raters([path], key, 0.5), resamples=20))
    assert "<" not in text
    assert "\x1b" not in text
    assert "&lt;img src=x onerror=alert(1)&gt; \\[a\\](javascript:b) \\`c\\`" in text
    assert "# &lt;script&gt;" in text
