"""A warm child process that does one dangerous job for the reader, and is killed and replaced when it fails."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import firmware_app
from firmware_app.core.children import wire

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
                env=environment(),
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

    def send(self, header: Mapping[str, Any], arrays: wire.Arrays | None = None, seconds: float = 10.0) -> None:
        """Send the child a job; raises `ChildLost` when it does not accept all of it within *seconds*."""
        try:
            wire.send(self._channel, wire.ChildMessage(header, arrays or {}), time.monotonic() + seconds)
        except (wire.Closed, wire.Late) as error:
            raise self._lost(error) from None

    def receive(self, seconds: float) -> wire.ChildMessage:
        """The child's next answer.  Unless one comes within *seconds* the child is killed and `ChildLost` raised."""
        try:
            return wire.receive(self._channel, time.monotonic() + seconds)
        except (wire.Closed, wire.Late, wire.Garbled) as error:
            raise self._lost(error) from None

    def has_spoken(self, seconds: float = 0.0) -> bool:
        """Whether an answer has begun to arrive, or the child is gone; waits up to *seconds* for either."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(1e3 * seconds))

    def kill(self) -> None:
        """SIGKILL and reap; a dead one is only reaped."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _lost(self, error: Exception) -> ChildLost:
        if isinstance(error, wire.Late):
            self.kill()
            return ChildLost(OUT_OF_TIME)
        if isinstance(error, wire.Garbled):
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
                return self._process.returncode, usage.ru_maxrss >> 10 if usage.ru_maxrss > _most_held_kb() else 0
            time.sleep(_LOOK_SECONDS)
        return self._process.returncode or 0, 0


def _most_held_kb() -> int:
    """Peak resident memory of this process (proc(5), VmHWM)."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def environment() -> dict[str, str]:
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
