"""Rows of a database as dataclasses, and JSON in a column, validated when it is read.

A dataclass that `parse_row` makes has fields named as the columns; a column that no field names is left out.  A new
column of such a table is one line in ``schema.sql`` and one field.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, TypeAdapter

from firmware_app.core.clock import Stamp, parse_stamp
from firmware_app.core.records import Reason

Record = TypeVar("Record")

StoredTime = Annotated[Stamp, BeforeValidator(lambda value: parse_stamp(value) if isinstance(value, str) else value)]
"""A `Stamp` that a column keeps as its text."""
StoredReason = Annotated[Reason, BeforeValidator(lambda value: json.loads(value) if isinstance(value, str) else value)]
"""A `Reason` that a column keeps as JSON."""


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
"""Made at first use: it takes a few milliseconds."""


def parse_row(kind: type[Record], row: sqlite3.Row, **values: object) -> Record:
    """*row* as a *kind*; *values* are fields that no column has, or that stand in its place."""
    record: Record = _adapter(kind).validate_python({**row, **values})
    return record


def parse_json(kind: type[Record], text: str) -> Record:
    """The *kind* that `dump_json` wrote."""
    record: Record = _adapter(kind).validate_json(text)
    return record


def dump_json(record: object) -> str:
    return str(_adapter(type(record)).dump_json(record).decode())


def dump_reason(reason: Reason | None) -> str | None:
    """A reason as a column keeps it."""
    return dump_json(reason) if reason is not None else None


def parse_reason(text: str | None) -> Reason | None:
    return parse_json(Reason, text) if text is not None else None


def insert(
    connection: sqlite3.Connection, table: str, verb: str = "INSERT", then: str = "", /, **values: object
) -> sqlite3.Cursor:
    """Write one row inside the caller's transaction.

    *verb*: also ``INSERT OR REPLACE`` or ``INSERT OR IGNORE``; *then*: the end of the statement, as ``ON CONFLICT …``.
    """
    marks = ", ".join(f":{column}" for column in values)
    return connection.execute(f"{verb} INTO {table} ({', '.join(values)}) VALUES ({marks}) {then}", values)
