"""docs/schema.md, made from the schema files:  python -m tests.upgrades.picture"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from firmware_app.cases import accounts, clinical_db
from firmware_app.uplink.exchange import exchange_db
from hospital.inbox import inbox_db

PAGE = Path(__file__).parents[2] / "docs" / "schema.md"
_HEADING = re.compile(r"^---- (.+?) -+$", re.MULTILINE)
_TABLE = re.compile(r"((?:^--.*\n)*)^CREATE TABLE (\w+) ", re.MULTILINE)
_INTRODUCTION = """\
# The databases of a box, and of the hospital

Made by `python -m tests.upgrades.picture` from the four files `schema.sql`, which say what each column means, and
held to them by `tests/unit/core/test_schema.py`. `firmware_app/core/schema.py` upgrades a file of an earlier version.

A full line is a foreign key. A dotted line is the reference of a case in a table whose rows stay when the case is
deleted.
"""


def draw() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for name, module in (
        ("clinical.db", clinical_db),
        ("exchange.db", exchange_db),
        ("accounts.db", accounts),
        ("inbox.db, at the hospital", inbox_db),
    ):
        parts += [f"## {name}\n", *_draw_database(module.SCHEMA.script)]
    return "\n".join(parts)


def read_descriptions(script: str) -> dict[str, str]:
    """Table -> the comment above it."""
    return {name: " ".join(comment.replace("--", " ").split()) for comment, name in _TABLE.findall(script)}


def _draw_database(script: str) -> Iterator[str]:
    relations = "\n".join(_list_relations(script))
    if relations:
        yield f"```mermaid\nerDiagram\n{relations}\n```\n"
    described = read_descriptions(script)
    for heading, part in _list_parts(script):
        lines = [f"| `{name}` | {described[name]} |" for _, name in _TABLE.findall(part)]
        yield "\n".join(
            [*([f"### {heading}\n"] if heading else []), "| table | what it holds |", "| --- | --- |", *lines, ""]
        )


def _list_parts(script: str) -> Iterator[tuple[str, str]]:
    """The headings of *script* with what follows them."""
    first, *rest = _HEADING.split(script)
    if _TABLE.search(first):
        yield "", first
    yield from zip(rest[::2], rest[1::2], strict=True)


def _list_relations(script: str) -> Iterator[str]:
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(script)
        for table in read_descriptions(script):
            keys = empty.execute(f'PRAGMA foreign_key_list("{table}")').fetchall()
            for _, _, parent, column, *_ in sorted(keys, key=lambda key: str(key[3])):
                yield f'    {parent} ||--o{{ {table} : "{column}"'
            columns = {row[1] for row in empty.execute(f'PRAGMA table_info("{table}")')}
            if "case_reference" in columns and not any(key[3] == "case_reference" for key in keys):
                yield f'    cases ||..o{{ {table} : "case_reference"'


if __name__ == "__main__":
    PAGE.write_text(draw(), "utf-8")
