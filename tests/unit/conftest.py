"""What keeps the unit tests pure: none of them starts a process, so that all of them take seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from firmware_app import version

_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_pure = False


def _refuse(event: str, arguments: object) -> None:
    if _pure and event in _STARTS:
        pytest.fail(f"a unit test starts no process ({event}); such tests live in tests/process", pytrace=True)


version.version()  # asks git, once in a process
sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _without_processes() -> Iterator[None]:
    global _pure
    _pure = True
    yield
    _pure = False
