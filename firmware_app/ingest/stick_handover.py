"""How the importer gets the stick: an open folder, sent over a socket with a message (file system, or refusal).

The mount exists only in the mounter's own namespace.  No other process on the box has a path to it, and it disappears
with the mounter in any case.  Only an open folder crosses that border.
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

from firmware_app.core.records import Reason
from firmware_app.ingest import stick_mounting
from firmware_app.ingest.errors import STICK_UNSAFE, StickNotMounted

SOCKET: Final = "hand"
IMPORTER: Final = "lantern-usb"
"""The importer's user (systemd/lantern.sysusers)."""
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,30}")
_MOST: Final = 4096
_LOOK_S: Final = 0.5
_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class MountMessage:
    """The mounter's message: the file system or a refusal; with neither there is nothing to do."""

    kind: str = ""
    device: str = ""  # major:minor
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True)
class ReceivedStick:
    """The message, and a descriptor of the stick's root folder where there is one."""

    word: MountMessage
    root: int | None

    @property
    def place(self) -> Path:
        """A path to the open folder that works where the mount itself is not visible (proc(5))."""
        return Path(f"/proc/self/fd/{self.root}")

    def require_safe(self) -> None:
        """Raise `STICK_UNSAFE` unless the folder's mount has every option of `stick_mounting.NEEDED`.

        The mounter has checked its own mount table, which the importer cannot see, so the importer asks the kernel too.
        """
        flags = os.fstatvfs(self.root).f_flag if self.root is not None else 0
        missing = [name for name in stick_mounting.NEEDED if not flags & stick_mounting.MOUNT_FLAGS[name]]
        if missing:
            raise STICK_UNSAFE(missing=", ".join(missing))


def find_socket_folder(root: Path, name: str) -> Path:
    """The folder with the mounter's socket for the device *name* (as in sdb1); raises `StickNotMounted`."""
    if _NAME.fullmatch(name) is None:
        raise StickNotMounted(detail="name")
    return root / name


def offer_stick(
    folder: Path,
    word: MountMessage,
    place: Path | None,
    stop: threading.Event,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Listen on the socket in *folder* until *stop*; send *word* and the open folder *place* to the importer."""
    allowed = {os.geteuid(), _importer_user()}
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
                    if _peer_user(asking) in allowed:
                        _send_stick(asking, message, root)
    finally:
        path.unlink(missing_ok=True)
        if root is not None:
            os.close(root)


@contextmanager
def receive_stick(folder: Path) -> Iterator[ReceivedStick]:
    """The stick that the mounter hands over in *folder*; raises `StickNotMounted` where no mounter answers."""
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
        yield ReceivedStick(_parse_message(message), descriptors[0] if descriptors else None)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _send_stick(asking: socket.socket, message: bytes, root: int | None) -> None:
    try:
        socket.send_fds(asking, [message], [root] if root is not None else [])
    except OSError:  # the importer has gone
        return


def _peer_user(asking: socket.socket) -> int:
    """The peer's user id, from the kernel (unix(7), SO_PEERCRED)."""
    _, user, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(user)


def _importer_user() -> int | None:
    try:
        return pwd.getpwnam(IMPORTER).pw_uid
    except KeyError:  # not an installed box
        return None


def _parse_message(message: bytes) -> MountMessage:
    try:
        fields = json.loads(message)
        refusal = Reason(str(fields["refusal"][0]), dict(fields["refusal"][1])) if fields["refusal"] else None
        return MountMessage(str(fields["kind"]), str(fields["device"]), refusal)
    except (ValueError, TypeError, KeyError, IndexError):
        raise StickNotMounted(detail=SOCKET) from None
