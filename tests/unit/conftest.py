"""What keeps the unit tests pure: none of them starts a process, so that all of them take seconds."""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import argon2
import pytest

from converters.statistics import intervals
from firmware_app.core import version
from tests.viewer import desk as desk
from web import passwords

_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_pure = False


def _refuse(event: str, arguments: object) -> None:
    if _pure and event in _STARTS:
        pytest.fail(f"a unit test starts no process ({event}); such tests live in tests/process", pytrace=True)


version.version()  # asks git, once in a process
sys.addaudithook(_refuse)


def pytest_collection_finish() -> None:
    """The garbage collector need not look at what was imported, again and again, during the tests."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _without_processes() -> Iterator[None]:
    global _pure
    _pure = True
    yield
    _pure = False


@pytest.fixture(autouse=True)
def _cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password takes a tenth of a second to hash, as it must; only the tests of that wait for it."""

    def cheap(**cost: Any) -> argon2.PasswordHasher:
        return argon2.PasswordHasher(**{**cost, "time_cost": 1, "memory_cost": 64})

    if request.path.name != "test_passwords.py":
        monkeypatch.setattr(passwords, "PasswordHasher", cheap)


@pytest.fixture(scope="module", autouse=True)
def _cheap_label_codes() -> Iterator[None]:
    """The code of a label takes a twentieth of a second to stretch, as it must. For a module: the worker that runs it
    goes on with tests whose other half is a real process."""
    dear = hashlib.scrypt

    def cheap(password: bytes, *, n: int, **cost: Any) -> bytes:
        return dear(password, n=min(n, 16), **cost)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "scrypt", cheap)
        yield


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Bootstrap intervals of few resamples, where not their width is tested but what is done with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals.resamples, "__defaults__", (0, 100))
        yield
