"""Whenever the box's time was moved, or somebody else vouches for it, the audit says so, and by how much.

With it, a time that was written under a clock nobody vouched for can be put right later: what was marked in the same
boot before the entry is off by that many seconds.
"""

from __future__ import annotations

from firmware_app import clock
from firmware_app.clock import SLACK_S, TimeSource
from firmware_app.store.accounts.audit import Audit
from firmware_app.store.clinical.clinical_db import Clinical

ACTOR = "box"
CHANGED = "clock.changed"


class TimeChanges:
    """`look` now and then; one process of the box does."""

    def __init__(self, clinical: Clinical) -> None:
        self._audit = Audit(clinical.database)
        self._known = _now()

    def look(self) -> None:
        """Write an entry when the time is not what it was."""
        (source, began), (before, began_before) = _now(), self._known
        if source is not before or abs(began - began_before) > SLACK_S:
            self._audit.record(
                ACTOR, CHANGED, source=source.value, before=before.value, seconds=round(began - began_before),
                boot=clock.boot_id(),
            )  # fmt: skip
            self._known = source, began


def _now() -> tuple[TimeSource, float]:
    """Who vouches for the time, and when by it this boot began."""
    standing = clock.here().standing()
    return standing.source, standing.stamp.at.timestamp() - clock.elapsed()
