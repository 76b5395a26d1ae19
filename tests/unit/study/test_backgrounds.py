import pytest

from glassine.study.build import parse_backgrounds
from glassine.utils.errors import UserError


def test_colors_become_hexadecimal_and_come_once():
    assert parse_backgrounds(["checker", "white", "#FFFFFF", "00ff80"]) == ("checker", "#ffffff", "#00ff80")


def test_no_color():
    with pytest.raises(UserError, match="whitish"):
        parse_backgrounds(["whitish"])
    with pytest.raises(UserError, match="no background"):
        parse_backgrounds([])
