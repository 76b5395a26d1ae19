"""Who may import whom: the layers of the package, read from its import statements."""

import ast
from pathlib import Path

import pytest

import glassine

ROOT = Path(glassine.__file__).parent
# besides `utils`, which all may import; `cli` and `__main__` may import everything
MAY_IMPORT = {
    "utils": set(),
    "procedural": {"data"},
    "assets": set(),
    "nn": set(),
    "data": {"procedural"},
    "metrics": set(),
    "pretrained": set(),
    "study": {"data"},
    "models": {"nn"},
    "tasks": {"models", "nn", "metrics", "pretrained"},
    "pipelines": {"models", "nn", "data", "pretrained", "procedural"},
    "bench": {"pipelines", "models", "nn", "metrics", "data", "pretrained", "tasks"},
}


def imported_parts(file: Path) -> set[str]:
    """Folders and modules below the package that a file imports from, absolutely or relatively."""
    package = ("glassine", *file.relative_to(ROOT).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names.add(".".join([*base, *((node.module or "").split(".") if node.module else [])]))
    return {name.split(".")[1] for name in names if name.startswith("glassine.")}


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_a_layer_imports_only_the_layers_below_it(folder):
    allowed = {folder, "utils"} | MAY_IMPORT[folder]
    for file in (ROOT / folder).rglob("*.py"):
        above = imported_parts(file) - allowed
        assert not above, f"{file.relative_to(ROOT)} imports {', '.join(sorted(above))}"


def test_every_folder_has_its_rule():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - {"cli"} == set(MAY_IMPORT)
