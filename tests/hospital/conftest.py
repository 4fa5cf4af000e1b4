"""A hospital's folder, and its inbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hospital.house import House
from hospital.inbox.inbox_db import Inbox


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path / "hospital")
    made.establish("127.0.0.1", 8883)
    return made


@pytest.fixture
def inbox(house: House) -> Iterator[Inbox]:
    made = Inbox(house.inbox_db)
    yield made
    made.close()
