"""The page without a server: what its folder holds, and bad input. Its cut-outs are tested in a browser."""

import re
from pathlib import Path

import pytest
from torch import nn

from glassine.app.web_export import OWN, RUNTIME_FILES, SHARED, SHARED_FILES, export_web
from glassine.utils.errors import UserError


def test_a_folder_with_files_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="must be a new or empty folder"):
        export_web(nn.Identity(), tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_incomplete_runtime_is_named_before_any_work(tmp_path: Path):
    (tmp_path / "runtime").mkdir()
    for name in RUNTIME_FILES[:-1]:
        (tmp_path / "runtime" / name).touch()
    with pytest.raises(UserError, match=re.escape(RUNTIME_FILES[-1])):
        export_web(nn.Identity(), tmp_path / "page", tmp_path / "runtime")
    assert not (tmp_path / "page").exists()


def test_a_failed_export_leaves_nothing(tmp_path: Path, monkeypatch):
    (tmp_path / "runtime").mkdir()
    for name in RUNTIME_FILES:
        (tmp_path / "runtime" / name).touch()

    def fail(*arguments: object) -> float:
        raise UserError("the network cannot be written as ONNX: a part; leave that part out")

    monkeypatch.setattr("glassine.pipelines.onnx_export.stages.export_stages", fail)
    with pytest.raises(UserError, match="cannot be written as ONNX"):
        export_web(nn.Identity(), tmp_path / "out" / "page", tmp_path / "runtime")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_page_loads_only_files_that_are_beside_it():
    files = {path.name: path for path in [*OWN.iterdir(), *(SHARED / name for name in SHARED_FILES)]}
    for name, path in files.items():
        text = path.read_text()
        assert not re.findall(r"https?://(?!www\.w3\.org)", text), name  # nothing from elsewhere
        for needed in re.findall(r'(?:from |import |Worker\(|src=|href=)"\./([\w.]+)"', text):
            assert needed in files, f"{name} loads {needed}"
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', files["index.html"].read_text())
    assert policy is not None
    assert "connect-src 'self'" in policy[1]
    assert policy[1].startswith("default-src 'none'")
