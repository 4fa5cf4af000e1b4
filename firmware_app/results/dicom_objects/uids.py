"""UIDs of the result objects: the same for the same case, version and kind, however often the object is made.

They are UUIDs under 2.25 (PS3.5 B.2), derived by HMAC-SHA256 under a secret of the box, as those of de-identified
objects are.  Nobody without the secret can tell from a UID which study it belongs to.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from pydicom.uid import UID


@dataclass(frozen=True, slots=True)
class Uids:
    """The UIDs of one case's objects."""

    key: bytes = field(repr=False)
    case: str

    def of(self, *parts: str | int) -> UID:
        """The UID for this name within the case."""
        name = "\0".join((self.case, *map(str, parts)))
        digest = bytearray(hmac.new(self.key, name.encode(), hashlib.sha256).digest()[:16])
        digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562: version 8, of one's own making
        digest[8] = digest[8] & 0x3F | 0x80
        return UID(f"2.25.{int.from_bytes(digest, 'big')}")

    def series(self, kind: str, *more: str) -> UID:
        """The series of all objects of *kind*; later versions join it."""
        return self.of("series", kind, *more)

    def instance(self, version: int, kind: str, number: int = 1) -> UID:
        """The *number*-th object of *kind* in this version."""
        return self.of("instance", version, kind, number)
