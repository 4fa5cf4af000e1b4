"""What stays of the attributes that the profile's table does not name: numbers, known words, known codes.

PS3.15 allows removing more than its table requires, and people may type patient data into any text field.  So text
stays only if `kept.toml` lists it for its attribute, or if it is a code of the standard's context groups.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any, Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

NUMBERS: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
DECIMALS: Final = frozenset({"DS", "IS"})
_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LONGEST_DECIMAL: Final = 16
# Look-up tables: their bytes are greys and colours.
TABLES: Final = frozenset(
    Tag(keyword)
    for keyword in (
        "LUTData",
        *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
        *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
    )
)
TABLE_VRS: Final = frozenset({"OW", "OB", "US", "SS"})
EMPTIED: Final = frozenset(Tag(keyword) for keyword in ("Manufacturer", "PatientOrientation", "Laterality"))
"""Type 2 attributes of the common image modules: they stay without a value where the value may not stay."""
_IN_PLACES: Final = frozenset({Tag("PatientOrientation")})  # rows first, columns second
_CODE: Final = (Tag("CodeValue"), Tag("LongCodeValue"), Tag("URNCodeValue"), Tag("CodeMeaning"))


@cache
def words() -> dict[BaseTag, frozenset[str]]:
    """The allowed text values, by tag."""
    text = resources.files(__package__).joinpath("kept.toml").read_text("utf-8")
    return {Tag(keyword): frozenset(values) for keyword, values in tomllib.loads(text).items()}


def known_words(tag: BaseTag, values: list[str]) -> list[str]:
    """The allowed ones of *values*; all or none where their position has a meaning (`_IN_PLACES`).

    In Image Type, a value that may not stay becomes OTHER, and numbers of at most four digits stay: ultrasound writes
    its mode so (PS3.3 C.8.5.6.1.1).
    """
    allowed = words().get(tag, frozenset())
    if keyword_for_tag(tag) == "ImageType":
        return [one if one in allowed or re.fullmatch(r"\d{1,4}", one) else "OTHER" for one in values]
    known = [one for one in values if one in allowed]
    return known if len(known) == len(values) or tag not in _IN_PLACES else []


def decimals(values: list[str]) -> list[str] | None:
    """*values* if all of them are numbers, else None."""
    fits = all(one == "" or (len(one) <= _LONGEST_DECIMAL and _DECIMAL.fullmatch(one)) for one in values)
    return values if fits else None


def finite(values: list[Any]) -> bool:
    """Whether these are numbers and nothing else."""
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)


def is_code(item: Dataset) -> bool:
    """Whether a sequence's *item* is a coded concept (PS3.3 8.8)."""
    return any(tag in item for tag in _CODE)


def code(item: Dataset) -> Dataset | None:
    """A copy of the concept with the standard's meaning text; None for a code that the standard does not have."""
    scheme, value = str(item.get("CodingSchemeDesignator") or "").strip(), str(item.get("CodeValue") or "").strip()
    meaning = _concepts().get((scheme, value))
    if meaning is None or not meaning.isascii():
        return None
    again = Dataset()
    again.CodeValue, again.CodingSchemeDesignator, again.CodeMeaning = value, scheme, meaning[:64]
    return again


@cache
def _concepts() -> dict[tuple[str, str], str]:
    """(scheme, code) -> meaning, of the context groups of PS3.16 that pydicom ships."""
    from pydicom.sr.codedict import codes

    meanings: dict[tuple[str, str], str] = {}
    for scheme in codes.schemes():
        collection = getattr(codes, scheme)
        for name in collection.dir():
            concept = getattr(collection, name)
            meanings[str(concept.scheme_designator), str(concept.value)] = str(concept.meaning)
    return meanings
