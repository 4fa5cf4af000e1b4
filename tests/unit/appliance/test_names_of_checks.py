"""Every check has a name for people."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import firmware_app
from firmware_app.appliance import checks
from firmware_app.core import run_status

SOURCE = Path(firmware_app.__file__).parent


def find_names(path: Path) -> Iterator[str]:
    """The first argument of each ``Check(…)`` in a file, where it is a word or a constant of its module."""
    module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Check"):
            continue
        match node.args[:1]:
            case [ast.Constant(value=str(word))]:
                yield word
            case [ast.Name(id=constant)] if constant.isupper():
                yield str(getattr(importlib.import_module(module), constant))


def test_every_check_has_a_name_for_people() -> None:
    names = {word for path in (SOURCE / "appliance").rglob("*.py") for word in find_names(path)}
    names |= set(run_status.ALL_PROCESSES)
    assert names == checks.list_check_names().keys()
