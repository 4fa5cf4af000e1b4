"""How the importer gets the stick: as one open folder, handed over a socket with a word of what it is, or why not.

The mount lives in a namespace that nobody but the mounter has, so there is no path by which anything else on the box
could reach it, and it is gone with the mounter whatever happens.  An open folder crosses that border, and nothing else.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.errors import StickNotMounted, StickUnsafe
from firmware_app.intake.stick import mount_table
from firmware_app.records import Reason

SOCKET: Final = "hand"
IMPORTER: Final = "lantern-usb"
"""The importer's user (systemd/lantern.sysusers)."""
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,30}")
_MOST: Final = 4096
_LOOK_S: Final = 0.5
_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Word:
    """What the mounter says: the file system or the refusal; with neither, there is nothing to do."""

    kind: str = ""
    device: str = ""  # major:minor
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True)
class Handed:
    """The word, and the stick's root folder where there is one."""

    word: Word
    root: int | None

    @property
    def place(self) -> Path:
        """A path to the open folder that works wherever the mount itself is not seen (proc(5))."""
        return Path(f"/proc/self/fd/{self.root}")

    def require_safe(self) -> None:
        """Raise `StickUnsafe` unless the kernel says of the folder's mount what was asked for.

        The mounter has looked in its table of mounts, which the importer does not see; so it asks for itself.
        """
        flags = os.fstatvfs(self.root).f_flag if self.root is not None else 0
        missing = [name for name in mount_table.NEEDED if not flags & mount_table.FLAGS[name]]
        if missing:
            raise StickUnsafe(missing=", ".join(missing))


def folder_of(root: Path, name: str) -> Path:
    """Where the stick that the kernel calls *name* (as in sdb1) is met; raises `StickNotMounted`."""
    if _NAME.fullmatch(name) is None:
        raise StickNotMounted(detail="name")
    return root / name


def offer(
    folder: Path, word: Word, place: Path | None, stop: threading.Event, ready: Callable[[], None] = lambda: None
) -> None:
    """Hand *word* and the folder *place* to the importer, which asks at the socket in *folder*, until *stop*."""
    allowed = {os.geteuid(), _importer()}
    refusal = [word.refusal.code, word.refusal.details] if word.refusal else None
    message = json.dumps({"kind": word.kind, "device": word.device, "refusal": refusal}).encode()
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if place is not None else None
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen(4)
            listener.settimeout(_LOOK_S)
            ready()
            while not stop.is_set():
                try:
                    asking, _ = listener.accept()
                except TimeoutError:
                    continue
                with asking:
                    if _user(asking) in allowed:
                        _hand(asking, message, root)
    finally:
        path.unlink(missing_ok=True)
        if root is not None:
            os.close(root)


@contextmanager
def taken(folder: Path) -> Iterator[Handed]:
    """What the mounter hands over at *folder*; raises `StickNotMounted` where nobody does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.settimeout(_LIMIT_S)
            asking.connect(str(folder / SOCKET))
            message, descriptors, _, _ = socket.recv_fds(asking, _MOST, 1)
    except TimeoutError:
        raise StickNotMounted(detail=f"no answer in {_LIMIT_S:g} s") from None
    except OSError as error:
        raise StickNotMounted(detail=str(error.strerror)) from None
    try:
        yield Handed(_word(message), descriptors[0] if descriptors else None)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _hand(asking: socket.socket, message: bytes, root: int | None) -> None:
    try:
        socket.send_fds(asking, [message], [root] if root is not None else [])
    except OSError:  # it has gone already
        return


def _user(asking: socket.socket) -> int:
    """Who asks, as the kernel knows it (unix(7), SO_PEERCRED)."""
    _, user, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(user)


def _importer() -> int | None:
    try:
        return pwd.getpwnam(IMPORTER).pw_uid
    except KeyError:  # not an installed box
        return None


def _word(message: bytes) -> Word:
    try:
        fields = json.loads(message)
        refusal = Reason(str(fields["refusal"][0]), dict(fields["refusal"][1])) if fields["refusal"] else None
        return Word(str(fields["kind"]), str(fields["device"]), refusal)
    except (ValueError, TypeError, KeyError, IndexError):
        raise StickNotMounted(detail=SOCKET) from None
