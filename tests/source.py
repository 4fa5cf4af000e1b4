"""What the tests of the house ask about its source, read once in a process."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
MOST = 5
"""As many arguments may a call of the product pass by their place."""


@dataclass(frozen=True)
class Source:
    """The nodes of one file that a test looks at; the whole trees would take a gigabyte."""

    imports: list[ast.Import | ast.ImportFrom]
    imports_for_types: frozenset[int]
    """The ids of those that stand under ``if TYPE_CHECKING``."""
    calls: list[ast.Call]
    """Those of something in capitals, as a refusal is, and those with more than `MOST` arguments by their place."""
    functions_of_any_number: frozenset[str]


@cache
def read(path: Path) -> Source:
    gc.disable()  # a tree is no garbage, and looking for some in it takes half the time
    try:
        return _read(path)
    finally:
        gc.enable()


def _read(path: Path) -> Source:
    imports: list[ast.Import | ast.ImportFrom] = []
    calls: list[ast.Call] = []
    for_types: set[int] = set()
    functions: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.Call) and (len(node.args) > MOST or name_of(node).isupper()):
            calls.append(node)
        elif isinstance(node, ast.FunctionDef) and node.args.vararg is not None:
            functions.add(node.name)
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for_types |= {id(inner) for line in node.body for inner in ast.walk(line)}
    return Source(imports, frozenset(for_types), calls, frozenset(functions))


def name_of(call: ast.Call) -> str:
    """The last word of what is called."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def files(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((REPOSITORY / package).rglob("*.py"))
