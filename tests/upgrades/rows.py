"""Rows for every table of a database, whatever its columns are, and all its rows to compare."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_JSON = {"answer", "attributes", "body", "bulk", "content", "details", "drawing", "header", "health", "maker", "reason"}


def fill_tables(database: Path, least: int = 2) -> None:
    """Give each table *least* rows, as far as its own conditions allow; no trigger fires for them."""
    with closing(sqlite3.connect(database)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA foreign_keys=ON")
        for table, sql in _list_tables(connection):
            for number in range(least):
                values = {
                    name: _value(connection, table, sql, name, kind, number)
                    for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()
                }
                marks = ", ".join("?" * len(values))
                connection.execute(
                    f"INSERT OR IGNORE INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values())
                )
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()


def read_rows(database: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Table -> its rows, each with its column names."""
    with closing(sqlite3.connect(database)) as connection:
        found: dict[str, set[tuple[Any, ...]]] = {}
        for table, _ in _list_tables(connection):
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            found[table] = {tuple(zip(names, row, strict=True)) for row in cursor}
        return found


def _list_tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
    return [(name, sql) for name, sql in rows if not name.startswith("sqlite_")]


def _value(connection: sqlite3.Connection, table: str, sql: str, column: str, kind: str, number: int) -> object:
    for key in connection.execute(f"PRAGMA foreign_key_list({table})").fetchall():
        if key[3] == column:
            return _take(connection, key[2], key[4], number)
    if column == "case_reference" and table != "cases":
        return _take(connection, "cases", "reference", number)
    if chosen := re.search(rf"CHECK \({column} (?:IN\s*\(([^)]*)\)|= (\d))", sql):
        choices = [part.strip().strip("'") for part in (chosen[1] or chosen[2]).split(",")]
        return choices[number % len(choices)]
    if column == "age":
        return f"00{number}Y"
    if kind == "TEXT":
        return "{}" if column in _JSON else f"{table}.{column}.{number}"
    return {"INTEGER": 1000 + number, "REAL": number + 0.5, "BLOB": bytes([number])}[kind]


def _take(connection: sqlite3.Connection, table: str, column: str, number: int) -> object:
    rows = connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid").fetchall()
    return rows[number % len(rows)][0] if rows else None
