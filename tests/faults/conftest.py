"""The tests of this folder that mount have the machine to themselves: a child of another test, in a mount namespace of
its own, would keep a disk that is taken away.  Those under a real systemd have a target of their own.

What needs the real systemd of `systemd_house` takes minutes: `make test-appliance` runs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

BESIDE = frozenset(
    f"test_{name}.py"
    for name in (
        "clock",
        "corrupted_database",
        "line_kills",
        "outputs",
        "pack_trial_kills",
        "provision_users",
        "reader_kills",
    )
)
"""What runs beside other tests."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            if item.path.name not in BESIDE:
                item.add_marker(pytest.mark.alone)
            if item.path.name == "test_units.py" and "box" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.appliance)
