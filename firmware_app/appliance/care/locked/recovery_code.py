"""The recovery code on paper, of which the box keeps the public half alone.

backup/locked.key has the key that backups are locked with, 32 bytes, and after it those of the codes before: a set
under one of them is this box's own.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.core.errors import BackupCodeMissing, BackupCodeThere
from firmware_app.core.state_dir import StateDir, make_directory, sync_directory
from firmware_app.core.whole_files import write_whole
from firmware_app.uplink.messages import locked_file
from firmware_app.uplink.messages.envelope import key_id

KEY_FILE: Final = "locked.key"
_KEY: Final = 32
_FILE_MODE: Final = 0o660


def make(state: StateDir, *, new: bool = False) -> str:
    """A recovery code, of which the box keeps the public half alone; raises `BackupCodeThere` unless *new*."""
    if (state.backup / KEY_FILE).exists() and not new:
        raise BackupCodeThere
    code = locked_file.new_code()
    adopt(state, locked_file.key_of(code).public_key())
    return code


def adopt(state: StateDir, public: X25519PublicKey) -> None:
    """Lock backups with *public* from now on."""
    keys = [public.public_bytes_raw(), *_keys(state)]
    make_directory(state.backup)
    write_whole(state.backup / KEY_FILE, b"".join(dict.fromkeys(keys)), _FILE_MODE)
    sync_directory(state.backup)


def public_key(state: StateDir) -> X25519PublicKey:
    """What backups are locked with; raises `BackupCodeMissing`."""
    keys = _keys(state)
    if not keys:
        raise BackupCodeMissing
    return X25519PublicKey.from_public_bytes(keys[0])


def known(state: StateDir) -> set[bytes]:
    """The ids of the keys that this box has ever locked with."""
    return {key_id(X25519PublicKey.from_public_bytes(key)) for key in _keys(state)}


def _keys(state: StateDir) -> list[bytes]:
    try:
        content = (state.backup / KEY_FILE).read_bytes()
    except OSError:
        return []
    return [content[at : at + _KEY] for at in range(0, len(content) - len(content) % _KEY, _KEY)]
