"""What a drawing lacks is said in one line by the command, and other warnings look as ever."""

import warnings

import pytest

from glassine.__main__ import plain_warnings
from glassine.data.codecs.lottie import LeftOutWarning


def test_only_our_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    plain_warnings()
    assert warnings.formatwarning("a: 1 effects", LeftOutWarning, "b.py", 3) == "glassine: a: 1 effects\n"
    assert warnings.formatwarning("old", DeprecationWarning, "b.py", 3, "x = 1").startswith(
        "b.py:3: DeprecationWarning"
    )
