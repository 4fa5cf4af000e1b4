"""The last results of the box's self-checks: one small file each in ``run/``, for `lantern doctor` and the metrics."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from firmware_app.core.language import LANGUAGES, codes
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir, clear_away, put_in_place
from firmware_app.core.whole_files import read_plain

_MODE: Final = 0o660
_MOST_BYTES: Final = 1_000_000


def keep(state: StateDir, name: str, content: Mapping[str, Any]) -> None:
    """Store *content* under *name*, whole or not at all.  Raises `OSError`."""
    path = _path(state, name)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    clear_away(fresh)  # left by a killed process; other users may write this folder, so no link is followed
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _MODE)
            json.dump(content, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def known(state: StateDir, name: str) -> dict[str, Any]:
    """What was stored under *name*; empty where there is nothing or it cannot be read."""
    try:
        data, _ = read_plain(_path(state, name), _MOST_BYTES)
        content = json.loads(data)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def as_object(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "details": dict(reason.details)}


def as_reason(content: object) -> Reason | None:
    """The reason that `as_object` stored; None for anything that cannot be shown as a sentence."""
    if not isinstance(content, dict) or not isinstance(content.get("details"), dict):
        return None
    reason = Reason(str(content.get("code")), content["details"])
    if reason.code not in codes():
        return reason
    try:
        for language in LANGUAGES:
            reason.text(language)
    except (KeyError, ValueError, IndexError, AttributeError):  # of another version, with other values
        return None
    return reason


def _path(state: StateDir, name: str) -> Path:
    return state.run / f"{name}.json"
