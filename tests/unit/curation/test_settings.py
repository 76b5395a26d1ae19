from pathlib import Path

import pytest

from glassine.curation.parts import build_part
from glassine.curation.settings import read_settings
from glassine.utils.errors import UserError

FOLDER = Path(__file__).parents[3] / "experiments" / "curation" / "settings"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_yaml_is_understood_and_its_parts_can_be_made(file: Path) -> None:
    settings = read_settings([file])
    build_part(settings.describe, "describe")  # networks are loaded when they are first asked
    for part in (settings.ocr, settings.domain):
        if part is not None:
            build_part(part, "part")


def test_later_settings_go_over_earlier_ones_field_by_field() -> None:
    settings = read_settings([FOLDER / "tasd.yaml", {"thresholds": {"min_frames": 4}, "ocr": None}])
    assert (settings.thresholds.min_frames, settings.thresholds.min_transparent) == (4, 0.05)
    assert settings.ocr is None
    assert [test.name for test in settings.tests] == ["TASD-T"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"treshold": {}}, "has no setting 'treshold'"),
        ({"thresholds": {"max_tex": 3}}, "has no setting 'max_tex'"),
        ({"near": 3}, "near must be a mapping"),
    ],
)
def test_names_that_there_are_not_are_said(given: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_settings([given])
