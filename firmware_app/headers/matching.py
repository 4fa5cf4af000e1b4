"""How the key of a query matches a value (PS3.4 C.2.2.2), in a worklist's question and in a search over DICOMweb.

Universal, single value, list of UIDs, wildcard, range of dates or times.  A name matches in each of its groups,
whatever the case of its letters (PS3.4 C.2.2.2.1).
"""

from __future__ import annotations

from fnmatch import fnmatchcase


class NotAQuestion(ValueError):
    """A query cannot be read, or a key of it is not of its kind; the text is in plain English, for the peer."""


def text(wanted: str, value: str) -> bool:
    """Single value or wildcard: ``*`` any characters, ``?`` one (PS3.4 C.2.2.2.4)."""
    return fnmatchcase(value, wanted.replace("[", "[[]"))


def name(wanted: str, value: str) -> bool:
    """Each group asked for in the group of its place; a single one in any of them."""
    asked = [_bare(group) for group in wanted.split("=")]
    groups = [_bare(group) for group in value.split("=")]
    if len(asked) == 1:
        return any(text(asked[0], group) for group in groups)
    groups += [""] * (len(asked) - len(groups))
    return all(not one.strip("*") or text(one, group) for one, group in zip(asked, groups, strict=False))


def _bare(group: str) -> str:
    return group.strip().rstrip("^").casefold()


def uids(wanted: str, value: str) -> bool:
    return value in [uid.strip(" \0") for uid in wanted.split("\\")]


def day(wanted: str, value: str) -> bool:
    low, is_range, high = wanted.replace(".", "").partition("-")
    for bound in (low, high):
        if bound and not (len(bound) == 8 and bound.isascii() and bound.isdigit()):
            raise NotAQuestion("A date is written as YYYYMMDD, a range as YYYYMMDD-YYYYMMDD.")
    return _within(low, high, value) if is_range else value == low


def time(wanted: str, value: str) -> bool:
    low, is_range, high = wanted.replace(":", "").partition("-")
    for bound in (low, high):
        whole = bound.partition(".")[0]
        if bound and not (len(whole) in (2, 4, 6) and whole.isascii() and whole.isdigit()):
            raise NotAQuestion("A time is written as HHMMSS, a range as HHMMSS-HHMMSS.")
    low, high = low[:6], high[:6]
    if not is_range:
        return value.startswith(low)
    return _within(low.ljust(6, "0"), high and high + "235959"[len(high) :], value)


def _within(low: str, high: str, value: str) -> bool:
    return bool(value) and low <= value and (not high or value <= high)
