"""The JSON form of `records.Header`, `Reading` and `ConclusionRow` in database rows, validated when it is read.

The adapters are made at first use: each costs a few milliseconds, and most processes need at most one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter

from firmware_app.core.records import Finding, FollowUp, Header, Lesion, Priority, Reading, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ConclusionRow:
    """What one revision of a case said, of these images; `background`: the facts known then, by their codes."""

    priority: Priority | None
    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...]
    follow_up: FollowUp | None
    background: tuple[str, ...]
    images: tuple[str, ...]


@cache
def header_adapter() -> TypeAdapter[Header]:
    """The adapter for `instances.header`."""
    return TypeAdapter(Header)


@cache
def reading_adapter() -> TypeAdapter[Reading]:
    """The adapter for `readings.body` and `superseded.body`."""
    return TypeAdapter(Reading)


@cache
def conclusion_adapter() -> TypeAdapter[ConclusionRow]:
    """The adapter for `conclusions.body`."""
    return TypeAdapter(ConclusionRow)


def dump_reason(reason: Reason | None) -> str | None:
    """A reason as a row keeps it."""
    return json.dumps({"code": reason.code, "details": dict(reason.details)}) if reason is not None else None


def parse_reason(text: str | None) -> Reason | None:
    """The reason in a row."""
    said = json.loads(text) if text is not None else None
    return Reason(said["code"], said["details"]) if said is not None else None
