"""New identities, made from the old ones with a secret of the box: always the same, and meaningless to others."""

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
    """New UIDs and patient names, made with the secret `key`."""

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """The UID that replaces *old* in every export: *old* if the standard defines it, else 2.25.… (PS3.5 B.2).

        An invalid UID is replaced by a valid one too.
        """
        plain = old.strip("\0 ")
        if not plain or plain in UID_dictionary:
            return plain
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', plain)[:16], version=4).int}"

    def patient(self, identity: str) -> str:
        """The new name of the patient *identity*; each gets another, so that no archive merges two patients."""
        return f"P-{self._digest('patient', identity).hex()[:_DIGITS].upper()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
