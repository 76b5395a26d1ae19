"""The YAML of a curation: the fields of `glassine.curation.pipeline.Settings`, one file laid over the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from glassine.curation.duplicates import Limits
from glassine.curation.filters import Thresholds
from glassine.curation.pipeline import Settings
from glassine.curation.splits import TestSet
from glassine.data.shards import ShardFormat
from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError

_NESTED: dict[str, type] = {"thresholds": Thresholds, "near": Limits, "shards": ShardFormat}


def read_settings(parts: Sequence[Path | Mapping[str, Any]]) -> Settings:
    """Settings of YAML files and mappings, later ones over earlier ones, field by field.

    Raises:
        UserError: no such file, a name that there is not, or a value that does not fit.
    """
    merged: dict[str, Any] = {}
    for part in parts:
        content = read_yaml(part) if isinstance(part, Path) else part
        if content is None:
            continue
        if not isinstance(content, Mapping):
            raise UserError(f"{part} must be a mapping of settings, got {type(content).__name__}")
        _check_names(content, Settings, str(part) if isinstance(part, Path) else "command line")
        for name, value in content.items():
            nested = name in _NESTED and isinstance(value, Mapping)
            merged[name] = {**merged.get(name, {}), **value} if nested else value
    made: dict[str, Any] = dict(merged)
    for name, kind in _NESTED.items():
        if name in merged:
            made[name] = _made(kind, merged[name], name)
    if "tests" in merged:
        if not isinstance(merged["tests"], Sequence):
            raise UserError("tests must be a list of test sets")
        made["tests"] = tuple(_made(TestSet, one, "tests") for one in merged["tests"])
    return _made(Settings, made, "settings")


def _made(kind: type, content: Any, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise UserError(f"{where} must be a mapping, got {content!r}")
    _check_names(content, kind, where)
    try:
        return kind(**content)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error


def _check_names(content: Mapping[str, Any], kind: type, where: str) -> None:
    known = [field.name for field in fields(kind)]
    unknown = [str(name) for name in content if name not in known]
    if unknown:
        raise UserError(f"{where} has no setting {unknown[0]!r}; there are {', '.join(known)}")
