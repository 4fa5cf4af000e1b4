"""What a study is called and when it was made, by its images: what other machines wrote, as one line for people."""

from __future__ import annotations

import re
from collections.abc import Iterable

from firmware_app.cases.patient import clean


def examination(names: Iterable[str]) -> str:
    """Names of the study and its series from the headers, each once."""
    return " · ".join(dict.fromkeys(name for name in map(clean, names) if name))


def examined(times: Iterable[tuple[str, str]]) -> str:
    """When the study was made, by the modality's clock, not the box's; an invalid date is shown unchanged.

    *times* are DA and TM values (PS3.5 6.2).
    """
    return ", ".join(dict.fromkeys(_day(date, time) for date, time in times))


def _day(date: str, time: str) -> str:
    """``2026-01-31 14:05`` from a DA value (also with dots, as in ACR-NEMA) and a TM value; without TM only the
    date."""
    day, hour = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", date), re.match(r"([01]\d|2[0-3]):?([0-5]\d)", time)
    written = "-".join(day.groups()) if day else clean(date)
    return f"{written} {hour[1]}:{hour[2]}" if hour else written
