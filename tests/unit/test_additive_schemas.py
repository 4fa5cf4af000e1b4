"""A schema step that earlier code could not use says so: a box that left a slot goes on with its databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from types import ModuleType

import pytest

from firmware_app.cases import accounts, clinical_db
from firmware_app.core.database import _split_statements
from firmware_app.uplink.exchange import exchange_db

ADDITIVE = re.compile(r"CREATE (TABLE|INDEX|TRIGGER) |ALTER TABLE \w+ ADD COLUMN ")
KEPT_BACK = re.compile(r"\bRAISE ?\(|\bREFERENCES \w++( \(\w+\))?+(?! ON DELETE (CASCADE|SET NULL))")
"""What earlier code could fail at: a trigger that refuses, a row of a new table that holds an old one."""


def not_additive(script: str) -> Iterator[str]:
    """The statements of a step that are more than a new table, index, trigger, or a column that may stay away."""
    for statement in _split_statements(re.sub(r"--[^\n]*", "", script)):
        plain = " ".join(statement.split()).replace("( ", "(")
        required = plain.startswith("ALTER") and " NOT NULL" in plain and " DEFAULT " not in plain
        if not ADDITIVE.match(plain) or KEPT_BACK.search(plain) or required:
            yield plain


@pytest.mark.parametrize("module", [clinical_db, exchange_db, accounts], ids=lambda one: one.__name__)
def test_a_later_step_is_additive_or_is_the_least_version(module: ModuleType) -> None:
    folder = resources.files(module.__package__ or "")
    assert 1 <= module.LEAST_VERSION <= module.SCHEMA_VERSION
    for number, name in enumerate(module._STEPS, 1):
        if number > module.LEAST_VERSION:
            statements = list(not_additive(folder.joinpath(name).read_text("utf-8")))
            assert not statements, f"{name}: set LEAST_VERSION to {number} in {module.__name__}, or change {statements}"


@pytest.mark.parametrize(
    ("script", "additive"),
    [
        ("CREATE TABLE a (b TEXT REFERENCES cases (reference) ON DELETE CASCADE) STRICT;", True),
        ("CREATE TABLE a (b TEXT REFERENCES cases (reference)) STRICT;", False),
        ("-- why\nCREATE INDEX a ON cases (touched);\nALTER TABLE cases ADD COLUMN b TEXT;", True),
        ("ALTER TABLE cases ADD COLUMN b INTEGER NOT NULL DEFAULT 0;", True),
        ("CREATE UNIQUE INDEX a ON cases (touched);", False),
        ("ALTER TABLE cases RENAME TO b;", False),
        ("DROP TABLE cases;", False),
        ("UPDATE cases SET touched = 0;", False),
        ("CREATE TRIGGER a AFTER INSERT ON cases BEGIN SELECT RAISE (ABORT, 'no'); END;", False),
    ],
)
def test_what_counts_as_additive(script: str, additive: bool) -> None:
    assert (not list(not_additive(script))) is additive
