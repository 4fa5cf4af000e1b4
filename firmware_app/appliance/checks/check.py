"""One answer of `lantern doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firmware_app.core.records import Reason


@dataclass(frozen=True, slots=True)
class Section:
    """The section of the handbook with the sentences whose codes fit the patterns; the longest pattern holds."""

    title: str
    patterns: tuple[str, ...]


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
