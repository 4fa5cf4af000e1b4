"""No call of the product passes more than five positional arguments: beyond that, each is named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests import source
from tests.source import MOST

PRODUCT = list(source.files("firmware_app", "web", "converters", "hospital"))
ALIKE = {"struct.pack": "a value for each letter of the format", "log.info": "a value for each place of the sentence"}
"""Functions of others that take any number of arguments of one sort, and why these need no names."""


def long_calls(path: Path) -> Iterator[ast.Call]:
    return (call for call in source.read(path).calls if len(call.args) > MOST)


def needs_names(call: ast.Call) -> bool:
    """Whether it calls no function with ``*arguments``: what stands there is a list of one sort."""
    name = ast.unparse(call.func)
    ours = any(name.rsplit(".", 1)[-1] in source.read(path).functions_of_any_number for path in PRODUCT)
    return name not in ALIKE and not ours


def test_more_than_five_arguments_are_passed_by_name() -> None:
    found = [
        f"{path.relative_to(source.REPOSITORY)}:{call.lineno} {ast.unparse(call.func)}"
        for path in PRODUCT
        for call in long_calls(path)
        if needs_names(call)
    ]
    assert found == []


def test_every_exception_is_still_needed() -> None:
    assert ALIKE.keys() <= {ast.unparse(call.func) for path in PRODUCT for call in long_calls(path)}


def test_a_long_call_is_seen(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "make(1, 2, 3, 4, 5, 6)\nmake(1, 2, 3, 4, 5, six=6)\nlog.info('%d', 1, 2, 3, 4, 5, 6)"
    )
    assert [call.lineno for call in long_calls(tmp_path / "long.py") if needs_names(call)] == [1]
