"""A machine's question for the worklist (PS3.4 K), and which registered patients fit it (PS3.4 C.2.2.2).

How a key matches is in `dicom.headers.matching`; each is checked before any entry is looked at.  The identifier comes
from the network: our own bounded reader walks it to its end before pydicom sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pynetdicom.dsutils import decode

from firmware_app.core.errors import IntakeError
from firmware_app.dicom.headers import matching, transfer_syntax
from firmware_app.dicom.headers.element_stream import EXPLICIT_LITTLE, IMPLICIT_LITTLE, walk
from firmware_app.dicom.headers.identifier import CHARSET as CHARSET
from firmware_app.dicom.headers.identifier import NAME, raw, texts
from firmware_app.dicom.headers.matching import Matcher, is_universal
from firmware_app.dicom.headers.matching import NotAQuestion as NotAQuestion
from firmware_app.dicom.worklist_entry import WorklistEntry

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
SYNTAXES: Final = frozenset((transfer_syntax.IMPLICIT_LITTLE, transfer_syntax.EXPLICIT_LITTLE))
MOST_BYTES: Final = 65_536  # of a question; real ones have 300 to 2,000

_UNREADABLE: Final = "\ufffd"
STEPS: Final = 0x00400100
"""Scheduled Procedure Step Sequence: the keys of the step stand in its one item."""

# What pydicom may raise for an identifier that is whole but not what its VRs say.
_UNDECODABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    EOFError,
    UserWarning,
)


@dataclass(frozen=True, slots=True)
class Station:
    """The machine that asks: its AE title and the modality that the clinic has said it is."""

    ae_title: str
    modality: str


Value = Callable[[WorklistEntry, Station], str]
"""The value of an attribute in an entry, for the machine that asks."""


class NotADataSet(NotAQuestion):
    """The identifier cannot be read."""


@dataclass(frozen=True, slots=True)
class Question:
    """The keys asked for, by tag."""

    keys: frozenset[int] = frozenset()
    step: frozenset[int] | None = None
    """The keys of the scheduled step; None where the question has no sequence for them."""
    matchers: tuple[tuple[Value, Matcher], ...] = ()
    unmatched: bool = False
    """Whether a key has a value that is not matched, only returned (PS3.4 K.4.1.1.2)."""

    def fits(self, entry: WorklistEntry, station: Station) -> bool:
        """Whether *entry* is asked for."""
        return all(matcher(value(entry, station)) for value, matcher in self.matchers)


def parse(data: bytes, syntax: str) -> Question:
    """The question in *data*; raises `NotAQuestion`."""
    explicit = syntax == transfer_syntax.EXPLICIT_LITTLE
    try:
        walk(data, 0, EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE, ())
        return _question(decode(BytesIO(data), not explicit, True))
    except IntakeError as error:
        raise NotADataSet(error.text("en")) from None
    except NotAQuestion:
        raise
    except _UNDECODABLE:
        raise NotADataSet("The identifier is not a data set.") from None


def _question(identifier: Dataset) -> Question:
    items = list(identifier[STEPS].value) if STEPS in identifier else None
    if items is not None and len(items) > 1:
        raise NotAQuestion("The sequence of the step has more than one item.", STEPS)
    charset = raw(identifier, CHARSET)
    keys, step = texts(identifier, charset, MOST_BYTES), texts(items[0], charset, MOST_BYTES) if items else {}
    keys.pop(STEPS, None)
    asked = [
        (tag, value, values.get(tag))
        for level, values in ((keys, MATCHED), (step, MATCHED_IN_STEP))
        for tag, value in level.items()
    ]
    matchers = tuple((value, _matcher(tag, wanted)) for tag, wanted, value in asked if value is not None)
    unmatched = any(
        value is None and not is_universal("", wanted) and not _is_sequence(tag) for tag, wanted, value in asked
    )
    nested = any(_has_keys(level) for level in (identifier, *(items or ())))
    return Question(frozenset(keys), None if items is None else frozenset(step), matchers, unmatched or nested)


def _matcher(tag: int, wanted: str) -> Matcher:
    if _UNREADABLE in wanted:
        raise NotAQuestion("The key is not in the character set that it declares.", tag)
    try:
        return matching.matcher(dictionary_VR(tag), wanted)
    except NotAQuestion as error:
        raise NotAQuestion(str(error), tag) from None


def _has_keys(level: Dataset) -> bool:
    """Whether a sequence of *level*, but that of the step, asks for values."""
    sequences = [level[tag].value or () for tag in _tags(level) if tag != STEPS and _is_sequence(tag)]
    return any(raw(item, tag).strip(b" \0") for items in sequences for item in items for tag in _tags(item))


def _tags(level: Dataset) -> list[int]:
    return [int(tag) for tag in level.keys()]  # noqa: SIM118 - iterating the data set itself would convert every value


def _is_sequence(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


# PS3.4 Table K.6-1: the keys that every provider matches, and those that cost nothing to match too.
MATCHED: Final[Mapping[int, Value]] = {
    0x00080050: lambda entry, _: entry.accession,
    NAME: lambda entry, _: entry.person_name,
    0x00100020: lambda entry, _: entry.patient_id,
    0x00100030: lambda entry, _: entry.birth_date,
    0x00100040: lambda entry, _: entry.sex,
    0x0020000D: lambda entry, _: entry.study_uid,
    0x00401001: lambda entry, _: entry.procedure_id or entry.accession,
}
MATCHED_IN_STEP: Final[Mapping[int, Value]] = {
    0x00080060: lambda _, station: station.modality,
    0x00400001: lambda _, station: station.ae_title,
    0x00400002: lambda entry, _: entry.scheduled[:8],
    0x00400003: lambda entry, _: entry.scheduled[8:],
    0x00400009: lambda entry, _: entry.step_id or entry.accession,
    0x00400020: lambda *_: "SCHEDULED",
}
