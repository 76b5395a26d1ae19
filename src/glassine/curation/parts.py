"""Parts of a curation that a YAML names by `class_path`: engines, networks, language models."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from glassine.utils.errors import UserError


def build_part(description: Mapping[str, Any] | str, what: str) -> Any:
    """Make what `class_path` and `init_args` describe.

    A YAML of a curation is written by whoever runs it, as one of `glassine fit`: it chooses which code runs.

    Args:
        description: a mapping with `class_path` and perhaps `init_args`, or the class path alone.
        what: for messages.

    Raises:
        UserError: no such class, or arguments that it does not take.
    """
    content: dict[str, Any] = {"class_path": description} if isinstance(description, str) else dict(description)
    class_path = content.get("class_path")
    given: dict[str, Any] = dict(content.get("init_args") or {})
    if not isinstance(class_path, str) or content.keys() - {"class_path", "init_args"}:
        raise UserError(f"{what} must be a class_path with init_args, got {description!r}")
    module, _, name = class_path.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{what}: there is no {class_path} ({error}); give the dotted name of a class") from error
    try:
        inspect.signature(made).bind(**given)
    except TypeError as error:
        raise UserError(f"{what}: {class_path} does not take these init_args ({error})") from error
    return made(**given)


def package_version(name: str) -> str:
    """The version of an installed package, empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
