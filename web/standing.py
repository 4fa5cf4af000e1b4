"""Whether the box reads: what the banner and `/healthz` say, from durable rows and the processes' own locks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app import clock
from firmware_app.config import Config
from firmware_app.device import care, presence
from firmware_app.store.clinical import Clinical
from firmware_app.store.layout import StateDir, free_bytes
from firmware_app.store.worklist import Worklist

LATE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How reading stands: it has stopped, since when, and how many images wait."""

    stopped: bool
    since: clock.Stamp | None
    unread: int


def reading(clinical: Clinical, state: StateDir) -> Reading:
    """Stopped: the reader does not run, or images wait and none was read for a minute."""
    found = Worklist(clinical).standing()
    last = max((stamp.at for stamp in (found.oldest, found.last_read) if stamp), default=None)
    late = found.waiting > 0 and last is not None and abs((clock.now() - last).total_seconds()) > LATE_S
    stopped = late or not presence.is_running(state, "reader")
    return Reading(stopped, found.oldest, found.waiting)


def trouble(config: Config, clinical: Clinical, state: StateDir) -> list[str]:
    """Codes of what is wrong, without names or numbers; empty when all is well."""
    found = [f"{name}.stopped" for name in ("gateway", "reader") if not presence.is_running(state, name)]
    if "reader.stopped" not in found and reading(clinical, state).stopped:
        found.append("reader.late")
    if free_bytes(state.root) // 1_000_000 < config.retention.high_water_free_mb:
        found.append("disk.low")
    return [*found, *care.trouble(state)]
