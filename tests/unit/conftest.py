"""What several unit tests begin with."""

from __future__ import annotations

import pytest

from hospital.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A hospital with its keys."""
    made = House(tmp_path_factory.mktemp("hospital"))
    made.establish("mqtt.hospital.example", 8883)
    return made
