"""Root's part of giving the box its identity, where no systemd wakes root for it (`lantern-provision.path`).

Under `lantern serve` everything runs as one user, so the supervisor starts the same program when the first page asks
for something, or when the uplink has put the hospital's answer down.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.provisioning import first_request
from firmware_app.core.state_dir import StateDir

_LOOK_S: Final = 0.5
_AGAIN_S: Final = 30.0
"""After a refusal that has left what waits where it was."""
_MOST_S: Final = 180.0  # as the unit's TimeoutStartSec=


@dataclass
class IdentityTurn:
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
            if os.path.lexists(self.state.enrol_answer) or first_request.waits(self.state):
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
        command = [sys.executable, "-m", "firmware_app.appliance.provisioning.first_page", *chosen]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        self._ends = now + _MOST_S
