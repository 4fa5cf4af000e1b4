"""docs/conformance.md says what the code does: no table is stale, no transfer syntax and no code missing or made up."""

from __future__ import annotations

import re
from typing import Final

from firmware_app.core.language import list_codes
from firmware_app.dicom import transfer_syntax
from tests import statement
from tests.peers import REPOSITORY

STATEMENT: Final = (REPOSITORY / "docs" / "conformance.md").read_text("utf-8")
_ROOT: Final = "1.2.840.10008.1.2"


def test_no_table_of_the_statement_is_stale() -> None:
    assert list(statement.find_stale_pages()) == [], "python -m tests.statement makes them anew"
    assert set(re.findall(r"<!-- made: ([a-z-]+) -->", STATEMENT)) == set(statement.BLOCKS)


def test_every_transfer_syntax_that_the_door_takes_is_in_the_statement() -> None:
    [table] = re.findall(r"\| transfer syntax \| UID.*?\n\n", STATEMENT, flags=re.DOTALL)
    stated = set(re.findall(r"(?<![.\d])\.\d+(?:\.\d+)*", table)) | {""}
    for whole in re.findall(r"(\.4\.\d+)\(\.1\)", table):
        stated.add(whole + ".1")
    stated |= {f".4.{number}{form}" for number in range(102, 107) for form in ("", ".1")}  # a range in the table
    assert {uid.removeprefix(_ROOT) for uid in transfer_syntax.ACCEPTED_SYNTAXES} <= stated


def test_every_code_in_the_statement_exists() -> None:
    known = set(list_codes())
    named = set(re.findall(r"`((?:intake|imaging)\.[a-z_]+)`", STATEMENT))
    assert named
    assert named <= known
