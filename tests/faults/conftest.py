"""What needs the real systemd of `systemd_house` takes minutes: `make test-appliance` runs it."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name == "test_units.py" and "box" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.appliance)
