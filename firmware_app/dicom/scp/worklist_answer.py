"""The worklist's answers (PS3.4 K.6.1.3): of each fitting entry the attributes that the machine has asked for.

A machine is told the entries of its own kind, with its own AE title and modality.  Everything that is not known of the
patient (weight, allergies, pregnancy) comes back empty, never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pynetdicom.dsutils import encode

from firmware_app.core.language import ENGLISH
from firmware_app.dicom.examinations import EXAMINATIONS
from firmware_app.dicom.headers import transfer_syntax
from firmware_app.dicom.scp.worklist_query import CHARSET, MATCHED, MATCHED_IN_STEP, STEPS, Question, Station
from firmware_app.dicom.worklist_entry import WorklistEntry

MOST_ANSWERS: Final = 200
LATIN_ONLY: Final = "ISO_IR 6"
"""The default repertoire: such a console is told pinyin and English."""
_SCHEME: Final = "99LANTERN"
_NAME: Final = 0x00100010
_AGE, _PROCEDURE, _PROCEDURE_CODES = 0x00101010, 0x00321060, 0x00321064
_STEP_TEXT, _STEP_CODES = 0x00400007, 0x00400008

# PS3.4 Table K.6-1: attributes of type 2 that a registration knows nothing of.
_EMPTY: Final = frozenset(
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
_KNOWN: Final = frozenset((*MATCHED, *_EMPTY, _AGE, _PROCEDURE, _PROCEDURE_CODES))
_KNOWN_IN_STEP: Final = frozenset((*MATCHED_IN_STEP, *_EMPTY_IN_STEP, _STEP_TEXT, _STEP_CODES))


def knows_all(question: Question) -> bool:
    """Whether every key of *question* is supported; where not, its answers say so by their status (PS3.4 K.4.1.1.4)."""
    return question.keys <= _KNOWN and (question.step or frozenset()) <= _KNOWN_IN_STEP and not question.unmatched


@dataclass(frozen=True, slots=True)
class Writer:
    """How answers are written: the character set (PS3.3 C.12.1.1.2), the language of descriptions, the syntax."""

    charset: str
    language: str
    syntax: str

    def encoded(self, question: Question, entry: WorklistEntry, station: Station) -> bytes:
        """The data set that answers *question* with *entry*; an empty sequence of the step asks for all of it."""
        data = Dataset()
        if self.charset != LATIN_ONLY:
            data.add_new(CHARSET, "CS", self.charset)
        for tag in _KNOWN.intersection(question.keys):
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
