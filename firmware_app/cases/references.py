"""References: pseudonyms for cases and images outside the box.  Only this box can relate them to a patient.

A reference is the HMAC-SHA256 of the study's (or image's) identity with a secret that was made on this box and never
leaves it.  Without the secret it reveals nothing about the patient.  With it, a database rebuilt from the image files
gives every case the reference that the hospital already knows.  Random references from an older version are kept: a
known study is found by its row, never by its reference.

The secret is kept twice, in a file and in clinical.db beside it, and either copy restores the other.  A new one is only
made where there is no image yet: the same image under two references would be counted twice.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Final

from firmware_app.cases.errors import REFERENCES_LOST
from firmware_app.core import disk
from firmware_app.core.errors import StateUnusable
from firmware_app.core.records import Header
from firmware_app.core.state_dir import sync_directory

KEY_FILE: Final = "references.key"
_NAME: Final = "references"
_KEY_BYTES: Final = 32
_DIGITS: Final = 20  # 80 bits


class References:
    """The references of one box, whose secret lies in *folder* and in the database there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE
        self._key: bytes | None = None

    def derive_case(self, header: Header | None, sha256: str) -> str:
        """The reference of the study, or of the image alone if it has no study."""
        if header is not None and header.study_instance_uid is not None:
            return self._derive_reference("c", "study", header.study_instance_uid)
        return self._derive_reference("c", *_identify_image(header, sha256))

    def derive_other_case(self, study: str, person: str) -> str:
        """The reference of a case of another patient in a *study* that has a case; *person*:
        `dicom.patient_data.key`."""
        return self._derive_reference("c", "study of", f"{study}\0{person}")

    def derive_instance(self, header: Header | None, sha256: str) -> str:
        """The reference of the SOP instance; for a picture, made from its bytes."""
        return self._derive_reference("i", *_identify_image(header, sha256))

    def derive_subkey(self, purpose: str) -> bytes:
        """A secret derived for *purpose*: stable as long as the references are, and revealing nothing about them."""
        return hmac.new(self._require_key(), f"subkey\0{purpose}".encode(), hashlib.sha256).digest()

    def load(self, connection: sqlite3.Connection) -> None:
        """Load the secret: from the database, whose copy has a checksum, else from the file."""
        if self._key is None:
            self._key = _read_stored_key(connection)

    def establish(self, connection: sqlite3.Connection, may_draw: bool) -> None:
        """Make both copies equal, inside the caller's transaction; the file is durable first.

        Raises `REFERENCES_LOST` where neither is whole, unless it *may_draw* a new one.
        """
        key = _read_stored_key(connection) or self._read()
        if key is None:
            if not may_draw:
                raise REFERENCES_LOST(path=str(self._path))
            key = secrets.token_bytes(_KEY_BYTES)
        if self._read() != key:
            self._write(key)
        if _read_stored_key(connection) != key:
            connection.execute("INSERT OR REPLACE INTO secrets (name, value) VALUES (?, ?)", (_NAME, _encode_key(key)))
        self._key = key

    def _require_key(self) -> bytes:
        if self._key is None:
            self._key = self._read()
        if self._key is None:
            raise REFERENCES_LOST(path=str(self._path))
        return self._key

    def _derive_reference(self, prefix: str, kind: str, identity: str) -> str:
        digest = hmac.new(self._require_key(), f"{prefix}\0{kind}\0{identity}".encode(), hashlib.sha256).hexdigest()
        return f"{prefix}-{digest[:_DIGITS]}"

    def _read(self) -> bytes | None:
        """The file's copy; None where it is missing or damaged (it is written atomically)."""
        try:
            key = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnusable(path=str(self._path), detail=error.strerror or str(error)) from None
        return key if len(key) == _KEY_BYTES else None

    def _write(self, key: bytes) -> None:
        """Write the file's copy, atomically and durably, before any reference is made with it."""
        fresh = self._path.with_name(f"{KEY_FILE}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
            try:
                os.fchmod(descriptor, 0o660)
                os.write(descriptor, key)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise disk.classify_disk_error(self._path.parent, error) from None


def has_key_file(folder: Path) -> bool:
    """Whether the file's copy in *folder* exists and has the right length."""
    return References(folder)._read() is not None


def _identify_image(header: Header | None, sha256: str) -> tuple[str, str]:
    return ("instance", header.sop_instance_uid) if header is not None else ("picture", sha256)


def _encode_key(key: bytes) -> str:
    return f"lantern-references:{key.hex()}:{hashlib.sha256(key).hexdigest()[:16]}"


def _read_stored_key(connection: sqlite3.Connection) -> bytes | None:
    """The database's copy; None where it is missing or its checksum is wrong."""
    row = connection.execute("SELECT value FROM secrets WHERE name = ?", (_NAME,)).fetchone()
    try:
        key = bytes.fromhex(row[0].split(":")[1]) if row else b""
    except (IndexError, ValueError):
        return None
    return key if row and row[0] == _encode_key(key) else None
