"""What the viewer hands to root: a file that a technician's browser sent, piece by piece, and what is to be done.

    software/part-TOKEN      while pieces come; its length is how far it has come
    software/upload.raucb    when all of it is on the disk
    software/request.json    `lantern-software.path` wakes root up for it (`appliance.software_service`)
    channel/chosen.json      the repository that a technician has chosen on the page; root keeps it

The viewer's group may write to software/ too.  That matters little: root installs only a file that RAUC finds signed
for this kind of hardware, and later than what runs.

The configuration names the repository, or a technician has chosen it: nobody edits the configuration of a flashed
box.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from firmware_app.appliance import software_bundle
from firmware_app.appliance.errors import SOFTWARE_DISK_FULL, UPLOAD_BROKEN, UPLOAD_REFUSED
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import (
    StateDir,
    clear_away,
    free_bytes,
    read_plain_file,
    sync_directory,
    write_atomically,
)

MOST_BYTES: Final = 1 << 31
"""More than both partitions of a slot hold."""
LEAST_BYTES: Final = 4096
PIECE_BYTES: Final = 512 * 1024
"""The most of a file that one request of the browser brings."""
_FORGOTTEN_S: Final = 3600.0
_TOKEN: Final = re.compile(r"[0-9a-f]{16}")
_REQUEST_BYTES: Final = 128 * 1024
_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class SoftwareRequest:
    """What root is asked to do: install what was uploaded, or what the channel offers, or only look there; or take
    *repository* for the channel, whose publisher's root.json is the text *root*."""

    what: Literal["upload", "channel", "look", "choose"]
    again: bool = False
    """A version that was left before, once more."""
    repository: str = ""
    automatic: bool = False
    root: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether each field is of its kind: the file may come from anybody."""
        flags, texts = (self.again, self.automatic), (self.repository, self.root)
        known = self.what in ("upload", "channel", "look", "choose")
        return known and all(isinstance(flag, bool) for flag in flags) and all(isinstance(text, str) for text in texts)


# --- the viewer's side ------------------------------------------------------------------------------------------------


def begin_upload(state: StateDir, name: str, size: int, reserve: int) -> str:
    """Make room for a file of *size* bytes; returns the token under which its pieces come.

    Raises `UPLOAD_REFUSED`, or `SOFTWARE_DISK_FULL` when less than *reserve* bytes would stay free.
    """
    if software_bundle.BUNDLE_NAME.fullmatch(name) is None or not LEAST_BYTES <= size <= MOST_BYTES:
        raise UPLOAD_REFUSED()
    with _ONE_AT_A_TIME:
        for old in (*state.software.glob("part-*"), _upload_path(state)):
            clear_away(old)
        if (missing := size + reserve - free_bytes(state.software)) > 0:
            raise SOFTWARE_DISK_FULL(missing_mb=missing // 1_000_000 + 1)
        token = secrets.token_hex(8)
        os.close(os.open(_part_path(state, token), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        return token


def append_piece(state: StateDir, token: str, at: int, piece: bytes) -> int:
    """Add a piece that begins *at*; returns how far the file has come, which is elsewhere when *at* was not its end.

    Raises `UPLOAD_BROKEN` when there is no such file, and `OSError`.
    """
    with _ONE_AT_A_TIME:
        part = _open_part(state, token, os.O_WRONLY | os.O_APPEND)
        try:
            here = os.fstat(part).st_size
            if here != at or here + len(piece) > MOST_BYTES:
                return here
            try:
                while piece:
                    piece = piece[os.write(part, piece) :]
            except OSError:
                os.ftruncate(part, here)  # so that the piece may come again
                raise
            return os.fstat(part).st_size
        finally:
            os.close(part)


def finish_upload(state: StateDir, token: str, size: int) -> None:
    """All of the file is here, *size* bytes: bring it to the disk and give it its name.  Raises `UPLOAD_BROKEN`."""
    with _ONE_AT_A_TIME:
        part = _open_part(state, token, os.O_RDONLY)
        try:
            if os.fstat(part).st_size != size:
                raise UPLOAD_BROKEN()
            os.fsync(part)
        finally:
            os.close(part)
        _part_path(state, token).replace(_upload_path(state))
        sync_directory(state.software)


def submit_request(state: StateDir, request: SoftwareRequest) -> None:
    """Hand *request* to root."""
    write_atomically(_request_path(state), json.dumps(asdict(request)).encode(), 0o640)
    sync_directory(state.software)


def is_request_waiting(state: StateDir) -> bool:
    """Whether root has not yet taken a request."""
    return os.path.lexists(_request_path(state))


def remove_abandoned(state: StateDir) -> None:
    """Remove files of which no piece has come for an hour: the browser was closed."""
    for part in state.software.glob("part-*"):
        with suppress(OSError):
            if time.time() - part.lstat().st_mtime > _FORGOTTEN_S:
                clear_away(part)


# --- root's side ------------------------------------------------------------------------------------------------------


def take_request(state: StateDir) -> SoftwareRequest | None:
    """The request, which is removed at once: one that stays would wake root up again and again."""
    try:
        data, _ = read_plain_file(_request_path(state), _REQUEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError:
        data = b""
    clear_away(_request_path(state))
    sync_directory(state.software)
    with suppress(ValueError, TypeError, RecursionError):
        request = SoftwareRequest(**json.loads(data))
        if request.is_valid:
            return request
    return None


def take_upload(state: StateDir) -> Path:
    """The file, in a folder that only root may write to.  Raises `UPLOAD_BROKEN`."""
    state.channel.mkdir(mode=0o755, exist_ok=True)
    taken = state.channel / "upload.raucb"
    clear_away(taken)
    try:
        _upload_path(state).replace(taken)
    except OSError:
        raise UPLOAD_BROKEN() from None
    if taken.is_symlink() or not taken.is_file():
        clear_away(taken)
        raise UPLOAD_BROKEN()
    return taken


def _request_path(state: StateDir) -> Path:
    return state.software / "request.json"


def _upload_path(state: StateDir) -> Path:
    return state.software / "upload.raucb"


def _part_path(state: StateDir, token: str) -> Path:
    return state.software / f"part-{token}"


def _open_part(state: StateDir, token: str, how: int) -> int:
    if _TOKEN.fullmatch(token) is None:
        raise UPLOAD_BROKEN()
    try:
        return os.open(_part_path(state, token), how | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise UPLOAD_BROKEN() from None


ADDRESS: Final = re.compile(r"https?://[^\s/]+(/\S*)?", re.ASCII)
_SETTINGS_NAME: Final = "chosen.json"
_SETTINGS_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """The address of the repository, empty for none, and whether what it offers is installed by night."""

    repository: str = ""
    automatic: bool = False


def read_channel_settings(config: Config, state: StateDir) -> ChannelSettings:
    """What holds: the configuration's, where that names a repository."""
    if config.software.repository:
        return ChannelSettings(config.software.repository, config.software.automatic)
    with suppress(OSError, ValueError, TypeError):
        data, _ = read_plain_file(state.channel / _SETTINGS_NAME, _SETTINGS_BYTES)
        kept = ChannelSettings(**json.loads(data))
        if ADDRESS.fullmatch(kept.repository) and isinstance(kept.automatic, bool):
            return kept
    return ChannelSettings()


def save_channel_settings(state: StateDir, choice: ChannelSettings) -> None:
    """Root's side: let *choice* hold from now on."""
    state.channel.mkdir(mode=0o755, exist_ok=True)
    write_atomically(state.channel / _SETTINGS_NAME, json.dumps(asdict(choice)).encode(), 0o644)
    sync_directory(state.channel)
