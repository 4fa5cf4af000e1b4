"""The newest frame of a running examination with its reading, in memory, between `lantern watch` and the viewer.

The folder lies in /dev/shm, so that no frame reaches a disk.  ``newest`` holds JSON, a JPEG and a heat map one after
the other; it is replaced as a whole.  A wish to keep a frame is a file that the viewer puts there.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.core.state_dir import read_plain_file

WATCH_PROCESS: Final = "watch"
"""Under this name `lantern watch` announces itself in ``run/``."""
_PREFIX: Final = "lantern-live-"
_MEMORY: Final = Path("/dev/shm")
_NEWEST: Final = "newest"
_LENGTHS: Final = struct.Struct("<III")
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_REQUEST_BYTES: Final = 1024
_MOST_REQUESTS: Final = 16


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """That the frame of this number be kept, by the account *actor*."""

    sequence: int
    actor: str


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """What was told last: a JSON object, and the frame as JPEG and the heat map as PNG, which may be empty."""

    told: dict[str, Any]
    jpeg: bytes = b""
    heat: bytes = b""

    def to_bytes(self) -> bytes:
        """Three lengths (little-endian, 32 bits), then the three parts."""
        text = json.dumps(self.told, ensure_ascii=False).encode()
        return _LENGTHS.pack(len(text), len(self.jpeg), len(self.heat)) + text + self.jpeg + self.heat

    @classmethod
    def from_bytes(cls, data: bytes) -> LiveFrame:
        """The inverse of `to_bytes`; raises `ValueError`."""
        if len(data) < _LENGTHS.size:
            raise ValueError("it is too short")
        text, jpeg, heat = _LENGTHS.unpack_from(data)
        if len(data) != _LENGTHS.size + text + jpeg + heat:
            raise ValueError("its lengths do not fit")
        at = _LENGTHS.size
        told = json.loads(data[at : at + text])
        if not isinstance(told, dict):
            raise ValueError("it is no object")
        return cls(told, data[at + text : at + text + jpeg], data[at + text + jpeg :])


class LiveFolder:
    """The side of `lantern watch`.  *beside*: a folder of the state, whose group the new one gets."""

    def __init__(self, beside: Path | None = None) -> None:
        where = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
        if beside is not None:
            with suppress(OSError):  # a group that this user is not in: then only this user's viewer sees the frames
                os.chown(self.path, -1, beside.stat().st_gid)
                self.path.chmod(0o770)

    def publish(self, newest: LiveFrame) -> None:
        """Replace what was told."""
        fresh = self.path / f".{_NEWEST}"
        fresh.write_bytes(newest.to_bytes())
        fresh.chmod(0o640)
        with suppress(OSError):
            os.chown(fresh, -1, self.path.stat().st_gid)
        fresh.replace(self.path / _NEWEST)

    def take_requests(self) -> list[FrameRequest]:
        """The wishes since the last call, at most `_MOST_REQUESTS`; what has not their form is removed unread."""
        wishes = []
        for path in sorted(one for one in self.path.iterdir() if one.name.startswith("wish-"))[:_MOST_REQUESTS]:
            try:
                said = json.loads(read_plain_file(path, _MOST_REQUEST_BYTES)[0])
                wishes.append(FrameRequest(int(said["sequence"]), str(said["actor"])[:64]))
            except (OSError, ValueError, KeyError, TypeError):
                pass
            path.unlink(missing_ok=True)
        return wishes

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_stale_folder(folder: object) -> None:
    """Remove the folder that a killed `lantern watch` has left, by the name it announced."""
    path = Path(str(folder or ""))
    if path.name.startswith(_PREFIX) and path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def read_live_frame(folder: Path) -> LiveFrame | None:
    """What was told last; None where nothing was, or the watching has ended."""
    try:
        return LiveFrame.from_bytes(read_plain_file(folder / _NEWEST, _MOST_BYTES)[0])
    except (OSError, ValueError):
        return None


def request_frame(folder: Path, sequence: int, actor: str) -> None:
    """Ask for the frame of this number to be kept; raises `OSError`."""
    path = folder / f"wish-{secrets.token_hex(8)}.json"
    fresh = path.with_name(f".{path.name}")
    said: Mapping[str, Any] = {"sequence": sequence, "actor": actor}
    with fresh.open("x", encoding="utf-8") as file:
        file.write(json.dumps(said))
    fresh.replace(path)
