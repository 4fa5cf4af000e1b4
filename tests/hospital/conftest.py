"""A hospital's folder, and its inbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox


@pytest.fixture
def house(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "hospital")
    made.set_up("127.0.0.1", 8883)
    return made


@pytest.fixture
def inbox(house: HospitalSite) -> Iterator[Inbox]:
    made = Inbox(house.inbox_db)
    yield made
    made.close()
