"""What commands say when a package of an extra is missing."""

import tomllib
from pathlib import Path

from glassine.utils.errors import EXTRAS, exit_code

REPOSITORY = Path(__file__).parents[3]


def raise_missing(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_missing_package_of_an_extra_is_one_line_that_names_it(capsys):
    assert exit_code(lambda: raise_missing("lightning.pytorch")) == 2
    assert capsys.readouterr().err.strip().endswith("lightning, which is not installed: pip install 'glassine[train]'")


def test_every_extra_that_messages_name_exists():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS.values()) <= set(extras)
    for package, extra in EXTRAS.items():
        names = " ".join(extras[extra]).replace("-", "_")
        assert package in names, (package, extra)
