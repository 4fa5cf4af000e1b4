"""QIDO-RS (PS3.18 10.6): studies, series and instances of the results that the box offers.

Keys are keywords or tags; how they match is in `dicom.query_keys`.  A key of any level is looked for in each
object, which holds the attributes of its series, study and patient too; an object without the attribute does not match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

from firmware_app.dicom import query_keys
from firmware_app.dicom.dicomweb import OfferedResult
from firmware_app.dicom.query_keys import InvalidQuery, Matcher

MOST_ANSWERS: Final = 500
_PAGING: Final = (
    "limit",
    "offset",
    "includefield",
    "fuzzymatching",
    "emptyvaluematching",
    "multiplevaluematching",
    "accept",
    "charset",
)
_MODALITIES: Final = "00080061"


class Level(StrEnum):
    """What is searched for."""

    STUDY = "studies"
    SERIES = "series"
    INSTANCE = "instances"

    def make_key(self, one: OfferedResult) -> tuple[str, str]:
        """By what *one* counts at this level: its case, since a study may be of several patients, and its UID."""
        uids = {"studies": one.study_uid, "series": one.series_uid, "instances": one.sop_instance_uid}
        return one.case, uids[self]


# PS3.18 Tables 10.6.3-3 to 10.6.3-5, of what our objects hold.
_RETURNED: Final[Mapping[Level, tuple[str, ...]]] = {
    Level.STUDY: (
        "00080020",
        "00080030",
        "00080050",
        "00080090",
        "00080201",
        "00081030",
        "00100010",
        "00100020",
        "00100021",
        "00100030",
        "00100040",
        "0020000D",
        "00200010",
    ),
    Level.SERIES: ("00080060", "0008103E", "0020000E", "00200011"),
    Level.INSTANCE: (
        "00080016",
        "00080018",
        "00080023",
        "00080033",
        "00200013",
        "00280008",
        "00280010",
        "00280011",
        "00280100",
        "00420010",
        "0040A491",
        "0040A493",
    ),
}


@dataclass(frozen=True, slots=True)
class Query:
    """The keys of a search by tag, the attributes asked for beside the usual ones, and the page of the answer."""

    keys: Mapping[str, Matcher]
    included: frozenset[str] | None
    """None: every one."""
    limit: int
    offset: int


def parse_query(arguments: Iterable[tuple[str, str]]) -> Query:
    """The query in the parameters of an address; raises `InvalidQuery`."""
    keys: dict[str, list[str]] = {}
    paging: dict[str, str] = {}
    included: list[str] = []
    for name, value in arguments:
        if name == "includefield":
            included += value.split(",")
        elif name in _PAGING:
            paging[name] = value
        else:
            keys.setdefault(_parse_tag(name), []).append(value)
    try:
        limit, offset = (int(paging.get(name, default)) for name, default in (("limit", MOST_ANSWERS), ("offset", 0)))
    except ValueError:
        raise InvalidQuery("limit and offset are numbers.") from None
    if limit < 0 or offset < 0:
        raise InvalidQuery("limit and offset are not negative.")
    fields = None if "all" in included else frozenset(_parse_tag(one) for one in included if one)
    matchers = {tag: _matcher_of_tag(tag, values) for tag, values in keys.items() if any(values)}
    return Query(matchers, fields, min(limit, MOST_ANSWERS), offset)


def _matcher_of_tag(tag: str, values: Sequence[str]) -> Matcher:
    """What decides on a key of the values that an address gives for it; UIDs and codes may have commas between them
    (PS3.18 8.3.4.1; codes have none).  Raises `InvalidQuery`."""
    vr = dictionary_VR(int(tag, 16)) if dictionary_has_tag(int(tag, 16)) else "LO"
    if vr == "SQ":
        raise InvalidQuery(f"{tag} is a sequence, which is not matched.")
    wanted = "\\".join(values)
    try:
        return query_keys.create_matcher(vr, wanted.replace(",", "\\") if vr in ("CS", "UI") else wanted)
    except InvalidQuery as error:
        raise InvalidQuery(f"{tag}: {error}") from None


def _parse_tag(name: str) -> str:
    """The tag of an attribute by keyword or by its eight digits; raises `InvalidQuery`."""
    if len(name) == 8 and all(digit in "0123456789abcdefABCDEF" for digit in name):
        return name.upper()
    tag = tag_for_keyword(name)
    if tag is None:
        raise InvalidQuery("A parameter is neither the keyword nor the tag of an attribute.")
    return f"{tag:08X}"


def find_answers(
    query: Query, level: Level, offered: Sequence[OfferedResult], told: Sequence[Level], root: str
) -> tuple[list[dict[str, Any]], bool]:
    """The data sets that answer *query* at *level*, with the attributes of the levels *told*; whether there are more.

    A study of several patients is told once for each.

    *offered*: every object of the studies concerned.  *root*: the address of the service.
    """
    modalities: dict[str, list[str]] = {}  # by case: of what one patient has in a study
    for offered_result in offered:
        known = modalities.setdefault(offered_result.case, [])
        known.extend(value for value in _texts(offered_result.attributes, "00080060") if value not in known)
    found: dict[tuple[str, str], OfferedResult] = {}
    for offered_result in offered:
        if level.make_key(offered_result) not in found and _matches(
            query, offered_result, modalities[offered_result.case]
        ):
            found[level.make_key(offered_result)] = offered_result
    page = list(found.values())[query.offset : query.offset + query.limit]
    made = [
        _build_answer(
            query,
            level,
            offered_result,
            offered=offered,
            told=told,
            modalities=modalities[offered_result.case],
            root=root,
        )
        for offered_result in page
    ]
    return made, len(found) > query.offset + len(page)


def _matches(query: Query, one: OfferedResult, modalities: Sequence[str]) -> bool:
    return all(
        any(fits(value) for value in (modalities if tag == _MODALITIES else _texts(one.attributes, tag)) or ("",))
        for tag, fits in query.keys.items()
    )


def _texts(attributes: Mapping[str, Any], tag: str) -> list[str]:
    """The values of an attribute as texts; the groups of a name joined as in PS3.5 6.2.1."""
    values = attributes.get(tag, {}).get("Value", ())
    return [
        "=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic"))
        if isinstance(value, dict)
        else str(value)
        for value in values
    ]


def _build_answer(
    query: Query,
    level: Level,
    one: OfferedResult,
    offered: Sequence[OfferedResult],
    told: Sequence[Level],
    modalities: Sequence[str],
    root: str,
) -> dict[str, Any]:
    tags = {tag for of in told for tag in _RETURNED[of]} | {"00080005"}
    made = {
        tag: value
        for tag, value in one.attributes.items()
        if tag in tags or query.included is None or tag in query.included
    }
    made["00080056"] = _value("CS", "ONLINE")
    made["00081190"] = _value("UR", resource_url(root, one, level))
    related = [other for other in offered if other.case == one.case]
    if Level.STUDY in told:
        made[_MODALITIES] = _value("CS", *modalities)
        made["00201206"] = _value("IS", len({other.series_uid for other in related}))
        made["00201208"] = _value("IS", len(related))
    if Level.SERIES in told:
        made["00201209"] = _value("IS", sum(other.series_uid == one.series_uid for other in related))
    return dict(sorted(made.items()))


def _value(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def resource_url(root: str, one: OfferedResult, level: Level = Level.INSTANCE) -> str:
    """Where *one*, or its series or study, is fetched (PS3.18 10.4.1)."""
    parts = [("studies", one.study_uid), ("series", one.series_uid), ("instances", one.sop_instance_uid)]
    deep = list(Level).index(level) + 1
    return root + "".join(f"/{name}/{uid}" for name, uid in parts[:deep])
