"""Other programs: run once with a time limit, or kept alive by a supervisor.

Every failure of a program that is run once is a `ProgramFailed`.

A supervised process is restarted whenever it ends, and killed when it hangs.  It hangs when its pipe of signs of life
(`core.notify`) has been silent for longer than its patience.  Between two checks at most one second counts as silence,
so time in which the supervisor itself did not run (the machine was suspended, all processes were stopped, a database
was rebuilt) does not count.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import IO, Final

from firmware_app.core import notify


class ProgramFailed(Exception):
    """Why a program failed: its last line on stderr, or that it is missing or does not answer."""


class ProgramMissing(ProgramFailed):
    """It is not installed, so trying again does not help."""


class ProgramRefused(ProgramFailed):
    """It ended with a status other than 0, and not by a signal."""


def run_program(*command: str, seconds: float, data: bytes = b"", most: int = 160) -> bytes:
    """What *command* prints, given *data*; raises `ProgramFailed` with at most *most* characters of its text."""
    name = command[0]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=seconds)
    except FileNotFoundError:
        raise ProgramMissing(f"{name}: not installed") from None
    except OSError as error:
        raise ProgramFailed(f"{name}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"{name}: no answer in {seconds:g} s") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"{name}: status {done.returncode}"]
        raise (ProgramRefused if done.returncode > 0 else ProgramFailed)(lines[-1][:most])
    return done.stdout


def is_supervised() -> bool:
    """Whether a `SupervisedProcess` runs this program."""
    return "LANTERN_SUPERVISOR" in os.environ


def end_with_supervisor(number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send signal *number* when the supervisor of this program ends; exit where it has ended already.

    A program that hangs does not obey SIGTERM; one whose database survives it asks for SIGKILL.
    """
    if is_supervised():
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.environ["LANTERN_SUPERVISOR"] != str(os.getppid()):
            sys.exit(0)


_PR_SET_PDEATHSIG: Final = 1
_RESTART_FIRST_S: Final = 0.2
_RESTART_MOST_S: Final = 10.0
_STEADY_S: Final = 30.0
_START_S: Final = 300.0  # before it is ready it loads models from a slow disk and gives no sign of life
_PATIENCE_S: Final = {"uplink": 180.0}  # longer than the slowest failing DNS look-up
_PATIENCE_OF_OTHERS_S: Final = 20.0  # the main loops of the others give a sign of life more often than this
_LOOK_MOST_S: Final = 1.0


@dataclass
class SupervisedProcess:
    """One process of the box or of a hospital, running or not."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = _RESTART_FIRST_S
    announced: int | None = None
    due: float = 0.0
    followers: tuple[SupervisedProcess, ...] = ()
    patience: float = _PATIENCE_OF_OTHERS_S
    start_s: float = _START_S
    output: int | IO[str] | None = field(default_factory=lambda: sys.stderr)
    """Its standard output.  The box's is for the supervisor's own events; a process logs to stderr."""
    begun: bool = False
    """Whether it has said, since its last start, that it does its work (`notify.ready`)."""
    proven: bool = False
    """Whether it ever has."""
    _signs: int = -1
    _silent_s: float = 0.0
    _looked: float = 0.0

    @property
    def patience_s(self) -> float:
        """Seconds that it may be without a sign of life."""
        if not self.announced and not self.begun:
            return self.start_s
        return _PATIENCE_S.get(self.name, self.patience)

    def start(self) -> None:
        self._signs, theirs = os.pipe()
        os.set_blocking(self._signs, False)
        environment = {**os.environ, "LANTERN_SUPERVISOR": str(os.getpid()), notify.PIPE: str(theirs)}
        self.begun = False
        # A process group of its own, so that Ctrl-C reaches it only once, through the supervisor.
        try:
            self.process = subprocess.Popen(
                self.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                process_group=0,
                pass_fds=(theirs,),
            )
        finally:
            os.close(theirs)
        self.started = self._looked = time.monotonic()
        self._silent_s = 0.0

    def poll_exit(self) -> int | None:
        """The exit status when the process has ended; schedules its restart."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self._has_sign_of_life()
        now = time.monotonic()
        self.delay = _RESTART_FIRST_S if now - self.started > _STEADY_S else min(self.delay * 2, _RESTART_MOST_S)
        self.due = now + self.delay
        self._forget()
        return status

    def is_hung(self, now: float) -> bool:
        """Whether a running process has been silent for longer than its patience; True once per such period.

        *now* is the monotonic time in seconds.
        """
        since, self._looked = min(now - self._looked, _LOOK_MOST_S), now
        self._silent_s = 0.0 if self._has_sign_of_life() else self._silent_s + since
        if self._silent_s <= self.patience_s:
            return False
        self._silent_s = 0.0
        return True

    def _has_sign_of_life(self) -> bool:
        try:
            signs = os.read(self._signs, 65536)
        except BlockingIOError:
            return False
        if b"READY=1" in signs:
            self.begun = self.proven = True
        return bool(signs)

    def wait_for_exit(self, deadline: float) -> bool:
        """Wait for its end until the monotonic *deadline*; False when it had to be killed."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
            in_time = True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            in_time = False
        self._forget()
        return in_time

    def _forget(self) -> None:
        os.close(self._signs)
        self.process, self.announced = None, None
