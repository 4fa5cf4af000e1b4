"""A machine's question for the worklist (PS3.4 K), and which registered patients fit it (PS3.4 C.2.2.2).

Matching: universal, single value, list of UIDs, wildcard, range of dates or times.  A name matches in each of its
groups, whatever the case of its letters (PS3.4 C.2.2.2.1).  The identifier comes from the network: our own bounded
reader walks it to its end before pydicom sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pynetdicom.dsutils import decode

from firmware_app.errors import IntakeError
from firmware_app.headers import transfer_syntax
from firmware_app.headers.charset import decoded
from firmware_app.headers.element_stream import EXPLICIT_LITTLE, IMPLICIT_LITTLE, walk
from firmware_app.registration.entry import Registered

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
SYNTAXES: Final = frozenset((transfer_syntax.IMPLICIT_LITTLE, transfer_syntax.EXPLICIT_LITTLE))
MOST_BYTES: Final = 65_536  # of a question; real ones have 300 to 2,000
_MOST_VALUE: Final = 1024

STEPS: Final = 0x00400100
"""Scheduled Procedure Step Sequence: the keys of the step stand in its one item."""
CHARSET: Final = 0x00080005
_LENGTHS: Final = 0xFFFF  # (gggg,0000), group lengths: no keys

# What pydicom may raise for an identifier that is whole but not what its VRs say.
_UNDECODABLE: Final = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, OverflowError, RecursionError,
    struct.error, EOFError, UserWarning,
)  # fmt: skip


class NotAQuestion(ValueError):
    """The identifier cannot be read, or a key of it is not of its kind; the text is in plain English, for the peer."""


@dataclass(frozen=True, slots=True)
class Station:
    """The machine that asks: its AE title and the modality that the clinic has said it is."""

    ae_title: str
    modality: str


@dataclass(frozen=True, slots=True)
class Question:
    """The keys asked for, by tag, with their text; empty: whatever the value is."""

    keys: Mapping[int, str] = field(default_factory=dict)
    step: Mapping[int, str] | None = None
    """The keys of the scheduled step; None where the question has no sequence for them."""

    def fits(self, entry: Registered, station: Station) -> bool:
        """Whether *entry* is asked for; raises `NotAQuestion`."""
        step = self.step or {}
        return all(
            _matches(wanted, matched[tag], entry, station)
            for keys, matched in ((self.keys, MATCHED), (step, MATCHED_IN_STEP))
            for tag, wanted in keys.items()
            if tag in matched
        )


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute that is matched: how, and its value in an entry for the machine that asks."""

    how: Callable[[str, str], bool]
    value: Callable[[Registered, Station], str]


def parse(data: bytes, syntax: str) -> Question:
    """The question in *data*; raises `NotAQuestion`."""
    explicit = syntax == transfer_syntax.EXPLICIT_LITTLE
    try:
        walk(data, 0, EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE, ())
        return _question(decode(BytesIO(data), not explicit, True))
    except IntakeError as error:
        raise NotAQuestion(error.text("en")) from None
    except _UNDECODABLE:
        raise NotAQuestion("The identifier is not a data set.") from None


def _question(identifier: Dataset) -> Question:
    charset = _raw(identifier, CHARSET)
    items = list(identifier[STEPS].value) if STEPS in identifier else None
    if items is not None and len(items) > 1:
        raise NotAQuestion("The sequence of the scheduled step has more than one item.")
    step = None if items is None else _texts(items[0], charset) if items else {}
    return Question(_texts(identifier, charset), step)


def _texts(dataset: Dataset, charset: bytes) -> dict[int, str]:
    return {
        int(tag): decoded(_raw(dataset, tag), charset, name=int(tag) == _NAME).strip(" \0")
        for tag in dataset.keys()  # noqa: SIM118 - iterating the data set itself would convert every value
        if tag not in (STEPS, CHARSET) and int(tag) & _LENGTHS
    }


def _raw(dataset: Dataset, tag: int) -> bytes:
    """The bytes of a value as they came; empty for a sequence."""
    if tag not in dataset:
        return b""
    value = dataset.get_item(tag).value
    return value[:_MOST_VALUE] if isinstance(value, bytes) else b""


# --- matching -----------------------------------------------------------------------------------------------------


def _matches(wanted: str, key: Key, entry: Registered, station: Station) -> bool:
    return not wanted.strip("*") or key.how(wanted, key.value(entry, station))


def _text(wanted: str, value: str) -> bool:
    """Single value or wildcard: ``*`` any characters, ``?`` one (PS3.4 C.2.2.2.4)."""
    return fnmatchcase(value, wanted.replace("[", "[[]"))


def _name(wanted: str, value: str) -> bool:
    """Each group asked for in the group of its place; a single one in any of them."""
    asked = [_bare(group) for group in wanted.split("=")]
    groups = [_bare(group) for group in value.split("=")]
    if len(asked) == 1:
        return any(_text(asked[0], group) for group in groups)
    groups += [""] * (len(asked) - len(groups))
    return all(not one.strip("*") or _text(one, group) for one, group in zip(asked, groups, strict=False))


def _bare(group: str) -> str:
    return group.strip().rstrip("^").casefold()


def _uids(wanted: str, value: str) -> bool:
    return value in [uid.strip(" \0") for uid in wanted.split("\\")]


def _day(wanted: str, value: str) -> bool:
    low, is_range, high = wanted.replace(".", "").partition("-")
    for bound in (low, high):
        if bound and not (len(bound) == 8 and bound.isascii() and bound.isdigit()):
            raise NotAQuestion("A date is written as YYYYMMDD, a range as YYYYMMDD-YYYYMMDD.")
    return _within(low, high, value) if is_range else value == low


def _time(wanted: str, value: str) -> bool:
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


_NAME: Final = 0x00100010
# PS3.4 Table K.6-1: the keys that every provider matches, and those that cost nothing to match too.
MATCHED: Final = {
    0x00080050: Key(_text, lambda entry, _: entry.accession),
    _NAME: Key(_name, lambda entry, _: entry.person_name),
    0x00100020: Key(_text, lambda entry, _: entry.patient_id),
    0x00100030: Key(_day, lambda entry, _: entry.birth_date),
    0x00100040: Key(_text, lambda entry, _: entry.sex),
    0x0020000D: Key(_uids, lambda entry, _: entry.study_uid),
    0x00401001: Key(_text, lambda entry, _: entry.accession),
}
MATCHED_IN_STEP: Final = {
    0x00080060: Key(_text, lambda _, station: station.modality),
    0x00400001: Key(_text, lambda _, station: station.ae_title),
    0x00400002: Key(_day, lambda entry, _: entry.scheduled[:8]),
    0x00400003: Key(_time, lambda entry, _: entry.scheduled[8:]),
    0x00400009: Key(_text, lambda entry, _: entry.accession),
}
