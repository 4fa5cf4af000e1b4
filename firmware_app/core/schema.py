"""The schema of a database file: one script that says all of it, and the named steps from an earlier file to it.

A step is an SQL file in ``upgrades/`` beside ``schema.sql``, found by listing that folder: ``36-one-schema.sql`` makes
version 36 of version 35.  It moves and mends rows only.  The shape follows from
``schema.sql`` alone: a table, index or trigger that the file lacks is created, and a table that differs is made anew
and filled with its rows.  So an upgraded file and a new one are the same.

`PRAGMA user_version` counts the steps, because it can be read from the header of a damaged file.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Step:
    """One named upgrade."""

    name: str
    script: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database file holds.

    Files of version *first* and later are upgraded; *first_written_by* is the Lantern that wrote that version.  Code of
    version *least* and later may use the file (`docs/decisions/flashable-image.md`).
    """

    script: str
    steps: tuple[Step, ...] = ()
    first: int = 1
    first_written_by: str = ""
    least: int = 1

    @property
    def version(self) -> int:
        return self.first + len(self.steps)

    def upgrade(self, connection: sqlite3.Connection, stored: int) -> None:
        """Bring a file of version *stored* to this schema; 0: it is empty.

        Runs inside the caller's transaction.  Foreign keys must be off, because a table that is made anew would take
        along the rows that refer to it.
        """
        if stored:
            for step in self.steps[stored - self.first :]:
                _run(connection, step.script)
            reshape(connection, self.script)
        else:
            _run(connection, self.script)


def read_schema(package: str, *, first: int = 1, first_written_by: str = "", least: int | None = None) -> Schema:
    """The schema in the folder of *package*; without *least*, only its own version may use the file."""
    folder = resources.files(package)
    script = folder.joinpath("schema.sql").read_text("utf-8")
    steps = _list_steps(folder.joinpath("upgrades"))
    for number, step in enumerate(steps, first + 1):
        if not step.name.startswith(f"{number}-"):  # two steps of one number would shift all that follow
            raise ValueError(f"{package}: step {step.name} stands where {number} belongs")
    return Schema(script, steps, first, first_written_by, first + len(steps) if least is None else least)


def _list_steps(folder: Traversable) -> tuple[Step, ...]:
    """The steps in *folder* by their numbers; none where there is no such folder."""
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")] if folder.is_dir() else []
    files.sort(key=lambda file: int(file.name.partition("-")[0]))
    return tuple(Step(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files)


def reshape(connection: sqlite3.Connection, script: str) -> None:
    """Give the tables, indexes and triggers of a file the form of *script*, and keep every row.

    A column that *script* lacks is left out, so the step before must have moved what it held.
    """
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(script)
        wanted = _read_objects(empty)
    stored = _read_objects(connection)
    changed = [
        name for name, one in stored.items() if one.kind == "table" and name in wanted and not one.is_same(wanted[name])
    ]
    for name, one in stored.items():
        outdated = one.table in changed or not one.is_same(wanted.get(name))
        if one.kind == "trigger" or (one.kind == "index" and outdated):
            connection.execute(f'DROP {one.kind} "{name}"')
    connection.execute("PRAGMA legacy_alter_table=ON")  # what refers to a renamed table goes on referring to its name
    try:
        for name in changed:
            _make_anew(connection, name, wanted[name].sql)
    finally:
        connection.execute("PRAGMA legacy_alter_table=OFF")
    present = _read_objects(connection)
    for kind in ("table", "index", "trigger"):
        for name, one in wanted.items():
            if one.kind == kind and name not in present:
                connection.execute(one.sql)


@dataclass(frozen=True, slots=True)
class _Object:
    """A table, index or trigger."""

    kind: str
    table: str
    sql: str

    def is_same(self, other: _Object | None) -> bool:
        return other is not None and normalise(self.sql) == normalise(other.sql)


def normalise(sql: str) -> str:
    """A statement without what has no meaning: comments, white space, quotes around plain names."""
    plain = re.sub(r'"(\w+)"', r"\1", re.sub(r"--[^\n]*", "", sql))
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(plain.split()))


def split_statements(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one: `executescript` would commit the open transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in split_statements(script):
        connection.execute(statement)


def _read_objects(connection: sqlite3.Connection) -> dict[str, _Object]:
    rows = connection.execute("SELECT name, type, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: _Object(*rest) for name, *rest in rows if not name.startswith("sqlite_")}


def _make_anew(connection: sqlite3.Connection, table: str, sql: str) -> None:
    """Create *table* by *sql*, and copy its rows with their rowids and its AUTOINCREMENT counter."""
    before = f"{table}_before"
    numbered = "AUTOINCREMENT" in sql
    counter = (
        connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone() if numbered else None
    )
    connection.execute(f'ALTER TABLE "{table}" RENAME TO "{before}"')
    connection.execute(sql)
    kept = _list_columns(connection, before)
    columns = [column for column in _list_columns(connection, table) if column in kept]
    if _has_hidden_rowid(connection, table):
        columns.insert(0, "rowid")
    names = ", ".join(columns)
    connection.execute(f'INSERT INTO "{table}" ({names}) SELECT {names} FROM "{before}"')
    connection.execute(f'DROP TABLE "{before}"')
    if counter is not None:
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, counter[0]))


def _list_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]


def _has_hidden_rowid(connection: sqlite3.Connection, table: str) -> bool:
    (without,) = connection.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).fetchone()
    keys = [row[2] for row in connection.execute(f'PRAGMA table_info("{table}")') if row[5]]
    return not without and keys != ["INTEGER"]
