"""What the processes record in ``run/``: which of them are alive, why they ended, and the results of self-checks.

A process holds a lock on ``run/NAME.lock`` while it lives and writes its pid and port to ``run/NAME.json`` when it is
ready.  The uplink, which may not enter ``run/``, does so in ``exchange/``.  The lock counts, because the kernel
releases it at any death; a file left behind does not.

The last result of each self-check is one small file, for `lantern doctor` and the metrics.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from firmware_app.core import clock, disk, locks
from firmware_app.core.errors import RESET_UNFINISHED, AlreadyRunning, LanternError
from firmware_app.core.language import LANGUAGES, list_codes
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, read_plain_file, write_atomically

PROCESSES: Final = ("gateway", "reader", "viewer")
ALL_PROCESSES: Final = (*PROCESSES, "uplink", "sender")
"""Those that always run; uplink and sender join them when they have something to do."""
Facts = Mapping[str, str | int | None]
_LOCK_S: Final = 0.2  # `is_running` holds it for microseconds when it looks
_FILE_MODE: Final = 0o660
_MOST_BYTES: Final = 1_000_000


def list_expected_processes(config: Config) -> tuple[str, ...]:
    """The processes that ought to run."""
    sends = bool(
        config.pacs.archives
        or config.dicom.commitment_to
        or config.dicomweb.serves_results
        or config.worklist.hospital.host
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
    with ExitStack() as held:
        try:
            alone = held.enter_context(locks.hold_lock(_lock_path(state, name), _LOCK_S))
        except OSError as error:  # a disk that became read-only, say
            raise disk.classify_disk_error(state.root, error) from None
        if not alone:
            raise AlreadyRunning(state=str(state.root))
        yield


def is_running(state: StateDir, name: str) -> bool:
    """Whether a living process holds the lock of *name*."""
    try:
        descriptor = os.open(_lock_path(state, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not locks.acquire_lock(descriptor, fcntl.LOCK_SH, 0.0)
    except locks.NoLocks:
        return False
    finally:
        os.close(descriptor)


def _lock_path(state: StateDir, name: str) -> Path:
    return state.run_folder(name) / f"{name}.lock"


def record_failure(state: StateDir, name: str, error: LanternError) -> None:
    """Keep why this process could not do its work, for `lantern doctor`, until it is ready again."""
    with suppress(OSError):  # then the log alone says it
        _write_status(state, name, f"{name}.failed", {"code": error.code, "details": dict(error.details)})


def read_failure(state: StateDir, name: str) -> Reason | None:
    """Why the process *name*, which does not run, ended the last time; None where it ended in order."""
    return reason_from_object(_read_object(state.run_folder(name) / f"{name}.failed"))


def announce_process(state: StateDir, name: str, facts: Facts) -> None:
    """Say that this process is ready, with its pid and *facts* such as its port."""
    announced = {"process": name, "pid": os.getpid(), "since": clock.stamp_text("seconds"), **facts}
    _write_status(state, name, f"{name}.json", announced)
    clear_failure(state, name)


def clear_failure(state: StateDir, name: str) -> None:
    with suppress(OSError):
        (state.run_folder(name) / f"{name}.failed").unlink(missing_ok=True)


def _write_status(state: StateDir, name: str, file: str, content: Mapping[str, object]) -> None:
    write_atomically(state.run_folder(name) / file, json.dumps(content).encode(), _FILE_MODE)


def withdraw_announcement(state: StateDir, name: str) -> None:
    """Remove the announcement at an orderly end; on a read-only disk it stays, without effect."""
    with suppress(OSError):
        (state.run_folder(name) / f"{name}.json").unlink(missing_ok=True)


def read_announcement(state: StateDir, name: str) -> dict[str, str | int | None] | None:
    """The announcement of the running process *name*; None when it does not run or is not ready yet."""
    if not is_running(state, name):
        return None
    return _read_object(state.run_folder(name) / f"{name}.json") or None


def write_check_result(state: StateDir, name: str, content: Mapping[str, Any]) -> None:
    """Store *content* under *name*, whole or not at all.  Raises `OSError`."""
    data = json.dumps(content, ensure_ascii=False).encode()
    write_atomically(_check_result_path(state, name), data, _FILE_MODE)


def read_check_result(state: StateDir, name: str) -> dict[str, Any]:
    """What was stored under *name*; empty where there is nothing or it cannot be read."""
    return _read_object(_check_result_path(state, name))


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_plain_file(path, _MOST_BYTES)[0])
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
