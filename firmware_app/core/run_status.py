"""What the processes record in ``run/``: which of them are alive, why they ended, and the results of self-checks.

A process holds a lock on ``run/NAME.lock`` while it lives and writes its pid and port to ``run/NAME.json`` when it is
ready.  The uplink, which may not enter ``run/``, does so in ``exchange/``.  The lock counts, because the kernel
releases it at any death; a file left behind does not.

The last result of each self-check is one small file, for `lantern doctor` and the metrics.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from firmware_app.core import clock, disk
from firmware_app.core.errors import RESET_UNFINISHED, AlreadyRunning, LanternError
from firmware_app.core.language import LANGUAGES, list_codes
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, clear_away, put_in_place, read_plain_file

PROCESSES: Final = ("gateway", "reader", "viewer")
ALL_PROCESSES: Final = (*PROCESSES, "uplink", "sender")
"""Those that always run; uplink and sender join them when they have something to do."""
Facts = Mapping[str, str | int | None]
_LOCK_ATTEMPTS: Final = 10
_MOST_CHARACTERS: Final = 10_000


def expected_processes(config: Config) -> tuple[str, ...]:
    """The processes that ought to run."""
    sends = bool(
        config.pacs.archives or config.dicom.commitment_to or config.dicomweb.gives or config.worklist.hospital.host
    )
    asks = StateDir(config.state.dir).enrol_call.exists()  # to be enrolled
    more = (("uplink", config.uplink.enabled or asks), ("sender", sends))
    return (*PROCESSES, *(name for name, wanted in more if wanted))


def require_no_reset(state: StateDir) -> None:
    """Raise `RESET_UNFINISHED` where a factory reset was begun: a box that is half deleted does nothing."""
    if state.factory_reset.exists():
        raise RESET_UNFINISHED()


@contextmanager
def hold_process_lock(state: StateDir, name: str) -> Iterator[None]:
    """Hold the lock of the one process *name*; raises `AlreadyRunning` when another holds it, and
    `RESET_UNFINISHED`."""
    require_no_reset(state)
    path = state.run_of(name) / f"{name}.lock"
    try:
        handle = open(path, "a", opener=open_plain)  # noqa: SIM115 - entered below
    except OSError as error:  # a disk that became read-only, say
        raise disk.classify_disk_error(state.root, error) from None
    with handle:
        for attempt in range(_LOCK_ATTEMPTS):  # `is_running` holds it for microseconds when it looks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _LOCK_ATTEMPTS - 1:
                    raise AlreadyRunning(state=str(state.root)) from None
                time.sleep(0.02)
        yield


def is_running(state: StateDir, name: str) -> bool:
    """Whether a living process holds the lock of *name*."""
    try:
        path = state.run_of(name) / f"{name}.lock"
        with open(path, opener=open_plain) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def open_plain(path: str, flags: int) -> int:
    """Other users can write to this folder and root reads it: no link is followed, and a pipe is not waited for.
    Anything but a plain file counts as absent: `FileNotFoundError`.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe that nobody reads (fifo(7))
            raise FileNotFoundError(errno.ENOENT, "it is no plain file", path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "it is no plain file", path)
    return descriptor


def record_failure(state: StateDir, name: str, error: LanternError) -> None:
    """Keep why this process could not do its work, for `lantern doctor`, until it is ready again."""
    with suppress(OSError):  # then the log alone says it
        _write_status(state, name, f"{name}.failed", {"code": error.code, "details": dict(error.details)})


def read_failure(state: StateDir, name: str) -> Reason | None:
    """Why the process *name*, which does not run, ended the last time; None where it ended in order."""
    try:
        with open(state.run_of(name) / f"{name}.failed", encoding="utf-8", opener=open_plain) as handle:
            return reason_from_object(json.loads(handle.read(_MOST_CHARACTERS)))
    except (OSError, ValueError):
        return None


def announce_process(state: StateDir, name: str, facts: Facts) -> None:
    """Say that this process is ready, with its pid and *facts* such as its port."""
    announced = {"process": name, "pid": os.getpid(), "since": clock.stamp_text("seconds"), **facts}
    _write_status(state, name, f"{name}.json", announced)
    clear_failure(state, name)


def clear_failure(state: StateDir, name: str) -> None:
    with suppress(OSError):
        (state.run_of(name) / f"{name}.failed").unlink(missing_ok=True)


def _write_status(state: StateDir, name: str, file: str, content: Mapping[str, object]) -> None:
    described = state.run_of(name) / file
    fresh = described.with_suffix(".new")
    clear_away(fresh)
    with fresh.open("x", encoding="utf-8") as handle:
        handle.write(json.dumps(content))
    put_in_place(fresh, described)


def withdraw_announcement(state: StateDir, name: str) -> None:
    """Remove the announcement at an orderly end; on a read-only disk it stays, without effect."""
    with suppress(OSError):
        (state.run_of(name) / f"{name}.json").unlink(missing_ok=True)


def read_announcement(state: StateDir, name: str) -> dict[str, str | int | None] | None:
    """The announcement of the running process *name*; None when it does not run or is not ready yet."""
    if not is_running(state, name):
        return None
    try:
        with open(state.run_of(name) / f"{name}.json", encoding="utf-8", opener=open_plain) as handle:
            announced: dict[str, str | int | None] = json.load(handle)
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return announced


_RESULT_MODE: Final = 0o660
_MOST_RESULT_BYTES: Final = 1_000_000


def write_check_result(state: StateDir, name: str, content: Mapping[str, Any]) -> None:
    """Store *content* under *name*, whole or not at all.  Raises `OSError`."""
    path = _check_result_path(state, name)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    clear_away(fresh)  # left by a killed process; other users may write this folder, so no link is followed
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _RESULT_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _RESULT_MODE)
            json.dump(content, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def read_check_result(state: StateDir, name: str) -> dict[str, Any]:
    """What was stored under *name*; empty where there is nothing or it cannot be read."""
    try:
        data, _ = read_plain_file(_check_result_path(state, name), _MOST_RESULT_BYTES)
        content = json.loads(data)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def reason_to_object(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "details": dict(reason.details)}


def reason_from_object(content: object) -> Reason | None:
    """The reason that `reason_to_object` stored; None for anything that cannot be shown as a sentence."""
    if not isinstance(content, dict) or not isinstance(content.get("details"), dict):
        return None
    reason = Reason(str(content.get("code")), content["details"])
    if reason.code not in list_codes():
        return reason
    try:
        for language in LANGUAGES:
            reason.text(language)
    except (KeyError, ValueError, IndexError, AttributeError):  # of another version, with other values
        return None
    return reason


def _check_result_path(state: StateDir, name: str) -> Path:
    return state.run / f"{name}.json"
