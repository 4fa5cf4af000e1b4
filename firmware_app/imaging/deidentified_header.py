"""De-identify the data set of an object: the profile is applied to every attribute at every depth, except pixels.

`profile_action` is Table E.1-1 of PS3.15, from the package `dicom-anonymizer`; where the standard's action depends on
the attribute's type, the action that is legal for every type is taken.  Of the attributes that the table does not name
only numbers stay, text that `kept.toml` lists for its attribute, and codes of the standard's context groups: people
type patient data into any text field.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
import uuid
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import resources
from typing import Any, Final

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID_dictionary
from pydicom.valuerep import format_number_as_ds

from firmware_app.imaging import grey_transforms, header_values
from firmware_app.imaging.dicom_source import HEADER_ERRORS

DEEPEST: Final = 32
_PIXELS: Final = 0x7FE0
_TEXT: Final = "REMOVED"
_DUMMIES: Final[dict[str, Any]] = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "AE", "CS"), _TEXT),
    "PN": "ANONYMOUS",
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "AS": "000Y",
    "UR": "urn:removed",
    **dict.fromkeys(("IS", "DS"), "0"),
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"), 0),
    **dict.fromkeys(("OB", "OW", "OD", "OF", "OL", "OV", "UN"), bytes(8)),
}
_PATIENT: Final = (Tag("PatientName"), Tag("PatientID"))


def clean_header(header: Dataset, identities: Pseudonyms) -> Dataset:
    """A new data set with what may stay of *header*, without pixels and file meta information.

    *header* is not changed.  Patient's Name and Patient ID get the same new value.  Unreadable attributes are removed.
    """
    kept_data = _clean_items(header, identities, 0)
    drop_partial_grey_scale(header, kept_data)
    name = identities.patient(_patient_identity(header))
    for tag in _PATIENT:
        kept_data[tag] = DataElement(tag, dictionary_VR(tag), name)
    kept_data.PatientIdentityRemoved = "YES"
    kept_data.LongitudinalTemporalInformationModified = "REMOVED"
    return kept_data


def _patient_identity(header: Dataset) -> str:
    """What identifies the patient: the patient id, else the study."""
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID"):
        text = _text(header, keyword)
        if text:
            return f"{keyword}\0{text}"
    return ""


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip("\0 ")
    except HEADER_ERRORS:
        return ""


def _clean_items(data: Dataset, identities: Pseudonyms, depth: int) -> Dataset:
    result = Dataset()
    for tag in data.keys():  # noqa: SIM118 - iterating the data set itself would decode every value
        try:
            element = _clean_element(data, tag, identities, depth)
        except HEADER_ERRORS:  # it cannot be checked, so it is removed
            element = None
        if element is not None:
            result[tag] = element
    return result


def _clean_element(data: Dataset, tag: BaseTag, identities: Pseudonyms, depth: int) -> DataElement | None:
    todo = profile_action(tag)
    if todo is ProfileAction.REMOVE or not dictionary_has_tag(tag) or tag.group in (*range(8), _PIXELS):
        return None
    vr = dictionary_VR(tag)
    if todo is ProfileAction.EMPTY:
        return DataElement(tag, vr, Sequence() if vr == "SQ" else None)
    if todo is ProfileAction.DUMMY and vr != "UI":
        return DataElement(tag, vr, Sequence([Dataset()]) if vr == "SQ" else _DUMMIES[vr])
    if vr == "SQ":
        return _clean_sequence(data[tag], identities, depth)
    if vr == "UI":
        old = _as_list(data[tag].value)
        return DataElement(tag, vr, _join_values([identities.uid(str(one)) for one in old]))
    if vr in DECIMAL_VRS and tag not in load_known_words() and tag not in EMPTIED_TAGS:
        texts = write_decimals(data, tag, vr)
        return DataElement(tag, vr, _join_values(texts)) if texts is not None else None
    return _keep_unlisted(data[tag], vr)


def _clean_sequence(element: DataElement, identities: Pseudonyms, depth: int) -> DataElement | None:
    if depth >= DEEPEST or element.VR != "SQ":
        return None
    items: list[Dataset] = []
    for item in element.value:
        again = standard_code(item) if is_code(item) else _clean_items(item, identities, depth + 1)
        if again is not None:
            items.append(again)
    return DataElement(element.tag, "SQ", Sequence(items))


def _keep_unlisted(element: DataElement, vr: str) -> DataElement | None:
    """The attribute, which the profile does not name, if it is a number, a look-up table or a known word; else None."""
    tag, values = element.tag, _as_list(element.value)
    if tag in load_known_words():
        known = filter_known_words(tag, [str(value).strip() for value in values])
        return DataElement(tag, vr, _join_values(known)) if known or tag in EMPTIED_TAGS else None
    if tag in EMPTIED_TAGS:
        return DataElement(tag, vr, None)
    if tag in TABLE_TAGS:
        return _keep_table(element, values)
    if element.VR in NUMBER_VRS and element.VR in vr.split(" or ") and are_finite_numbers(values):
        return DataElement(tag, element.VR, element.value)
    return None


def _keep_table(element: DataElement, values: list[Any]) -> DataElement | None:
    """A look-up table's entries, as words or as bytes."""
    whole = isinstance(element.value, bytes) or are_finite_numbers(values)
    return DataElement(element.tag, element.VR, element.value) if whole and element.VR in TABLE_VRS else None


def _as_list(value: Any) -> list[Any]:
    if value is None or value == "" or value == b"":
        return []
    return list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]


def _join_values(values: Several[str]) -> Any:
    """The values in the form that pydicom expects: empty, a single value or a list."""
    return None if not values else values[0] if len(values) == 1 else list(values)


NUMBER_VRS: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
DECIMAL_VRS: Final = frozenset({"DS", "IS"})
_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LONGEST_DECIMAL: Final = 16
# Look-up tables: their bytes are greys and colours.
TABLE_TAGS: Final = frozenset(
    Tag(keyword)
    for keyword in (
        "LUTData",
        *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
        *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
    )
)
TABLE_VRS: Final = frozenset({"OW", "OB", "US", "SS"})
EMPTIED_TAGS: Final = frozenset(Tag(keyword) for keyword in ("Manufacturer", "PatientOrientation", "Laterality"))
"""Type 2 attributes of the common image modules: they stay without a value where the value may not stay."""
_POSITIONAL_TAGS: Final = frozenset({Tag("PatientOrientation")})  # rows first, columns second
_CODE_TAGS: Final = (Tag("CodeValue"), Tag("LongCodeValue"), Tag("URNCodeValue"), Tag("CodeMeaning"))


@cache
def load_known_words() -> dict[BaseTag, frozenset[str]]:
    """The allowed text values, by tag."""
    text = resources.files(__package__).joinpath("kept.toml").read_text("utf-8")
    return {Tag(keyword): frozenset(values) for keyword, values in tomllib.loads(text).items()}


def filter_known_words(tag: BaseTag, values: list[str]) -> list[str]:
    """The allowed ones of *values*; all or none where their position has a meaning (`_POSITIONAL_TAGS`).

    In Image Type, a value that may not stay becomes OTHER, and numbers of at most four digits stay: ultrasound writes
    its mode so (PS3.3 C.8.5.6.1.1).
    """
    allowed = load_known_words().get(tag, frozenset())
    if keyword_for_tag(tag) == "ImageType":
        return [value if value in allowed or re.fullmatch(r"\d{1,4}", value) else "OTHER" for value in values]
    known = [value for value in values if value in allowed]
    return known if len(known) == len(values) or tag not in _POSITIONAL_TAGS else []


def check_decimals(values: list[str]) -> list[str] | None:
    """*values* if all of them are numbers, else None."""
    fits = all(value == "" or (len(value) <= _LONGEST_DECIMAL and _DECIMAL.fullmatch(value)) for value in values)
    return values if fits else None


def are_finite_numbers(values: list[Any]) -> bool:
    """Whether these are numbers and nothing else."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def is_code(item: Dataset) -> bool:
    """Whether a sequence's *item* is a coded concept (PS3.3 8.8)."""
    return any(tag in item for tag in _CODE_TAGS)


def standard_code(item: Dataset) -> Dataset | None:
    """A copy of the concept with the standard's meaning text; None for a code that the standard does not have."""
    scheme, value = str(item.get("CodingSchemeDesignator") or "").strip(), str(item.get("CodeValue") or "").strip()
    meaning = _load_concepts().get((scheme, value))
    if meaning is None or not meaning.isascii():
        return None
    again = Dataset()
    again.CodeValue, again.CodingSchemeDesignator, again.CodeMeaning = value, scheme, meaning[:64]
    return again


@cache
def _load_concepts() -> dict[tuple[str, str], str]:
    """(scheme, code) -> meaning, of the context groups of PS3.16 that pydicom ships."""
    from pydicom.sr.codedict import codes

    meanings: dict[tuple[str, str], str] = {}
    for scheme in codes.schemes():
        collection = getattr(codes, scheme)
        for name in collection.dir():
            concept = getattr(collection, name)
            meanings[str(concept.scheme_designator), str(concept.value)] = str(concept.meaning)
    return meanings


_LARGEST: Final = 1e7  # more may be a number of a person, as of a telephone
_PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
_GREY_KEYWORDS: Final = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)


def write_decimals(data: Dataset, tag: BaseTag, vr: str) -> list[str] | None:
    """The numbers of a decimal or integer string: their own text where it is one of numbers, else written anew.

    None where one of them is no number, or may be more than a number.
    """
    keyword = keyword_for_tag(tag)
    if (texts := check_decimals(header_values.read_texts(data, keyword))) is not None:
        return texts
    numbers = header_values.read_decimals(data, keyword).whole
    if not numbers or not all(abs(number) < _LARGEST for number in numbers):
        return None
    if vr == "IS":
        return [str(int(number)) for number in numbers] if all(number.is_integer() for number in numbers) else None
    return [format_number_as_ds(number) for number in numbers]


def drop_partial_grey_scale(header: Dataset, cleaned: Dataset) -> None:
    """Remove the grey scale from *cleaned* where the box does not apply that of *header* (`GreyScale.dropped`)."""
    frames = len(header[_PER_FRAME].value) if _PER_FRAME in header else 1
    if not any(grey_transforms.read_grey_scale(header, frame, "").dropped for frame in range(frames)):
        return
    groups = [item for keyword in (_PER_FRAME, "SharedFunctionalGroupsSequence") for item in cleaned.get(keyword) or ()]
    for item in (cleaned, *groups):
        for keyword in _GREY_KEYWORDS:
            if keyword in item:
                delattr(item, keyword)


PROFILE_EDITION: Final = "2026c"


class ProfileAction(Enum):
    """The actions of PS3.15 E.3 that the box applies to an attribute."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    NEW_UID = "U"
    NEW_UIDS_INSIDE = "U*"


# X/Z, X/D and so on depend on the attribute's type: an empty value is legal for types 3 and 2, a dummy for all types.
_ACTIONS: Final = (
    (ProfileAction.REMOVE, table.X_TAGS),
    (ProfileAction.EMPTY, table.Z_TAGS),
    (ProfileAction.EMPTY, table.X_Z_TAGS),
    (ProfileAction.DUMMY, table.D_TAGS),
    (ProfileAction.DUMMY, table.Z_D_TAGS),
    (ProfileAction.DUMMY, table.X_D_TAGS),
    (ProfileAction.DUMMY, table.X_Z_D_TAGS),
    (ProfileAction.NEW_UID, table.U_TAGS),
    (ProfileAction.NEW_UIDS_INSIDE, table.X_Z_U_STAR_TAGS),
)


@cache
def profile_actions() -> dict[int, ProfileAction]:
    """The action by tag, for all attributes with a single tag."""
    return {group << 16 | element: action for action, tags in _ACTIONS for group, element, *rest in tags if not rest}


def profile_action(tag: int) -> ProfileAction | None:
    """The profile's action for *tag*; None where the profile does not name it.

    The whole groups of private attributes, curves (50xx) and overlays (60xx, with their text) are removed.
    """
    group = tag >> 16
    if group % 2 or group & 0xFF00 in (0x5000, 0x6000):
        return ProfileAction.REMOVE
    return profile_actions().get(tag)


_DIGITS: Final = 12  # 48 bits: a clinic has thousands of patients


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """New UIDs and patient names, made with the secret `key`."""

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """The UID that replaces *old* in every export: *old* if the standard defines it, else 2.25.… (PS3.5 B.2).

        An invalid UID is replaced by a valid one too.
        """
        plain = old.strip("\0 ")
        if not plain or plain in UID_dictionary:
            return plain
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', plain)[:16], version=4).int}"

    def patient(self, identity: str) -> str:
        """The new name of the patient *identity*; each gets another, so that no archive merges two patients."""
        return f"P-{self._digest('patient', identity).hex()[:_DIGITS].upper()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
