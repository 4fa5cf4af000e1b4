"""What the box remembers of its software, in ``run/``, for the doctor, the page and the hospital.

``slot.json``      written at each start (care/slot.py): the versions known to be good; the slot that was left, and why
``software.json``  versions that were left before, what is being done, what the channel offers, and how it last ended
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from firmware_app.core import clock, remembered
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir

SLOT: Final = "slot"
NAME: Final = "software"
UNSTARTED, UNFIT = "slot.unstarted", "slot.unfit"
_MOST: Final = 20
_STALE_S: Final = 1800.0
INSTALLED: Final = register("software.installed", N_("Version {version} is installed; the box starts it now."))

register(
    UNFIT,
    N_(
        "Version {version} in slot {slot} was left: in its self-test these parts failed: {parts}. The version before "
        "runs. Tell whoever gave you the box these words; a later version is taken as usual."
    ),
)
register(
    UNSTARTED,
    N_(
        "Version {version} in slot {slot} was left: it did not start three times. The version before runs. Tell "
        "whoever gave you the box these words; a later version is taken as usual."
    ),
)


@dataclass(frozen=True, slots=True)
class Left:
    """A slot that was left; `parts` are the parts of the self-test that spoke against it."""

    slot: str
    version: str
    code: str
    parts: tuple[str, ...]

    @property
    def reason(self) -> Reason:
        """As a sentence."""
        version, parts = self.version or "–", ", ".join(self.parts) or "–"
        return Reason(self.code, {"slot": self.slot, "version": version, "parts": parts})


@dataclass(frozen=True, slots=True)
class Doing:
    """What is under way: `step` is ``fetching``, ``installing`` or ``starting``."""

    step: str
    version: str
    percent: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last try ended; `origin` is ``stick``, ``upload`` or ``channel``, `file` what was tried."""

    origin: str
    file: str
    reason: Reason
    at: str


@dataclass(frozen=True, slots=True)
class Offered:
    """What the channel offered when it was last looked at: `reason` says why it is not installed, None: it may be."""

    version: str
    bytes: int
    reason: Reason | None
    at: str


def left(state: StateDir) -> Left | None:
    """The slot that was left last, until a later version is good."""
    content = remembered.known(state, SLOT).get("left")
    if not isinstance(content, dict) or content.get("code") not in (UNSTARTED, UNFIT):
        return None
    parts = tuple(one for one in str(content.get("parts") or "").split(", ") if one)
    return Left(str(content.get("slot") or "?"), str(content.get("version") or ""), str(content["code"]), parts)


def left_versions(state: StateDir) -> frozenset[str]:
    """Every version that this box has left, as far as it remembers."""
    known = remembered.known(state, NAME).get("left")
    before = [str(one) for one in known] if isinstance(known, list) else []
    now = left(state)
    return frozenset(one for one in (*before, now.version if now else "") if one)


def doing(state: StateDir) -> Doing | None:
    """What is under way; None when nothing is, or whoever did it has died."""
    content = remembered.known(state, NAME).get("doing")
    try:
        if content["boot"] != clock.boot_id() or time.monotonic() - float(content["since"]) > _STALE_S:  # type: ignore[index]
            return None
        return Doing(str(content["step"]), str(content["version"]), int(content["percent"]))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None


def outcome(state: StateDir) -> Outcome | None:
    """How the last try ended."""
    content = remembered.known(state, NAME).get("outcome")
    reason = remembered.as_reason(content)
    if reason is None or not isinstance(content, dict):
        return None
    origin, file, at = (str(content.get(key) or "") for key in ("origin", "file", "at"))
    return Outcome(origin, file, reason, at)


def offered(state: StateDir) -> Offered | None:
    """What the channel offered when it was last looked at."""
    content = remembered.known(state, NAME).get("offered")
    if not isinstance(content, dict):
        return None
    reason = remembered.as_reason(content.get("reason"))
    try:
        return Offered(str(content["version"]), int(content["bytes"]), reason, str(content["at"]))
    except (KeyError, TypeError, ValueError):
        return None


# --- root's side ------------------------------------------------------------------------------------------------------


def note_left(state: StateDir) -> None:
    """Before another version comes: keep which one was left, for the next slot that is left takes its place."""
    _change(state, left=sorted(left_versions(state))[-_MOST:])


def note_doing(state: StateDir, step: str, version: str, percent: int = 0) -> None:
    since = {"boot": clock.boot_id(), "since": time.monotonic()}
    _change(state, doing={"step": step, "version": version, "percent": percent, **since})


def note_done(state: StateDir, origin: str, file: str, error: LanternError | Reason) -> None:
    reason = error if isinstance(error, Reason) else Reason.of(error)
    at = clock.text("seconds")
    _change(state, doing=None, outcome={"origin": origin, "file": file, "at": at, **remembered.as_object(reason)})


def note_offered(state: StateDir, version: str, size: int, error: LanternError | None) -> None:
    reason = remembered.as_object(Reason.of(error)) if error else None
    _change(state, offered={"version": version, "bytes": size, "reason": reason, "at": clock.text("seconds")})


def _change(state: StateDir, **values: Any) -> None:
    content: Mapping[str, Any] = remembered.known(state, NAME)
    remembered.keep(state, NAME, {**content, **values})
