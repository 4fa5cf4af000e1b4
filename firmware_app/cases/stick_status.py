"""The progress of copying from a stick: written by the importer, read by the viewer, one small file in ``run/``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Final

from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir, clear_away, put_in_place

NAME: Final = "import"
"""Of the file, and of the lock that the importer holds while it copies (`device.presence`)."""


class StickStage(StrEnum):
    """The stage of an import."""

    SEARCHING = "searching"
    COPYING = "copying"
    DONE = "done"
    EMPTY = "empty"  # looked through to its end, and there was no image
    UNFINISHED = "unfinished"  # not everything was copied; `reason` says why
    REFUSED = "refused"  # nothing was opened; `reason` says why


@dataclass(frozen=True, slots=True)
class StickStatus:
    """The status of one import, for a person at the box.  Counts are of files; no name, no UID, no path."""

    stage: StickStage
    since: str
    kind: str = ""  # the file system
    found: int = 0
    looked: int = 0
    new: int = 0
    known: int = 0  # images that the box had already
    refused: Mapping[str, int] = field(default_factory=dict)  # by the refusal's code
    passed_by: int = 0  # no images, or links, pipes and devices
    reason: Reason | None = None
    ended: str = ""
    receipt: int | None = None  # the number of the text receipt
    taken_out: bool = False
    seen: bool = False  # a person has read why it was not copied to its end

    @property
    def is_under_way(self) -> bool:
        return self.stage in (StickStage.SEARCHING, StickStage.COPYING)

    @property
    def refusals(self) -> int:
        return sum(self.refused.values())


def write(state: StateDir, status: StickStatus) -> None:
    """Write the status, whole or not at all.  Raises `OSError`."""
    path = state.run / f"{NAME}.json"
    fresh = path.with_suffix(f".{os.getpid()}.new")  # the viewer writes too, when a person has read it
    clear_away(fresh)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(json.dumps(asdict(status)))
    put_in_place(fresh, path)


def read(state: StateDir) -> StickStatus | None:
    """The current or last status; None where no stick was ever copied."""
    try:
        content = json.loads((state.run / f"{NAME}.json").read_text("utf-8"))
        reason = content.pop("reason")
        status = StickStatus(**{**content, "stage": StickStage(content["stage"])})
        return replace(status, reason=Reason(**reason) if reason else None)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
