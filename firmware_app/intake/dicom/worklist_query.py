"""A machine's question for the worklist (PS3.4 K), and which registered patients fit it (PS3.4 C.2.2.2).

How a key matches is in `headers.matching`.  The identifier comes from the network: our own bounded reader walks it to
its end before pydicom sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pynetdicom.dsutils import decode

from firmware_app.errors import IntakeError
from firmware_app.headers import matching, transfer_syntax
from firmware_app.headers.element_stream import EXPLICIT_LITTLE, IMPLICIT_LITTLE, walk
from firmware_app.headers.identifier import CHARSET as CHARSET
from firmware_app.headers.identifier import NAME, raw, texts
from firmware_app.headers.matching import NotAQuestion as NotAQuestion
from firmware_app.registration.entry import Registered

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
SYNTAXES: Final = frozenset((transfer_syntax.IMPLICIT_LITTLE, transfer_syntax.EXPLICIT_LITTLE))
MOST_BYTES: Final = 65_536  # of a question; real ones have 300 to 2,000

STEPS: Final = 0x00400100
"""Scheduled Procedure Step Sequence: the keys of the step stand in its one item."""

# What pydicom may raise for an identifier that is whole but not what its VRs say.
_UNDECODABLE: Final = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, OverflowError, RecursionError,
    struct.error, EOFError, UserWarning,
)  # fmt: skip


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
    items = list(identifier[STEPS].value) if STEPS in identifier else None
    if items is not None and len(items) > 1:
        raise NotAQuestion("The sequence of the scheduled step has more than one item.")
    charset = raw(identifier, CHARSET)
    step = None if items is None else texts(items[0], charset) if items else {}
    keys = {tag: value for tag, value in texts(identifier, charset).items() if tag != STEPS}
    return Question(keys, step)


def _matches(wanted: str, key: Key, entry: Registered, station: Station) -> bool:
    return not wanted.strip("*") or key.how(wanted, key.value(entry, station))


# PS3.4 Table K.6-1: the keys that every provider matches, and those that cost nothing to match too.
MATCHED: Final = {
    0x00080050: Key(matching.text, lambda entry, _: entry.accession),
    NAME: Key(matching.name, lambda entry, _: entry.person_name),
    0x00100020: Key(matching.text, lambda entry, _: entry.patient_id),
    0x00100030: Key(matching.day, lambda entry, _: entry.birth_date),
    0x00100040: Key(matching.text, lambda entry, _: entry.sex),
    0x0020000D: Key(matching.uids, lambda entry, _: entry.study_uid),
    0x00401001: Key(matching.text, lambda entry, _: entry.procedure_id or entry.accession),
}
MATCHED_IN_STEP: Final = {
    0x00080060: Key(matching.text, lambda _, station: station.modality),
    0x00400001: Key(matching.text, lambda _, station: station.ae_title),
    0x00400002: Key(matching.day, lambda entry, _: entry.scheduled[:8]),
    0x00400003: Key(matching.time, lambda entry, _: entry.scheduled[8:]),
    0x00400009: Key(matching.text, lambda entry, _: entry.step_id or entry.accession),
}
