"""The keys of a query: the texts in its identifier, and how a key matches a value (PS3.4 C.2.2.2).

A worklist query and a search over DICOMweb use the same rules: universal, single value, list of UIDs, wildcard, range
of dates or times, empty value.  The standard leaves open what several values mean that are no UIDs; codes and AE titles
match any of them here.  What cannot be matched is refused, because an answer without patients would be believed.

The texts of an identifier (PS3.7 9.1.2) are decoded whatever character set they came in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from pydicom import Dataset

from firmware_app.dicom.charset import decode_text

Matcher = Callable[[str], bool]

SEVERAL: Final = ("AE", "CS", "UI")
"""VRs whose keys may have several values."""
_EMPTY: Final = '""'  # C.2.2.2.7
_UID: Final = re.compile(r"[0-9.]{1,64}")
_DAY: Final = re.compile(r"\d{8}", re.ASCII)
_TIME: Final = re.compile(r"(\d\d(?:\d\d(?:\d\d)?)?)(?:\.\d{1,6})?", re.ASCII)
_COMPONENTS: Final = 5  # of a name (PS3.5 6.2.1)


class InvalidQuery(ValueError):
    """A query cannot be read, or a key of it cannot be matched; the text is in plain English, for the peer.

    *tag*: of the key, where it is one.
    """

    def __init__(self, sentence: str, tag: int | None = None) -> None:
        super().__init__(sentence)
        self.tag = tag


def create_matcher(vr: str, wanted: str) -> Matcher:
    """What decides whether a value fits the key *wanted* of this VR; raises `InvalidQuery`."""
    if wanted == _EMPTY:
        return lambda value: not value
    values = [value for part in wanted.split("\\") if (value := part.strip(" \0"))]
    if is_universal(vr, wanted) or any(is_universal(vr, value) for value in values):
        return lambda _: True
    if len(values) > 1 and vr not in SEVERAL:
        raise InvalidQuery("This key takes one value; ask once for each.")
    ways = [_MATCHERS.get(vr, _text)(value) for value in values]
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
    asked = [_text(_fold_group(group)) if group.strip(" *^") else None for group in wanted.split("=")]

    def fits(value: str) -> bool:
        groups = [_fold_group(group) for group in value.split("=")]
        if len(asked) == 1:
            return any(_in_group(asked[0], group) for group in groups)
        groups += [""] * (len(asked) - len(groups))
        return all(_in_group(one, group) for one, group in zip(asked, groups, strict=False))

    return fits


def _fold_group(group: str) -> str:
    return group.strip().rstrip("^").casefold()


def _in_group(way: Matcher | None, group: str) -> bool:
    return way is None or way(group) or way(group + "^" * (_COMPONENTS - 1 - group.count("^")))


def _uid(wanted: str) -> Matcher:
    if _UID.fullmatch(wanted) is None:
        raise InvalidQuery("A UID has digits and dots, and no wildcard.")
    return lambda value: value == wanted


def _day(wanted: str) -> Matcher:
    low, high = _bounds(wanted.replace(".", ""), _check_day)
    return lambda value: _within(low, high, value)


def _time(wanted: str) -> Matcher:
    low, high = _bounds(wanted.replace(":", ""), _check_time)
    first, last = low.ljust(6, "0"), high and high + "235959"[len(high) :]
    return lambda value: _within(first, last, value and value[:6].ljust(6, "0"))


def _date_time(wanted: str) -> Matcher:
    if "-" in wanted:  # a range, or an offset from UTC
        raise InvalidQuery("A range of date and time is not matched; ask by date.")
    return _text(wanted)


def _bounds(wanted: str, checked: Callable[[str], str]) -> tuple[str, str]:
    """The first and the last value of a range (C.2.2.2.5), empty where it is open; a single value is both."""
    low, is_range, high = (part.strip() for part in wanted.partition("-"))
    low, high = checked(low) if low else "", checked(high) if high else ""
    if not is_range:
        return low, low
    if high and low[: len(high)] > high[: len(low)]:
        raise InvalidQuery("The range ends before it begins.")
    return low, high


def _check_day(text: str) -> str:
    if _DAY.fullmatch(text) is None or not _has_form(text, "%Y%m%d"):
        raise InvalidQuery("A date is YYYYMMDD, a range YYYYMMDD-YYYYMMDD.")
    return text


def _check_time(text: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None or not _has_form(found[1].ljust(6, "0"), "%H%M%S"):
        raise InvalidQuery("A time is HHMMSS, a range HHMMSS-HHMMSS.")
    return found[1]


def _has_form(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def _within(low: str, high: str, value: str) -> bool:
    return bool(value) and low <= value and (not high or value <= high)


_MATCHERS: Final[Mapping[str, Callable[[str], Matcher]]] = {
    "DA": _day,
    "DT": _date_time,
    "PN": _name,
    "TM": _time,
    "UI": _uid,
}


CHARSET_TAG: Final = 0x00080005
NAME_TAG: Final = 0x00100010
_MOST_VALUE: Final = 1024
_LENGTHS: Final = 0xFFFF  # (gggg,0000), group lengths: no keys


def read_texts(dataset: Dataset, charset: bytes, most: int = _MOST_VALUE) -> dict[int, str]:
    """The values of *dataset* by tag, as text, of at most *most* bytes; a sequence is empty."""
    return {
        int(tag): decode_text(read_raw(dataset, tag, most), charset, name=int(tag) == NAME_TAG).strip(" \0")
        for tag in dataset.keys()  # noqa: SIM118 - iterating the data set itself would convert every value
        if int(tag) != CHARSET_TAG and int(tag) & _LENGTHS
    }


def read_raw(dataset: Dataset, tag: int, most: int = _MOST_VALUE) -> bytes:
    """The bytes of a value as they came; empty for a sequence."""
    if tag not in dataset:
        return b""
    value = dataset.get_item(tag).value
    return value[:most] if isinstance(value, bytes) else b""
