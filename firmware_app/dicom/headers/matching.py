"""How the key of a query matches a value (PS3.4 C.2.2.2), in a worklist's question and in a search over DICOMweb.

Universal, single value, list of UIDs, wildcard, range of dates or times, empty value.  The standard leaves open what
several values mean that are no UIDs; codes and AE titles match any of them here.  What cannot be matched is refused,
because an answer without patients would be believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

Matcher = Callable[[str], bool]

SEVERAL: Final = ("AE", "CS", "UI")
"""VRs whose keys may have several values."""
_EMPTY: Final = '""'  # C.2.2.2.7
_UID: Final = re.compile(r"[0-9.]{1,64}")
_DAY: Final = re.compile(r"\d{8}", re.ASCII)
_TIME: Final = re.compile(r"(\d\d(?:\d\d(?:\d\d)?)?)(?:\.\d{1,6})?", re.ASCII)
_COMPONENTS: Final = 5  # of a name (PS3.5 6.2.1)


class NotAQuestion(ValueError):
    """A query cannot be read, or a key of it cannot be matched; the text is in plain English, for the peer.

    *tag*: of the key, where it is one.
    """

    def __init__(self, sentence: str, tag: int | None = None) -> None:
        super().__init__(sentence)
        self.tag = tag


def matcher(vr: str, wanted: str) -> Matcher:
    """What decides whether a value fits the key *wanted* of this VR; raises `NotAQuestion`."""
    if wanted == _EMPTY:
        return lambda value: not value
    values = [value for part in wanted.split("\\") if (value := part.strip(" \0"))]
    if is_universal(vr, wanted) or any(is_universal(vr, value) for value in values):
        return lambda _: True
    if len(values) > 1 and vr not in SEVERAL:
        raise NotAQuestion("This key takes one value; ask once for each.")
    ways = [_WAYS.get(vr, _text)(value) for value in values]
    return lambda value: any(way(value) for way in ways)


def is_universal(vr: str, wanted: str) -> bool:
    """Whether every value fits: for an empty key, and one of asterisks; of a name also without any letter."""
    return not wanted.strip(" \0*\\^=" if vr == "PN" else " \0*\\")


def _text(wanted: str) -> Matcher:
    """Single value or wildcard: ``*`` any characters, ``?`` one (C.2.2.2.4)."""
    pattern = wanted.replace("[", "[[]")
    return lambda value: fnmatchcase(value, pattern)


def _name(wanted: str) -> Matcher:
    """Each group asked for in the group of its place; a single one in any of them.  The case of letters is no matter
    (C.2.2.2.1), and components that are empty at the end may be left out (PS3.5 6.2.1)."""
    asked = [_text(_bare(group)) if group.strip(" *^") else None for group in wanted.split("=")]

    def fits(value: str) -> bool:
        groups = [_bare(group) for group in value.split("=")]
        if len(asked) == 1:
            return any(_in_group(asked[0], group) for group in groups)
        groups += [""] * (len(asked) - len(groups))
        return all(_in_group(one, group) for one, group in zip(asked, groups, strict=False))

    return fits


def _bare(group: str) -> str:
    return group.strip().rstrip("^").casefold()


def _in_group(way: Matcher | None, group: str) -> bool:
    return way is None or way(group) or way(group + "^" * (_COMPONENTS - 1 - group.count("^")))


def _uid(wanted: str) -> Matcher:
    if _UID.fullmatch(wanted) is None:
        raise NotAQuestion("A UID has digits and dots, and no wildcard.")
    return lambda value: value == wanted


def _day(wanted: str) -> Matcher:
    low, high = _bounds(wanted.replace(".", ""), _checked_day)
    return lambda value: _within(low, high, value)


def _time(wanted: str) -> Matcher:
    low, high = _bounds(wanted.replace(":", ""), _checked_time)
    first, last = low.ljust(6, "0"), high and high + "235959"[len(high) :]
    return lambda value: _within(first, last, value and value[:6].ljust(6, "0"))


def _date_time(wanted: str) -> Matcher:
    if "-" in wanted:  # a range, or an offset from UTC
        raise NotAQuestion("A range of date and time is not matched; ask by date.")
    return _text(wanted)


def _bounds(wanted: str, checked: Callable[[str], str]) -> tuple[str, str]:
    """The first and the last value of a range (C.2.2.2.5), empty where it is open; a single value is both."""
    low, is_range, high = (part.strip() for part in wanted.partition("-"))
    low, high = checked(low) if low else "", checked(high) if high else ""
    if not is_range:
        return low, low
    if high and low[: len(high)] > high[: len(low)]:
        raise NotAQuestion("The range ends before it begins.")
    return low, high


def _checked_day(text: str) -> str:
    if _DAY.fullmatch(text) is None or not _is(text, "%Y%m%d"):
        raise NotAQuestion("A date is YYYYMMDD, a range YYYYMMDD-YYYYMMDD.")
    return text


def _checked_time(text: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None or not _is(found[1].ljust(6, "0"), "%H%M%S"):
        raise NotAQuestion("A time is HHMMSS, a range HHMMSS-HHMMSS.")
    return found[1]


def _is(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def _within(low: str, high: str, value: str) -> bool:
    return bool(value) and low <= value and (not high or value <= high)


_WAYS: Final[Mapping[str, Callable[[str], Matcher]]] = {
    "DA": _day,
    "DT": _date_time,
    "PN": _name,
    "TM": _time,
    "UI": _uid,
}
