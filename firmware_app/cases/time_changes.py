"""Records in the audit when the box's time was changed, or its time source changed, and by how many seconds.

With this, a time written under an untrusted clock can be corrected later: times from the same boot before the entry are
off by that many seconds.
"""

from __future__ import annotations

from firmware_app.cases.accounts.audit import Audit
from firmware_app.cases.clinical_db import Clinical
from firmware_app.core import clock
from firmware_app.core.clock import SLACK_S, TimeSource

ACTOR = "box"
CHANGED = "clock.changed"


class TimeChanges:
    """Records time changes; one process of the box calls `look` from time to time."""

    def __init__(self, clinical: Clinical) -> None:
        self._audit = Audit(clinical.database)
        self._known = _now()

    def look(self) -> None:
        """Write an entry if the time or its source has changed."""
        (source, began), (before, began_before) = _now(), self._known
        if source is not before or abs(began - began_before) > SLACK_S:
            self._audit.record(
                ACTOR,
                CHANGED,
                source=source.value,
                before=before.value,
                seconds=round(began - began_before),
                boot=clock.boot_id(),
            )
            self._known = source, began


def _now() -> tuple[TimeSource, float]:
    """The time source, and the time at which this boot began by it."""
    standing = clock.here().standing()
    return standing.source, standing.stamp.at.timestamp() - clock.elapsed()
