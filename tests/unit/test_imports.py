"""Who may import whom: the layers of the package, read from its import statements."""

import ast
from pathlib import Path

import pytest

import glassine

ROOT = Path(glassine.__file__).parent
MAY_IMPORT = {
    "utils": set(),
    "procedural": set(),
    "assets": set(),
    "nn": {"utils"},
    "metrics": {"utils"},
    "data": {"utils"},
    "data/sources": {"data", "utils", "procedural"},
    "pretrained": {"utils"},
    "study": {"utils", "data"},
    "review": {"utils", "data", "study", "nn", "metrics", "models", "pretrained", "pipelines", "bench"},
    "models": {"utils", "nn"},
    "tasks": {"utils", "models", "nn", "metrics", "pretrained"},
    "pipelines": {"utils", "models", "nn", "data", "pretrained"},
    "app": {"utils", "pipelines", "models", "nn", "data", "pretrained", "study", "review"},
    "curation": {"utils", "pipelines", "models", "nn", "data", "pretrained"},
    # not cli: both call the same functions
    "bench": {"utils", "pipelines", "models", "nn", "metrics", "data", "pretrained", "tasks", "procedural"},
}


def imported_folders(file: Path) -> set[str]:
    """Folders of the package that a file imports from, absolutely or relatively."""
    package = ("glassine", *file.relative_to(ROOT).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names.add(".".join([*base, *((node.module or "").split(".") if node.module else [])]))
    parts = [name.split(".") for name in names if name.startswith("glassine.")]
    return {part[1] for part in parts if (ROOT / part[1]).is_dir()}


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_a_layer_imports_only_the_layers_below_it(folder):
    inside = [ROOT / other for other in MAY_IMPORT if other.startswith(f"{folder}/")]  # these have rules of their own
    files = [file for file in (ROOT / folder).rglob("*.py") if not any(file.is_relative_to(place) for place in inside)]
    assert files or folder == "assets"
    for file in files:
        above = imported_folders(file) - {folder} - MAY_IMPORT[folder]
        assert not above, f"{file.relative_to(ROOT)} imports {', '.join(sorted(above))}"
