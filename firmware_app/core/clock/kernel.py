"""The machine's own time: the boot, the seconds since it, the wall clock, and whether that is synchronised."""

from __future__ import annotations

import ctypes
import hashlib
import time
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # proc(5): random, made anew at each boot
_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd(8): touched at each synchronisation
_TIMESYNCD_S: Final = 3 * 3600.0  # it asks at least every 2048 s (timesyncd.conf(5), PollIntervalMaxSec)
_RTC: Final = Path("/sys/class/rtc/rtc0/since_epoch")  # Linux, Documentation/admin-guide/rtc.rst
_STA_UNSYNC: Final = 0x0040  # adjtimex(2)
_TIME_ERROR: Final = 5
_SAME_S: Final = 2.0  # between two readings of one clock


class _Timeval(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("fraction", ctypes.c_long))


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), 64 bits; the rest is room for what is not looked at."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", _Timeval),
        ("room", ctypes.c_byte * 256),
    )


class Kernel:
    """The readings of this machine."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def boot(self) -> str:
        """16 hexadecimal digits that are the same until the machine starts again."""
        return hashlib.sha256(_BOOT_ID.read_bytes()).hexdigest()[:16]

    def elapsed(self) -> float:
        """Seconds since the machine started, sleep included; nobody can set it."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """The machine's clock in Unix seconds, right or wrong."""
        return time.time()

    def synchronised(self) -> bool:
        """Whether network time holds the wall clock, as the kernel or systemd-timesyncd knows it.

        A sandbox may forbid the system call (`ProtectClock=`); then only timesyncd's file counts.
        """
        answer = _Timex()
        state = self._libc.adjtimex(ctypes.byref(answer))
        # The time in the answer must be the one that this process sees, because the promise is about that clock.
        if state not in (-1, _TIME_ERROR) and not answer.status & _STA_UNSYNC:
            return bool(abs(answer.time.seconds - time.time()) < _SAME_S)
        try:
            return 0 <= time.time() - _TIMESYNCD.stat().st_mtime < _TIMESYNCD_S
        except OSError:
            return False

    def battery(self) -> float | None:
        """The clock that runs on while the machine is off, in Unix seconds; None where there is none."""
        try:
            return float(_RTC.read_text("ascii"))
        except (OSError, ValueError):
            return None
