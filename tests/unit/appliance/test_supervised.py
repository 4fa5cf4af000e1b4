"""When a process of the box counts as hanging: by its silence, while the supervisor was there to hear it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from firmware_app.core.programs import SupervisedProcess


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Where the supervisor hears a process, and where that one speaks."""
    hears, speaks = os.pipe()
    os.set_blocking(hears, False)
    yield hears, speaks
    os.close(hears)
    os.close(speaks)


def ready(hears: int) -> SupervisedProcess:
    """A reader that became ready at the time 0."""
    return SupervisedProcess("reader", [], announced=1, _signs=hears)


def test_a_process_hangs_after_its_patience_without_a_sign_and_is_told_once(pipe: tuple[int, int]) -> None:
    hears, speaks = pipe
    one = ready(hears)
    for second in range(1, 61):
        os.write(speaks, b"WATCHDOG=1")
        assert not one.is_hung(second)
    assert [second for second in range(61, 91) if one.is_hung(second)] == [81]


def test_time_in_which_the_supervisor_did_not_run_is_not_counted(pipe: tuple[int, int]) -> None:
    one = ready(pipe[0])
    assert not one.is_hung(10)
    assert not one.is_hung(3600)
    assert [second for second in range(3601, 3631) if one.is_hung(second)] == [3619]
