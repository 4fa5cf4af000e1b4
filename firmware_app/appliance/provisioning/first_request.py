"""The first page's request to root and its result: two files, in a folder that other users can write to.

    provision/request.json    written by the viewer; the path unit `lantern-provision.path` wakes up for it
    provision/result.json     written by root

The viewer and the importer belong to one group, so the owner of a file does not prove who wrote its content.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from firmware_app.core.errors import RequestUnusable
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir, clear_away, sync_directory
from firmware_app.core.whole_files import read_plain, write_whole

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
class Heard:
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
    _replace(_request(state), json.dumps(asdict(request)).encode())


def waits(state: StateDir) -> bool:
    """Whether a request was not answered yet."""
    return os.path.lexists(_request(state))


def result(state: StateDir) -> FirstResult | None:
    """What became of the last request."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        saved = json.loads(_result(state).read_text("utf-8"))
        undone = tuple(Reason(**one) for one in saved.get("undone", ()))  # a version before this one wrote none
        return FirstResult(**{**saved, "reason": Reason(**saved["reason"]), "undone": undone})
    return None


# --- root's side ------------------------------------------------------------------------------------------------------


def heard(state: StateDir) -> Heard:
    """The request, opened without following links.  Raises `RequestUnusable`."""
    try:
        return Heard(*read_plain(_request(state), MOST_BYTES + 1))
    except OSError as error:
        raise RequestUnusable(detail=error.strerror or str(error)) from None


def tell(state: StateDir, made: FirstResult) -> None:
    """For the first page."""
    reason, *undone = ({"code": one.code, "details": dict(one.details)} for one in (made.reason, *made.undone))
    path = _result(state)
    if path.is_dir() and not path.is_symlink():
        clear_away(path)
    _replace(path, json.dumps({**asdict(made), "reason": reason, "undone": undone}).encode())


def forget(state: StateDir, answered: Heard | None) -> None:
    """Remove the request, unless a second one (another click) has replaced it meanwhile."""
    now = None
    with suppress(RequestUnusable):
        now = heard(state).data
    if now == (answered.data if answered else None):
        clear_away(_request(state))


def _request(state: StateDir) -> Path:
    return state.provision / "request.json"


def _result(state: StateDir) -> Path:
    return state.provision / "result.json"


def _replace(path: Path, data: bytes) -> None:
    write_whole(path, data, 0o640)
    sync_directory(path.parent)


def _is_text(request: FirstRequest) -> bool:
    plain = (request.hospital, request.file, request.code, request.line, request.request)
    given = request.answers
    return all(isinstance(one, str) for one in plain) and (
        isinstance(given, dict) and all(isinstance(part, str) for pair in given.items() for part in pair)
    )
