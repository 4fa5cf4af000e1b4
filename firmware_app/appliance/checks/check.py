"""One answer of `lantern doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firmware_app.core.records import Reason


class Section:
    """The section of the handbook with the sentences whose codes fit the patterns; the longest pattern holds."""

    def __init__(self, title: str, *patterns: str) -> None:
        self.title, self.patterns = title, patterns


Result = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One named check: its result and the sentence for it."""

    name: str
    result: Result
    reason: Reason
    at: str | None = None
    """When it happened (ISO 8601), where the check tells of one event."""
    case: str | None = None
    """The case that the event belongs to, by its reference."""
