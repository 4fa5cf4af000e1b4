"""The tests of this folder have the machine to themselves, and those under a real systemd a target of their own.

What needs the real systemd of `systemd_house` takes minutes: `make test-appliance` runs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.alone)
            if item.path.name == "test_units.py" and "box" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.appliance)
