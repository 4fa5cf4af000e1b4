"""De-identifies the data set of an object: the profile is applied to every attribute at every depth, except pixels."""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from firmware_app.imaging.deidentify import kept, numbers, profile
from firmware_app.imaging.deidentify.profile import Action
from firmware_app.imaging.deidentify.uids import Identities
from firmware_app.imaging.source import BROKEN

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


def cleaned(header: Dataset, identities: Identities) -> Dataset:
    """A new data set with what may stay of *header*, without pixels and file meta information.

    *header* is not changed.  Patient's Name and Patient ID get the same new value.  Unreadable attributes are removed.
    """
    kept_data = _walked(header, identities, 0)
    numbers.drop_half_greys(header, kept_data)
    name = identities.patient(_patient(header))
    for tag in _PATIENT:
        kept_data[tag] = DataElement(tag, dictionary_VR(tag), name)
    kept_data.PatientIdentityRemoved = "YES"
    kept_data.LongitudinalTemporalInformationModified = "REMOVED"
    return kept_data


def _patient(header: Dataset) -> str:
    """What identifies the patient: the patient id, else the study."""
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID"):
        text = _text(header, keyword)
        if text:
            return f"{keyword}\0{text}"
    return ""


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip("\0 ")
    except BROKEN:
        return ""


def _walked(data: Dataset, identities: Identities, depth: int) -> Dataset:
    result = Dataset()
    for tag in data.keys():  # noqa: SIM118 - iterating the data set itself would decode every value
        try:
            element = _element(data, tag, identities, depth)
        except BROKEN:  # it cannot be checked, so it is removed
            element = None
        if element is not None:
            result[tag] = element
    return result


def _element(data: Dataset, tag: BaseTag, identities: Identities, depth: int) -> DataElement | None:
    todo = profile.action(tag)
    if todo is Action.REMOVE or not dictionary_has_tag(tag) or tag.group in (*range(8), _PIXELS):
        return None
    vr = dictionary_VR(tag)
    if todo is Action.EMPTY:
        return DataElement(tag, vr, Sequence() if vr == "SQ" else None)
    if todo is Action.DUMMY and vr != "UI":
        return DataElement(tag, vr, Sequence([Dataset()]) if vr == "SQ" else _DUMMIES[vr])
    if vr == "SQ":
        return _sequence(data[tag], identities, depth)
    if vr == "UI":
        old = _values(data[tag].value)
        return DataElement(tag, vr, _joined([identities.uid(str(one)) for one in old]))
    if vr in kept.DECIMALS and tag not in kept.words() and tag not in kept.EMPTIED:
        texts = numbers.written(data, tag, vr)
        return DataElement(tag, vr, _joined(texts)) if texts is not None else None
    return _stays(data[tag], vr)


def _sequence(element: DataElement, identities: Identities, depth: int) -> DataElement | None:
    if depth >= DEEPEST or element.VR != "SQ":
        return None
    items: list[Dataset] = []
    for item in element.value:
        again = kept.code(item) if kept.is_code(item) else _walked(item, identities, depth + 1)
        if again is not None:
            items.append(again)
    return DataElement(element.tag, "SQ", Sequence(items))


def _stays(element: DataElement, vr: str) -> DataElement | None:
    """The attribute, which the profile does not name, if it is a number, a look-up table or a known word; else None."""
    tag, values = element.tag, _values(element.value)
    if tag in kept.words():
        known = kept.known_words(tag, [str(one).strip() for one in values])
        return DataElement(tag, vr, _joined(known)) if known or tag in kept.EMPTIED else None
    if tag in kept.EMPTIED:
        return DataElement(tag, vr, None)
    if tag in kept.TABLES:
        return _table(element, values)
    if element.VR in kept.NUMBERS and element.VR in vr.split(" or ") and kept.finite(values):
        return DataElement(tag, element.VR, element.value)
    return None


def _table(element: DataElement, values: list[Any]) -> DataElement | None:
    """A look-up table's entries, as words or as bytes."""
    whole = isinstance(element.value, bytes) or kept.finite(values)
    return DataElement(element.tag, element.VR, element.value) if whole and element.VR in kept.TABLE_VRS else None


def _values(value: Any) -> list[Any]:
    if value is None or value == "" or value == b"":
        return []
    return list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]


def _joined(values: Several[str]) -> Any:
    """The values in the form that pydicom expects: empty, a single value or a list."""
    return None if not values else values[0] if len(values) == 1 else list(values)
