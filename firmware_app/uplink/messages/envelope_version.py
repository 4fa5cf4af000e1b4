"""The forms of a message, old and new, and how long each may be; without any cryptography."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from firmware_app.uplink.messages.form import MOST_BYTES

SIGNATURE: Final = 64
LENGTH: Final = 2
"""Bytes of a signature, and of the length after it."""
PAD: Final = 256
"""In form 1 the padding ends at the next multiple of so many bytes."""
PLAIN: Final = 2_048
"""In form 2 every plaintext is so many bytes long."""


class Version(IntEnum):
    """The form of an envelope and of what may be in it; both sides of one exchange use the same."""

    FIRST = 1
    SECOND = 2

    @property
    def most_bytes(self) -> int:
        """The longest body that goes up, in bytes."""
        return MOST_BYTES if self is Version.FIRST else PLAIN - SIGNATURE - LENGTH

    def plain_bytes(self, body: int) -> int:
        """How long the sealed plaintext is for a *body* of so many bytes."""
        return -(-(SIGNATURE + LENGTH + body) // PAD) * PAD if self is Version.FIRST else PLAIN
