"""Modality Worklist as provider (PS3.4 K): read a device's query, match the registered patients, and answer.

Any device on the network may send images, but the list holds names.  So only the AE titles in `[worklist] stations`
may ask, and each hears of the examinations of its own kind, of the days that `[worklist] days` says, and of no more
than `MOST_ANSWERS` patients at once.

How a key matches (PS3.4 C.2.2.2) is in `dicom.query_keys`; each is checked before any entry is looked at.  The
identifier comes from the network: our own bounded reader walks it to its end before pydicom sees it.

An answer (PS3.4 K.6.1.3) has, of each fitting entry, the attributes that the device has asked for, with its own AE
title and modality.  What is not known of the patient (weight, allergies, pregnancy) comes back empty, never made up.
"""

from __future__ import annotations

import logging
import sqlite3
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from typing import Final, Protocol

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pynetdicom.dsutils import decode, encode

from firmware_app.core import clock
from firmware_app.core.errors import StoreError
from firmware_app.core.language import ENGLISH
from firmware_app.core.settings import WorklistSection
from firmware_app.dicom import query_keys, transfer_syntax
from firmware_app.dicom.data_elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from firmware_app.dicom.element_stream import walk_data_set
from firmware_app.dicom.errors import IntakeError
from firmware_app.dicom.query_keys import CHARSET_TAG as CHARSET_TAG
from firmware_app.dicom.query_keys import NAME_TAG, Matcher, is_universal, read_raw, read_texts
from firmware_app.dicom.query_keys import InvalidQuery as InvalidQuery
from firmware_app.dicom.scp import dimse as dimse
from firmware_app.dicom.worklist import EXAMINATIONS, WorklistEntry, find_kind

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


class UnreadableIdentifier(InvalidQuery):
    """The identifier cannot be read."""


@dataclass(frozen=True, slots=True)
class WorklistQuery:
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


def parse_query(data: bytes, syntax: str) -> WorklistQuery:
    """The question in *data*; raises `InvalidQuery`."""
    explicit = syntax == transfer_syntax.EXPLICIT_LITTLE
    try:
        walk_data_set(data, 0, EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE, ())
        return _read_query(decode(BytesIO(data), not explicit, True))
    except IntakeError as error:
        raise UnreadableIdentifier(error.text("en")) from None
    except InvalidQuery:
        raise
    except _UNDECODABLE:
        raise UnreadableIdentifier("The identifier is not a data set.") from None


def _read_query(identifier: Dataset) -> WorklistQuery:
    items = list(identifier[STEPS].value) if STEPS in identifier else None
    if items is not None and len(items) > 1:
        raise InvalidQuery("The sequence of the step has more than one item.", STEPS)
    charset = read_raw(identifier, CHARSET_TAG)
    keys, step = read_texts(identifier, charset, MOST_BYTES), read_texts(items[0], charset, MOST_BYTES) if items else {}
    keys.pop(STEPS, None)
    asked = [
        (tag, value, values.get(tag))
        for level, values in ((keys, MATCHED), (step, MATCHED_IN_STEP))
        for tag, value in level.items()
    ]
    matchers = tuple((value, _matcher_of_tag(tag, wanted)) for tag, wanted, value in asked if value is not None)
    unmatched = any(
        value is None and not is_universal("", wanted) and not _is_sequence(tag) for tag, wanted, value in asked
    )
    nested = any(_has_keys(level) for level in (identifier, *(items or ())))
    return WorklistQuery(frozenset(keys), None if items is None else frozenset(step), matchers, unmatched or nested)


def _matcher_of_tag(tag: int, wanted: str) -> Matcher:
    if _UNREADABLE in wanted:
        raise InvalidQuery("The key is not in the character set that it declares.", tag)
    try:
        return query_keys.create_matcher(dictionary_VR(tag), wanted)
    except InvalidQuery as error:
        raise InvalidQuery(str(error), tag) from None


def _has_keys(level: Dataset) -> bool:
    """Whether a sequence of *level*, but that of the step, asks for values."""
    sequences = [level[tag].value or () for tag in _list_tags(level) if tag != STEPS and _is_sequence(tag)]
    return any(read_raw(item, tag).strip(b" \0") for items in sequences for item in items for tag in _list_tags(item))


def _list_tags(level: Dataset) -> list[int]:
    return [int(tag) for tag in level.keys()]  # noqa: SIM118 - iterating the data set itself would convert every value


def _is_sequence(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


# PS3.4 Table K.6-1: the keys that every provider matches, and those that cost nothing to match too.
MATCHED: Final[Mapping[int, Value]] = {
    0x00080050: lambda entry, _: entry.accession,
    NAME_TAG: lambda entry, _: entry.person_name,
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


MOST_ANSWERS: Final = 200
LATIN_ONLY: Final = "ISO_IR 6"
"""The default repertoire: such a console is told pinyin and English."""
_SCHEME: Final = "99LANTERN"
_NAME: Final = 0x00100010
_AGE, _PROCEDURE, _PROCEDURE_CODES = 0x00101010, 0x00321060, 0x00321064
_STEP_TEXT, _STEP_CODES = 0x00400007, 0x00400008

# PS3.4 Table K.6-1: attributes of type 2 that a registration knows nothing of.
_EMPTY_ATTRIBUTES: Final = frozenset(
    (
        0x00081110,
        0x00081120,
        0x00080090,
        0x00100021,
        0x00101030,
        0x00102000,
        0x00102110,
        0x001021C0,
        0x00321032,
        0x00321033,
        0x00380010,
        0x00380050,
        0x00380300,
        0x00380500,
        0x00401003,
        0x00401004,
        0x00403001,
    )
)
_EMPTY_IN_STEP: Final = frozenset((0x00321070, 0x00400006, 0x00400010, 0x00400011, 0x00400012))
_KNOWN_ATTRIBUTES: Final = frozenset((*MATCHED, *_EMPTY_ATTRIBUTES, _AGE, _PROCEDURE, _PROCEDURE_CODES))
_KNOWN_IN_STEP: Final = frozenset((*MATCHED_IN_STEP, *_EMPTY_IN_STEP, _STEP_TEXT, _STEP_CODES))


def supports_all_keys(question: WorklistQuery) -> bool:
    """Whether every key of *question* is supported; where not, its answers say so by their status (PS3.4 K.4.1.1.4)."""
    return (
        question.keys <= _KNOWN_ATTRIBUTES
        and (question.step or frozenset()) <= _KNOWN_IN_STEP
        and not question.unmatched
    )


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """How answers are written: the character set (PS3.3 C.12.1.1.2), the language of descriptions, the syntax."""

    charset: str
    language: str
    syntax: str

    def encode_answer(self, question: WorklistQuery, entry: WorklistEntry, station: Station) -> bytes:
        """The data set that answers *question* with *entry*; an empty sequence of the step asks for all of it."""
        data = Dataset()
        if self.charset != LATIN_ONLY:
            data.add_new(CHARSET_TAG, "CS", self.charset)
        for tag in _KNOWN_ATTRIBUTES.intersection(question.keys):
            data.add_new(tag, dictionary_VR(tag), self._value(tag, entry, station))
        if question.step is not None:
            step = Dataset()
            for tag in _KNOWN_IN_STEP.intersection(question.step or _KNOWN_IN_STEP):
                step.add_new(tag, dictionary_VR(tag), self._value(tag, entry, station))
            data.add_new(STEPS, "SQ", [step])
        encoded: bytes | None = encode(data, self.syntax == transfer_syntax.IMPLICIT_LITTLE, True)
        assert encoded is not None, "a registration was checked when it was entered"
        return encoded

    def _value(self, tag: int, entry: WorklistEntry, station: Station) -> object:
        told: Mapping[int, Callable[[WorklistEntry], object]] = {
            _NAME: self._name,
            _AGE: lambda entry: entry.age,
            _PROCEDURE: self._text,
            _STEP_TEXT: self._text,
            _PROCEDURE_CODES: self._codes,
            _STEP_CODES: self._codes,
        }
        if tag in told:
            return told[tag](entry)
        value = MATCHED.get(tag) or MATCHED_IN_STEP.get(tag)
        return value(entry, station) if value is not None else [] if dictionary_VR(tag) == "SQ" else None

    def _name(self, entry: WorklistEntry) -> str:
        return entry.person_name.partition("=")[0] if self.charset == LATIN_ONLY else entry.person_name

    def _text(self, entry: WorklistEntry) -> str:
        if entry.description and (entry.description.isascii() or self.charset != LATIN_ONLY):
            return entry.description
        return EXAMINATIONS[entry.examination].text(ENGLISH if self.charset == LATIN_ONLY else self.language)

    def _codes(self, entry: WorklistEntry) -> list[Dataset]:
        """The examination in the box's own scheme, so that a console can be set to choose its protocol by it."""
        if entry.origin:  # the hospital did not say what its examination is in our scheme
            return []
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = entry.examination, _SCHEME, self._text(entry)
        return [code]


log = logging.getLogger("lantern.gateway")

_MOST_ENTRIES: Final = 5_000


class WaitingEntries(Protocol):
    """The registered patients who are still to be imaged (`cases.registrations.Registrations.list_waiting`)."""

    def __call__(self, kinds: Collection[str], since: date, limit: int) -> Sequence[WorklistEntry]: ...


@dataclass(frozen=True, slots=True)
class WorklistAnswer:
    """The answers to one question: the status of each, their data sets, and the final status with its comment."""

    pending: int
    data_sets: tuple[bytes, ...]
    status: int
    comment: str = ""
    offending: int | None = None
    """The key that cannot be matched."""


@dataclass(frozen=True, slots=True)
class WorklistSCP:
    """Answers machines from what *waiting* lists; safe to share between threads."""

    config: WorklistSection
    language: str
    waiting: WaitingEntries

    def find(self, ae_title: str, data: bytes, syntax: str) -> WorklistAnswer:
        """What the machine *ae_title* is answered to the identifier *data*.  Never raises: the peer gets a status."""
        station = Station(ae_title, self.config.stations[ae_title])
        since = clock.now().astimezone().date() - timedelta(days=self.config.days - 1)
        writer = AnswerWriter(self.config.character_set, self.language, syntax)
        try:
            question = parse_query(data, syntax)
            kind = find_kind(station.modality)
            fitting = [entry for entry in self.waiting((kind,), since, _MOST_ENTRIES) if question.fits(entry, station)]
        except UnreadableIdentifier as error:
            return WorklistAnswer(dimse.PENDING, (), dimse.UNABLE, str(error))
        except InvalidQuery as error:
            return WorklistAnswer(dimse.PENDING, (), dimse.DOES_NOT_MATCH, str(error), error.tag)
        except (sqlite3.Error, StoreError) as error:
            log.error("the worklist cannot be read: %s", getattr(error, "sqlite_errorname", "error"))
            return WorklistAnswer(dimse.PENDING, (), dimse.UNABLE, "The box cannot read its list now. Ask again.")
        told = tuple(writer.encode_answer(question, entry, station) for entry in fitting[:MOST_ANSWERS])
        pending = dimse.PENDING if supports_all_keys(question) else dimse.PENDING_WITHOUT_KEYS
        if len(fitting) > MOST_ANSWERS:
            return WorklistAnswer(
                pending, told, dimse.TOO_MANY, f"More than {MOST_ANSWERS} patients fit: ask for fewer."
            )
        return WorklistAnswer(pending, told, dimse.SUCCESS)
