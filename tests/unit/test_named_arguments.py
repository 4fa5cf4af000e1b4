"""No call of the product passes more than five positional arguments: beyond that, each is named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("firmware_app", "web", "converters", "hospital")
MOST = 5

ALIKE = {"struct.pack": "a value for each letter of the format", "log.info": "a value for each place of the sentence"}
"""Functions of others that take any number of arguments of one sort, and why these need no names."""


@cache
def modules() -> dict[Path, ast.Module]:
    paths = (path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py")))
    return {path: ast.parse(path.read_text("utf-8")) for path in paths}


@cache
def takes_any_number() -> frozenset[str]:
    """The names of our functions with ``*arguments``: what stands there is a list of one sort."""
    functions = (node for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(one.name for one in functions if one.args.vararg is not None)


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def calls_by_place(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls in *tree* that pass more than `MOST` positional arguments to what expects each in its place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) > MOST:
            name = called(node)
            if name not in ALIKE and name.rsplit(".", 1)[-1] not in takes_any_number():
                yield node


def test_more_than_five_arguments_are_passed_by_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno} {called(call)}"
        for path, tree in modules().items()
        for call in calls_by_place(tree)
    ]
    assert found == []


def test_every_exception_is_still_needed() -> None:
    long = {
        called(node)
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and len(node.args) > MOST
    }
    assert ALIKE.keys() <= long


def test_a_long_call_is_seen() -> None:
    tree = ast.parse("make(1, 2, 3, 4, 5, 6)\nmake(1, 2, 3, 4, 5, six=6)\nlog.info('%d', 1, 2, 3, 4, 5, 6)")
    assert [call.lineno for call in calls_by_place(tree)] == [1]
