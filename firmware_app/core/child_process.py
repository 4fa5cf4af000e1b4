"""The parent's side of a child process: start it, send it jobs, and replace it when it fails.

A child is warm and does one dangerous job.  It is started again where it dies before it is ready: no image can be the
cause of that.  Background jobs are sent one after the other, and looked after between more urgent work.  The module
loads no numpy.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import firmware_app
from firmware_app.core import child_messages
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import ChildWillNotStart

START_SECONDS: Final = 60.0
OUT_OF_TIME: Final = "out of time"
_ENDING_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.005
_TUNABLES: Final = ("glibc.malloc.hugetlb=1", "glibc.pthread.stack_cache_size=0")
_ROOT: Final = Path(firmware_app.__file__).resolve().parent.parent


class ChildLost(Exception):
    """A child died, overran its deadline or sent an invalid message; it has been reaped.  `detail` fits a sentence.

    `held_mb` is the peak memory of a child that died, 0 where it is unknown.
    """

    def __init__(self, detail: str, held_mb: int = 0) -> None:
        super().__init__(detail)
        self.detail, self.held_mb = detail, held_mb


class Child:
    """One process ``python -m module ARGUMENTS`` and the socket to it.  Not for use by several threads.

    The process that made it must outlive it: the kernel kills the child with the thread that started it.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, silent: bool = False) -> None:
        """*silent*: its stderr is discarded, because libraries may quote patient data there."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid()), *arguments]
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if silent else None,
                env=build_child_environment(),
                process_group=0,  # Ctrl-C is for the parent to handle, also before the child ignores SIGINT
            )
        ours.setblocking(False)
        self._channel = ours

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs; so a child that was killed while idle is replaced before an image is sent to it."""
        return self._process.poll() is None

    def await_ready(self) -> Mapping[str, Any]:
        """The header of the child's first message, sent when it has warmed up; raises `ChildLost`."""
        return self.receive(START_SECONDS).header

    def send(
        self, header: Mapping[str, Any], arrays: child_messages.Arrays | None = None, seconds: float = 10.0
    ) -> None:
        """Send the child a job; raises `ChildLost` when it does not accept all of it within *seconds*."""
        try:
            child_messages.send(
                self._channel, child_messages.ChildMessage(header, arrays or {}), time.monotonic() + seconds
            )
        except (child_messages.ChannelClosed, child_messages.DeadlinePassed) as error:
            raise self._make_lost_error(error) from None

    def receive(self, seconds: float) -> child_messages.ChildMessage:
        """The child's next answer.  Unless one comes within *seconds* the child is killed and `ChildLost` raised."""
        try:
            return child_messages.receive(self._channel, time.monotonic() + seconds)
        except (child_messages.ChannelClosed, child_messages.DeadlinePassed, child_messages.InvalidMessage) as error:
            raise self._make_lost_error(error) from None

    def has_answer(self, seconds: float = 0.0) -> bool:
        """Whether an answer has begun to arrive, or the child is gone; waits up to *seconds* for either."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(1e3 * seconds))

    def kill(self) -> None:
        """SIGKILL and reap; a dead one is only reaped."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _make_lost_error(self, error: Exception) -> ChildLost:
        if isinstance(error, child_messages.DeadlinePassed):
            self.kill()
            return ChildLost(OUT_OF_TIME)
        if isinstance(error, child_messages.InvalidMessage):
            self.kill()
            return ChildLost("it sent an invalid message")
        status, held_mb = self._end()
        self.kill()
        return ChildLost(f"signal {-status}" if status < 0 else f"exit {status}", held_mb)

    def _end(self) -> tuple[int, int]:
        """Exit status and peak memory, in MB, of a child whose socket is closed, so that it is about to end."""
        until = time.monotonic() + _ENDING_SECONDS
        while self._process.returncode is None and time.monotonic() < until:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)  # so that it is not waited for again
                # ru_maxrss also counts this process's memory, which the child had between fork and exec: only a
                # larger value is the child's own.
                return self._process.returncode, usage.ru_maxrss >> 10 if usage.ru_maxrss > _read_peak_kb() else 0
            time.sleep(_LOOK_SECONDS)
        return self._process.returncode or 0, 0


def _read_peak_kb() -> int:
    """Peak resident memory of this process (proc(5), VmHWM)."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def build_child_environment() -> dict[str, str]:
    """This process's environment, with this program importable and malloc tuned for whole films.

    Neither numpy's BLAS nor malloc reserves address space per thread, and the heap uses huge pages where the kernel has
    them: measured on RG1 of pydicom-data, a film costs hundreds of page faults instead of thousands.  The stacks of
    ended threads are freed: OpenJPEG's would still take up address space when a large film's greys are allocated.
    """
    tunables = filter(None, [os.environ.get("GLIBC_TUNABLES"), *_TUNABLES])
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "GLIBC_TUNABLES": ":".join(tunables),
        "MALLOC_ARENA_MAX": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }


_HAND_OVER_SECONDS: Final = 5.0  # jobs and answers are a few hundred bytes


class ChildJobs:
    """*jobs* done by *child*, each within *seconds*.  `is_done` waits only if asked to; `stop` ends it at any time."""

    def __init__(self, child: Child, jobs: Sequence[Mapping[str, Any]], seconds: float) -> None:
        self._child, self._jobs, self._seconds = child, list(jobs), seconds
        self._deadline = time.monotonic() + START_SECONDS
        self._ready = False
        self.answers: list[ChildMessage] = []

    @property
    def child(self) -> Child:
        return self._child

    def is_done(self, patience: float = 0.0) -> bool:
        """Whether every job has been answered; waits up to *patience* seconds for the child's next message.

        Raises `ChildLost`, or `TimeoutError` after killing a child that did not finish a job in time.
        """
        while self._child.has_answer(patience):
            answer = self._child.receive(_HAND_OVER_SECONDS)
            if self._ready:
                self.answers.append(answer)
            self._ready = True
            if len(self.answers) == len(self._jobs):
                return True
            self._child.send(self._jobs[len(self.answers)], seconds=_HAND_OVER_SECONDS)
            self._deadline = time.monotonic() + self._seconds
        if time.monotonic() > self._deadline:
            self._child.kill()
            if not self._ready:
                raise ChildLost("it did not start")
            raise TimeoutError
        return False

    def stop(self) -> None:
        """End the child."""
        self._child.kill()


log = logging.getLogger("lantern.reader")

ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2


def start_child(child: Child, spawn: Callable[[], Child]) -> Child:
    """*child* once it is ready, or else a later one from *spawn*; raises `ChildWillNotStart` after `ATTEMPTS`."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            child.await_ready()
            return child
        except ChildLost as lost:
            log.warning("a child process died while starting (%s)", lost.detail)
            if attempt == ATTEMPTS:
                raise ChildWillNotStart(detail=lost.detail) from None
            time.sleep(_PAUSE_S * attempt)
            child = spawn()
    raise AssertionError("unreachable")
