"""A page that names a test as the holder of a promise names one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", ["docs/threat-model.md", "docs/architecture.md", "docs/decisions/install.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text("utf-8"))
    assert named
    for path, name in named:
        assert (ROOT / path).is_file(), f"{page} names {path}"
        assert f"\ndef {name}" in (ROOT / path).read_text("utf-8") or not name, f"{page} names {path}::{name}"


def test_every_threat_that_is_stopped_names_its_test() -> None:
    page = (ROOT / "docs/threat-model.md").read_text("utf-8")
    threats = [line for line in page.splitlines() if re.match(r"\| [STRIDE] \|", line)]
    assert len(threats) > 40
    assert not [line for line in threats if not NAMED.search(line.rsplit(" | ", 1)[1])]
