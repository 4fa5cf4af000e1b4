"""The first page's request to root and its result: two files in a folder that only the viewer's group may write to.

    provision/request.json    written by the viewer; the path unit `lantern-provision.path` starts root's side
    provision/result.json     written by root

Under `lantern serve`, where no systemd starts it and everything runs as one user, the supervisor starts the same
program when the first page asks for something, or when the uplink has put the hospital's answer down.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field

from firmware_app.core import requests
from firmware_app.core.records import Reason
from firmware_app.core.requests import Message
from firmware_app.core.state_dir import StateDir


class FirstRequest(Message):
    """What the first page asks: answers with a hospital's bundle (or none), or the file of a stick that `code` opens.

    With answers, `line` is the address of the broker where the box asks to be enrolled, with its label's `code`.
    """

    answers: dict[str, str] = Field(default_factory=dict)
    hospital: str = ""
    code: str = ""
    line: str = ""
    request: str = Field(default_factory=lambda: secrets.token_hex(8))


class FirstResult(Message):
    """The result of a request; `asks`: the box asks over the line to be enrolled."""

    request: str
    reason: Reason
    box: str = ""
    bundle: str = ""
    fingerprint: str = ""
    hospital: str = ""
    undone: tuple[Reason, ...] = ()
    asks: bool = False

    def text(self, language: str) -> str:
        """For a person: what was done, and what could not be done."""
        return " ".join(reason.text(language) for reason in (self.reason, *self.undone))


def request_path(state: StateDir) -> Path:
    return state.provision / "request.json"


def submit_request(state: StateDir, request: FirstRequest) -> None:
    """Hand *request* to root; it replaces one that root has not read yet."""
    requests.write_message(request_path(state), request)


def is_waiting(state: StateDir) -> bool:
    """Whether a request was not answered yet."""
    return requests.is_waiting(request_path(state))


def read_result(state: StateDir) -> FirstResult | None:
    """What became of the last request."""
    return requests.read_message(state.provision / "result.json", FirstResult)


def write_result(state: StateDir, made: FirstResult) -> None:
    """For the first page."""
    requests.write_message(state.provision / "result.json", made)


_LOOK_S: Final = 0.5
_AGAIN_S: Final = 30.0
"""After a refusal that has left what waits where it was."""
_MOST_S: Final = 180.0  # as the unit's TimeoutStartSec=


@dataclass
class ProvisioningRunner:
    """Runs root's side when something waits for it."""

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
        """End the program; what it had begun is done again at the next start."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def _start(self, now: float) -> None:
        chosen = ["--config", str(self.config_path)] if self.config_path else []
        command = [sys.executable, "-m", "firmware_app.appliance.provisioning_service", *chosen]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        self._ends = now + _MOST_S
