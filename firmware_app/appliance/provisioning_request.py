"""The first page's request to root and its result: two files, in a folder that other users can write to.

    provision/request.json    written by the viewer; the path unit `lantern-provision.path` wakes up for it
    provision/result.json     written by root

The viewer and the importer belong to one group, so the owner of a file does not prove who wrote its content.

Under `lantern serve` no systemd wakes root, and everything runs as one user: the supervisor starts the same program
when the first page asks for something, or when the uplink has put the hospital's answer down.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import stat
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance.errors import RequestUnusable
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir, clear_away, read_plain_file, sync_directory, write_atomically

VIEWER: Final = "lantern-viewer"
MOST_BYTES: Final = 64 * 1024
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """What the first page asks: answers with a hospital's bundle (or none), or an offered file and its label's code.

    With answers, `line` is the address of the broker where the box asks to be enrolled, with its label's `code`.
    """

    answers: dict[str, str] = field(default_factory=dict)
    hospital: str = ""
    file: str = ""
    code: str = ""
    line: str = ""
    request: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class FirstResult:
    """The result of a request."""

    request: str
    reason: Reason
    box: str = ""
    bundle: str = ""
    fingerprint: str = ""
    hospital: str = ""
    undone: tuple[Reason, ...] = ()
    asks: bool = False
    """Whether the box asks over the line to be enrolled."""

    def text(self, language: str) -> str:
        """For a person: what was done, and what could not be done."""
        return " ".join(reason.text(language) for reason in (self.reason, *self.undone))


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """The bytes of a request, and the file that they lay in."""

    data: bytes
    file: os.stat_result

    def require_viewer(self) -> None:
        """Raise `RequestUnusable` unless the viewer's own user, or root, and nobody else can have written it.

        On a laptop that is the same user. A file of the viewer that its group may write to proves nothing: the importer
        could fill it and move it here. `ask` lets nobody else write, and only its owner can undo that.
        """
        known = {0, os.geteuid()}
        with suppress(KeyError):
            known.add(pwd.getpwnam(VIEWER).pw_uid)
        if self.file.st_uid not in known:
            raise RequestUnusable(detail="it was written by another user")
        if self.file.st_mode & _OTHERS_WRITE or self.file.st_nlink != 1:
            raise RequestUnusable(detail="another user can have written it")

    def request(self) -> FirstRequest:
        """What is asked; raises `RequestUnusable`."""
        try:
            values: Any = json.loads(self.data)
            request = FirstRequest(**values) if len(self.data) <= MOST_BYTES else None
        except (ValueError, TypeError, RecursionError):
            request = None
        if request is None or not _is_text(request):
            raise RequestUnusable(detail="its form is wrong")
        return request


# --- the side that asks -----------------------------------------------------------------------------------------------


def ask(state: StateDir, request: FirstRequest) -> None:
    """Hand *request* to root; it replaces one that root has not read yet."""
    _replace(_request_path(state), json.dumps(asdict(request)).encode())


def is_waiting(state: StateDir) -> bool:
    """Whether a request was not answered yet."""
    return os.path.lexists(_request_path(state))


def read_result(state: StateDir) -> FirstResult | None:
    """What became of the last request."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        saved = json.loads(_result_path(state).read_text("utf-8"))
        undone = tuple(Reason(**one) for one in saved.get("undone", ()))  # a version before this one wrote none
        return FirstResult(**{**saved, "reason": Reason(**saved["reason"]), "undone": undone})
    return None


# --- root's side ------------------------------------------------------------------------------------------------------


def read_request(state: StateDir) -> ReceivedRequest:
    """The request, opened without following links.  Raises `RequestUnusable`."""
    try:
        return ReceivedRequest(*read_plain_file(_request_path(state), MOST_BYTES + 1))
    except OSError as error:
        raise RequestUnusable(detail=error.strerror or str(error)) from None


def write_result(state: StateDir, made: FirstResult) -> None:
    """For the first page."""
    reason, *undone = ({"code": one.code, "details": dict(one.details)} for one in (made.reason, *made.undone))
    path = _result_path(state)
    if path.is_dir() and not path.is_symlink():
        clear_away(path)
    _replace(path, json.dumps({**asdict(made), "reason": reason, "undone": undone}).encode())


def remove_request(state: StateDir, answered: ReceivedRequest | None) -> None:
    """Remove the request, unless a second one (another click) has replaced it meanwhile."""
    now = None
    with suppress(RequestUnusable):
        now = read_request(state).data
    if now == (answered.data if answered else None):
        clear_away(_request_path(state))


def _request_path(state: StateDir) -> Path:
    return state.provision / "request.json"


def _result_path(state: StateDir) -> Path:
    return state.provision / "result.json"


def _replace(path: Path, data: bytes) -> None:
    write_atomically(path, data, 0o640)
    sync_directory(path.parent)


def _is_text(request: FirstRequest) -> bool:
    plain = (request.hospital, request.file, request.code, request.line, request.request)
    given = request.answers
    return all(isinstance(one, str) for one in plain) and (
        isinstance(given, dict) and all(isinstance(part, str) for pair in given.items() for part in pair)
    )


_LOOK_S: Final = 0.5
_AGAIN_S: Final = 30.0
"""After a refusal that has left what waits where it was."""
_MOST_S: Final = 180.0  # as the unit's TimeoutStartSec=


@dataclass
class ProvisioningRunner:
    """Runs the program when something waits for it."""

    state: StateDir
    config_path: Path | None
    process: subprocess.Popen[bytes] | None = None
    _due: float = 0.0
    _ends: float = 0.0

    def is_done(self) -> bool:
        """Whether the box has just been given something, so that its processes start anew.  Called in every turn."""
        now = time.monotonic()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                if now > self._ends:
                    self.process.kill()
                return False
            self.process, self._due = None, now + (_AGAIN_S if status else _LOOK_S)
            return status == 0
        if now >= self._due:
            self._due = now + _LOOK_S
            if os.path.lexists(self.state.enrol_answer) or is_waiting(self.state):
                self._start(now)
        return False

    def stop(self) -> None:
        """Let it come to its end: whoever stops it in between only has it done again."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def _start(self, now: float) -> None:
        chosen = ["--config", str(self.config_path)] if self.config_path else []
        command = [sys.executable, "-m", "firmware_app.appliance.provisioning_service", *chosen]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        self._ends = now + _MOST_S
