"""The rows of a ``labels.csv``, and the names under which its columns are known."""

import csv
from collections.abc import Sequence
from pathlib import Path

from converters.failures import DataUnreadable

FILE_COLUMNS = ("file", "filename", "image")
CLASS_COLUMNS = ("class", "label", "labels", "grade", "value")
TRAIT_COLUMNS = ("view", "sex", "age_band", "source", "site", "machine", "probe")
"""Columns of a ``labels.csv`` by which a card tells subgroups apart."""


def read_rows(table: Path) -> list[dict[str, str]]:
    """Read the rows, at least one. Raises :class:`DataUnreadable`."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataUnreadable(str(table), str(error)) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise DataUnreadable(str(table), "it has no row, or one of another length than its heading")
    return rows


def find_column(table: Path, rows: Sequence[dict[str, str]], names: Sequence[str]) -> str:
    """The first of ``names`` that is a column. Raises :class:`DataUnreadable`."""
    for name in names:
        if name in rows[0]:
            return name
    raise DataUnreadable(str(table), f"it has no column {' or '.join(names)}")


def rows_by_file(table: Path) -> dict[str, dict[str, str]]:
    """The rows of a ``labels.csv`` by the name of their file. Raises :class:`DataUnreadable`."""
    rows = read_rows(table)
    column = find_column(table, rows, FILE_COLUMNS)
    return {row[column]: row for row in rows}
