"""Passwords: argon2id, at most two hashes at once.

Parameters are OWASP's first choice (Password Storage Cheat Sheet: m = 19 MiB, t = 2, p = 1).  The limit of two bounds
what many log-ins can take from a box that is reading films: 38 MiB and two cores, about 30 ms each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

SHORTEST: Final = 10  # characters; NIST SP 800-63B 3.1.1.2 asks for no composition rules, only length
LONGEST: Final = 200
_AT_ONCE: Final = 2
_WAIT_S: Final = 5.0


class TooBusy(Exception):
    """Too many log-ins at once; nothing was checked."""


class Passwords:
    """Hashes and checks, at most two at once."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        # Checked for names that do not exist, so that the response time does not show which names exist.
        self._nobody = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """The hash to store; raises `TooBusy`."""
        with self._hold_slot():
            return self._hasher.hash(password)

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether *password* is the one of *stored*; takes as long when there is none.  Raises `TooBusy`."""
        with self._hold_slot():
            try:
                return self._hasher.verify(stored or self._nobody, password) and stored is not None
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False

    @contextmanager
    def _hold_slot(self) -> Iterator[None]:
        if not self._places.acquire(timeout=_WAIT_S):
            raise TooBusy
        try:
            yield
        finally:
            self._places.release()
