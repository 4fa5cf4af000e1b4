"""What the code of an earlier schema could fail at in a later one, for a box that has left a slot."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from firmware_app.core.schema import normalise

_CHECK = re.compile(r"CHECK ?\((?:[^()]|\([^()]*\))*\)")
_LETS_GO = ("CASCADE", "SET NULL")


def list_obstacles(before: str, after: str) -> list[str]:
    """Sentences on the script *after*, for code that was written for the script *before*."""
    with closing(sqlite3.connect(":memory:")) as old, closing(sqlite3.connect(":memory:")) as new:
        old.executescript(before)
        new.executescript(after)
        known, tables = _list_names(old, "table"), _list_names(new, "table")
        found = [f"table {table} is gone" for table in known if table not in tables]
        for table in known:
            if table in tables:
                found += _list_table_obstacles(old, new, table)
        for table in tables:
            held = {row[3]: row[2] for row in old.execute(f'PRAGMA foreign_key_list("{table}")')}
            for _, _, parent, column, _, _, on_delete, _ in new.execute(f'PRAGMA foreign_key_list("{table}")'):
                if parent in known and column not in held and on_delete not in _LETS_GO:
                    found.append(f"{table}.{column} refuses to let go of {parent}")
        unique = {row[0] for row in new.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE UNIQUE%'")}
        found += [f"index {name} is unique" for name in sorted(unique) if name not in _list_names(old, "index")]
        refusing = new.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%RAISE%'"
        ).fetchall()
        found += [f"trigger {name} refuses" for (name,) in refusing if name not in _list_names(old, "trigger")]
    return found


def _list_table_obstacles(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> list[str]:
    columns = {row[1]: row[2:] for row in new.execute(f'PRAGMA table_info("{table}")')}
    known = {row[1]: row[2:] for row in old.execute(f'PRAGMA table_info("{table}")')}
    found = [f"{table}.{name} is gone or changed" for name, form in known.items() if columns.get(name) != form]
    for name, (_, required, default, _) in columns.items():
        if name not in known and required and default is None:
            found.append(f"{table}.{name} is required")
    if not found and _list_checks(new, table) - _list_checks(old, table):
        found.append(f"{table} checks otherwise")
    return found


def _list_checks(connection: sqlite3.Connection, table: str) -> set[str]:
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    return set(_CHECK.findall(normalise(sql)))


def _list_names(connection: sqlite3.Connection, kind: str) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL", (kind,))
    return [name for (name,) in rows if not name.startswith("sqlite_")]
