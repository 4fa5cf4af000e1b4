"""New identities, from the old ones under a secret of the box: the same every time, and nothing to anybody else."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field
from typing import Final

from pydicom.uid import UID_dictionary

_DIGITS: Final = 12  # 48 bits: a clinic has thousands of patients


@dataclass(frozen=True, slots=True)
class Identities:
    """By one secret `key`."""

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """The UID that stands for *old* in every export: itself if the standard defines it, else 2.25.… (PS3.5 B.2).

        What is no UID at all gets a valid one too.
        """
        plain = old.strip("\0 ")
        if not plain or plain in UID_dictionary:
            return plain
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', plain)[:16], version=4).int}"

    def patient(self, identity: str) -> str:
        """A name for the patient whom *identity* says; one for each, so that no archive takes two for the same."""
        return f"P-{self._digest('patient', identity).hex()[:_DIGITS].upper()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
