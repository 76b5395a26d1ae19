"""The data file of what platforms accept."""

import re

import pytest

from glassine.pipelines.pack.limits import TextRule, platform, platforms, sources
from glassine.pipelines.pack.report import as_markdown
from glassine.utils.errors import UserError


def test_every_source_says_where_when_what_kind_and_whether_it_is_confirmed():
    for name, source in sources().items():
        assert source.keys() == {"where", "read", "kind", "confirmed"}, name
        assert all(source.values()), name
        assert re.fullmatch(r"20\d\d-[01]\d", source["read"]), name
        assert source["confirmed"] in ("True", "False"), name
        second_hand = re.search(r"excerpt|guides|an answer|reports", source["kind"])
        assert (source["confirmed"] == "False") == bool(second_hand), name


def test_a_report_marks_limits_that_are_not_confirmed():
    found = {name: sources()[name] for name in ("line", "slack")}
    pack = {"title": "P", "kind": "animated", "stickers": 0, "files": [], "limits_from": found}
    report = {"name": "n", "author": "a", "glassine": "0", "order": [], "platforms": {"p": pack}, "failed": {}}
    text = as_markdown(report)
    assert text.count("not confirmed") == 1


@pytest.mark.parametrize("key", sorted(platforms()))
def test_every_platform_says_what_its_files_must_be(key):
    found = platform(key)
    for kind, limits in found.kinds.items():
        assert limits.bytes >= 1000
        assert min(limits.canvas) >= 28
        assert limits.can_move == (kind == "animated" or limits.format == "gif")
        for part in (*limits.covers, *limits.each):
            assert part.file
        assert set(limits.sources.values()) <= set(sources())


def test_sizes_that_are_named_in_the_platforms_own_pages():
    assert platform("telegram").limits("animated").bytes == 256_000
    assert platform("telegram").limits("animated").max_fps == 30
    assert platform("whatsapp").count == (3, 30)
    assert not platform("whatsapp").mixed
    line = platform("line").limits("animated")
    assert (line.canvas, line.min_frames, line.max_frames, line.max_loops) == ((320, 270), 5, 20, 4)
    assert platform("discord").limits("animated").bytes == 512 * 1024


@pytest.mark.parametrize(
    ("key", "number", "says"),
    [
        ("whatsapp", 2, "3 to 30 stickers, got 2"),
        ("whatsapp", 31, "got 31"),
        ("line", 9, "8, 16 or 24 stickers, got 9"),
    ],
)
def test_packs_of_a_wrong_number_are_named(key, number, says):
    assert says in (platform(key).count_problem(number, "animated") or "")


@pytest.mark.parametrize(("key", "number"), [("whatsapp", 3), ("whatsapp", 30), ("line", 16)])
def test_packs_of_a_right_number_are_fine(key, number):
    assert platform(key).count_problem(number, "animated") is None


def test_an_unknown_platform_is_refused_with_those_that_are_known():
    with pytest.raises(UserError, match=r"must be one of telegram, .*, got 'icq'"):
        platform("icq")


def test_a_platform_without_animated_stickers_says_so():
    with pytest.raises(UserError, match="does not accept animated"):
        platform("viber").limits("animated")


@pytest.mark.parametrize(
    ("rule", "text", "says"),
    [
        (TextRule(max=4), "hello", "1 to 4 characters, got 5"),
        (TextRule(), "", "got 0"),
        (TextRule(), "   ", "not blank"),
        (TextRule(), "a\nb", "printable"),
        (TextRule(pattern="[a-z]+"), "A1", "must match"),
    ],
)
def test_names_that_a_platform_refuses(rule, text, says):
    assert says in (rule.problem(text) or "")
