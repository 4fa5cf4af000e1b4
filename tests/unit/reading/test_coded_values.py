"""What an image says by codes in sequences counts as what it says in words, and more than its descriptions.

The codes are those of PS3.16: CID 4010 and 4011 (views), 4009 and Annex L (parts of the body), 19 and 20 (postures), 2
and 244 (sides); as SNOMED CT, and as SNOMED RT under its names through time (PS3.16 8).
"""

from __future__ import annotations

import io
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from firmware_app.core.records import Code, CodedFacts, EnteredFacts, Header
from firmware_app.dicom import body_part, view
from firmware_app.dicom.errors import CannotJudge
from firmware_app.dicom.header import examine_file
from firmware_app.dicom.view import complete_header
from firmware_app.packs.requirements import AgeRange, Route
from firmware_app.reading.errors import (
    BODY_PART_CONTRADICTED,
    BODY_PART_NOT_COVERED,
    SIDE_CONTRADICTED,
    VIEW_CONTRADICTED,
    VIEW_NOT_COVERED,
)
from firmware_app.reading.routing import PackCandidate, route
from tests import films, objects
from tests.refusals import raises_refusal

CHEST, HAND = ("51185008", "SCT", "Chest"), ("85562004", "SCT", "Hand")
PA, AP = ("272479007", "SCT", "postero-anterior"), ("399348003", "SCT", "antero-posterior")
LEFT_LATERAL, LAO = ("399173006", "SCT", "left lateral"), ("399135007", "SCT", "left anterior oblique")


def packs(part: str, modality: str = "CR", *views: str) -> list[PackCandidate]:
    values = {
        "modalities": [modality],
        "body_parts": [part],
        "views": list(views),
        "age_years": AgeRange(min=18, max=None),
        "population": "adult",
    }
    return [PackCandidate(part.lower(), Route.model_validate(values))]


FRONTAL_CHEST = packs("CHEST", "CR", "AP", "PA")


def make_code(value: str, scheme: str, meaning: str = "", **more: Any) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator = value, scheme
    if meaning:
        made.CodeMeaning = meaning
    for keyword, content in more.items():
        setattr(made, keyword, content)
    return made


def header_of(folder: Path, **attributes: Any) -> Header:
    return examine_file(films.save(folder, "film.dcm", films.film(**attributes))).header


def hints(header: Header, candidates: list[PackCandidate] = FRONTAL_CHEST) -> list[str]:
    """The hints of a film that is read; raises `CannotJudge` for one that is not."""
    return [hint.code for hint in route(header, candidates, "adult").hints]


# --- how the sequences are written ----------------------------------------------------------------------------------


def encode_film(syntax: UID, *, undefined: bool, **attributes: Any) -> bytes:
    made = films.film(pixel_data=bytes(16), Rows=1, Columns=8, **attributes)
    for element in made.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    made.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        made["PixelData"].VR = "OB"
    file = io.BytesIO()
    dcmwrite(file, made, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, overwrite=False)
    return file.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("undefined", [False, True])
def test_codes_are_read_however_their_sequences_are_written(tmp_path: Path, syntax: UID, undefined: bool) -> None:
    modified = make_code(
        *AP, ViewModifierCodeSequence=[make_code("399196006", "SCT", "cephalad"), make_code("1", "99A", "grid")]
    )
    path = tmp_path / "film.dcm"
    path.write_bytes(
        encode_film(
            syntax,
            undefined=undefined,
            ViewCodeSequence=[modified, make_code(*PA)],
            PrimaryAnatomicStructureSequence=[],
            AnatomicRegionSequence=[
                make_code(
                    "T-D3000", "SRT", "Chest", AnatomicRegionModifierSequence=[make_code("7771000", "SCT", "Left")]
                )
            ],
        )
    )
    expected = CodedFacts(
        views=(Code(*AP), Code(*PA)),
        view_modifiers=(Code("399196006", "SCT", "cephalad"), Code("1", "99A", "grid")),
        regions=(Code("T-D3000", "SRT", "Chest"),),
        sides=("L",),
    )
    assert examine_file(path).header.coded == expected


def test_codes_in_the_functional_groups_of_an_enhanced_object_are_read(tmp_path: Path) -> None:
    anatomy, shared, of_frame = Dataset(), Dataset(), Dataset()
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = "R", [make_code(*HAND)]
    of_frame.FrameAnatomySequence = [anatomy]
    shared.FrameAnatomySequence = [anatomy]
    for groups in ({"SharedFunctionalGroupsSequence": [shared]}, {"PerFrameFunctionalGroupsSequence": [of_frame] * 3}):
        header = header_of(tmp_path, **groups)
        assert (header.coded.regions, header.coded.sides) == ((Code(*HAND),), ("R",))


def test_a_code_whose_vr_a_router_did_not_know_is_read(tmp_path: Path) -> None:
    implicit = b"".join(
        objects.element(tag, vr, value, syntax=objects.IMPLICIT)
        for tag, vr, value in (
            (0x00080100, b"SH", b"T-D8700"),
            (0x00080102, b"SH", b"SRT"),
            (0x00080104, b"LO", b"Hand"),
        )
    )
    path = tmp_path / "film.dcm"
    path.write_bytes(objects.file_of(objects.film(extra=objects.element(0x00540220, b"UN", objects.item(implicit)))))
    assert examine_file(path).header.coded.views == (Code("T-D8700", "SRT", "Hand"),)


@pytest.mark.parametrize(
    "content",
    [
        b"\xfe\xff\x00\xe0" + b"\xff" * 12,
        pack("<HHL", 0xFFFE, 0xE000, 8) + pack("<HHL", 0x0008, 0x0100, 9999),
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00abcd",
    ],
)
def test_a_value_that_only_its_tag_makes_a_sequence_does_not_refuse_an_object(tmp_path: Path, content: bytes) -> None:
    value = objects.element(0x00082218, b"SQ", content, syntax=objects.IMPLICIT)
    after = objects.element(0x00400254, b"LO", b"Chest", syntax=objects.IMPLICIT)
    path = tmp_path / "film.dcm"
    path.write_bytes(objects.file_of(objects.film(syntax=objects.IMPLICIT, extra=value + after), objects.IMPLICIT))
    assert examine_file(path).header.study_words == ("Chest",)


def test_a_code_is_in_the_character_set_of_its_item(tmp_path: Path) -> None:
    meant = objects.element(0x00080005, b"CS", b"GB18030") + objects.element(
        0x00080104, b"LO", "胸部".encode("gb18030")
    )
    path = tmp_path / "film.dcm"
    path.write_bytes(
        objects.file_of(
            objects.element(0x00080005, b"CS", b"ISO_IR 192")
            + objects.sequence(0x00082218, objects.item(meant))
            + objects.film()
        )
    )
    assert examine_file(path).header.coded.regions == (Code("", "", "胸部"),)


# --- the part of the body -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "scheme"), [("T-D3000", "SRT"), ("T-D3000", "99SDM"), ("51185008", "SCT"), ("T-28000", "SRT")]
)
def test_a_film_whose_only_part_is_a_code_for_the_chest_is_read(tmp_path: Path, value: str, scheme: str) -> None:
    for meaning in ("", "Chest", "x"):
        region = [make_code(value, scheme, meaning)]
        assert hints(header_of(tmp_path, BodyPartExamined=None, AnatomicRegionSequence=region)) == []
        assert hints(header_of(tmp_path, BodyPartExamined=None, PrimaryAnatomicStructureSequence=region)) == []


@pytest.mark.parametrize(
    "code",
    [
        HAND,
        ("T-D8700", "SRT", "Hand"),
        ("122495006", "SCT", "Thoracic spine"),
        ("416550000", "SCT", "Chest and Abdomen"),
    ],
)
def test_words_of_the_chest_do_not_make_a_chest_of_another_part(tmp_path: Path, code: tuple[str, str, str]) -> None:
    said = {"StudyDescription": "Chest", "SeriesDescription": "Chest PA", "ProtocolName": "Chest"}
    header = header_of(tmp_path, BodyPartExamined=None, AnatomicRegionSequence=[make_code(*code)], **said)
    with raises_refusal(BODY_PART_NOT_COVERED):
        hints(header)


@pytest.mark.parametrize(
    "region", [HAND, ("113197003", "SCT", "Rib"), ("85562004", "SCT", "Chest"), ("1", "99X", "Hand")]
)
def test_a_code_that_contradicts_the_word_gives_no_number(tmp_path: Path, region: tuple[str, str, str]) -> None:
    header = header_of(tmp_path, BodyPartExamined="CHEST", AnatomicRegionSequence=[make_code(*region)])
    with raises_refusal(BODY_PART_CONTRADICTED):
        hints(header)
    with raises_refusal(BODY_PART_CONTRADICTED):
        route(header, FRONTAL_CHEST, "adult", forced="chest")
    opposite = header_of(tmp_path, BodyPartExamined="HAND", AnatomicRegionSequence=[make_code(*CHEST)])
    with raises_refusal(BODY_PART_CONTRADICTED):
        hints(opposite)
    assert body_part.find_body_part(header) is None


def test_a_code_whose_meaning_in_the_header_is_another_gives_no_number(tmp_path: Path) -> None:
    with raises_refusal(BODY_PART_CONTRADICTED):
        hints(header_of(tmp_path, BodyPartExamined=None, AnatomicRegionSequence=[make_code("51185008", "SCT", "Hand")]))


def test_an_organ_in_its_region_is_no_contradiction(tmp_path: Path) -> None:
    liver, breast = ("10200004", "SCT", "Liver"), ("T-04000", "SRT", "Breast")
    abdomen = [make_code("T-D4000", "SRT", "Abdomen")]
    header = header_of(
        tmp_path,
        Modality="US",
        BodyPartExamined="LIVER",
        ViewPosition=None,
        AnatomicRegionSequence=abdomen,
        PrimaryAnatomicStructureSequence=[make_code(*liver)],
    )
    assert hints(header, packs("LIVER", "US")) == []
    header = header_of(tmp_path, AnatomicRegionSequence=[make_code(*breast)])
    with raises_refusal(BODY_PART_NOT_COVERED):  # a breast is no chest film, although it is of the chest
        hints(header)


# --- the view -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "scheme", "expected"),
    [("272479007", "SCT", "PA"), ("R-40888", "SRT", "PA"), ("399348003", "SCT", "AP"), ("R-10202", "99SDM", "FRONTAL")],
)
def test_a_frontal_view_code_is_a_view_and_nothing_is_assumed(
    tmp_path: Path, value: str, scheme: str, expected: str
) -> None:
    for position in (None, expected if expected != "FRONTAL" else "PA"):
        header = header_of(tmp_path, ViewPosition=position, ViewCodeSequence=[make_code(value, scheme)])
        assert hints(header) == []
        assert view.find_view(header) == (position or expected)


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("399173006", "SCT"),
        ("R-10232", "SNM3"),
        ("399135007", "SCT"),
        ("399312000", "SCT"),
        ("102536004", "SCT"),
        ("X17", "99VENDOR"),
    ],
)
def test_a_view_code_that_is_not_frontal_gives_no_number(tmp_path: Path, value: str, scheme: str) -> None:
    code = [make_code(value, scheme)]
    with raises_refusal(VIEW_NOT_COVERED):
        hints(header_of(tmp_path, ViewPosition=None, ViewCodeSequence=code))
    with raises_refusal(VIEW_NOT_COVERED):
        hints(header_of(tmp_path, ViewPosition=None, ViewCodeSequence=code, SeriesDescription="Chest PA"))
    if scheme != "99VENDOR":  # what nobody knows contradicts nothing
        with raises_refusal(VIEW_CONTRADICTED):
            hints(header_of(tmp_path, ViewPosition="PA", ViewCodeSequence=code))


@pytest.mark.parametrize("meaning", ["Left lateral", "L decubitus", "左侧位"])
def test_the_meaning_of_a_code_of_another_scheme_counts(tmp_path: Path, meaning: str) -> None:
    made = {"SpecificCharacterSet": "ISO_IR 192", "ViewCodeSequence": [make_code("V1", "99VENDOR", meaning)]}
    with raises_refusal(VIEW_NOT_COVERED):
        hints(header_of(tmp_path, ViewPosition=None, **made))
    assert (
        hints(header_of(tmp_path, ViewPosition=None, ViewCodeSequence=[make_code("V2", "99VENDOR", "PA erect")])) == []
    )


@pytest.mark.parametrize("codes", [(PA, LEFT_LATERAL), (PA, AP), (("272479007", "SCT", "Left lateral"),)])
def test_view_codes_that_contradict_each_other_give_no_number(tmp_path: Path, codes: tuple[Any, ...]) -> None:
    with raises_refusal(VIEW_CONTRADICTED):
        hints(header_of(tmp_path, ViewPosition=None, ViewCodeSequence=[make_code(*code) for code in codes]))


@pytest.mark.parametrize("modifier", [("260450008", "SCT"), ("R-40799", "SRT"), ("111069", "DCM")])
def test_a_modifier_makes_another_view_of_a_frontal_one(tmp_path: Path, modifier: tuple[str, str]) -> None:
    modified = make_code(*AP, ViewModifierCodeSequence=[make_code(*modifier)])
    with pytest.raises(CannotJudge):
        hints(header_of(tmp_path, ViewPosition=None, ViewCodeSequence=[modified]))
    erect = make_code(*AP, ViewModifierCodeSequence=[make_code("C86043", "NCIt", "erect")])
    assert hints(header_of(tmp_path, ViewPosition=None, ViewCodeSequence=[erect])) == []


def lying(*modifier: str) -> dict[str, Any]:
    posture = make_code("102538003", "SCT", "recumbent", PatientOrientationModifierCodeSequence=[make_code(*modifier)])
    return {"PatientOrientationCodeSequence": [posture]}


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientPosition": "HFDL"},
        lying("F-10317", "SRT", "right lateral decubitus"),
        {"PositionerType": "CARM", "PositionerPrimaryAngle": "45"},
    ],
)
def test_a_posture_or_a_beam_that_makes_no_frontal_film_gives_no_number(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    for position in (None, "AP"):
        with raises_refusal(VIEW_NOT_COVERED):
            hints(header_of(tmp_path, ViewPosition=position, **attributes))


# --- words, the last resort -----------------------------------------------------------------------------------------

REQUEST = Dataset()
REQUEST.RequestedProcedureDescription = "Thorax PA"
STEP = Dataset()
STEP.ScheduledProcedureStepDescription = "CHEST PA"
WORDS: list[dict[str, Any]] = [
    {"ProtocolName": "Chest PA"},
    {"AcquisitionDeviceProcessingDescription": "CHEST,PA"},
    {"AcquisitionDeviceProcessingCode": "CHEST PA"},
    {"PerformedProcedureStepDescription": "Chest PA"},
    {"RequestedProcedureDescription": "Chest PA"},
    {"RequestAttributesSequence": [REQUEST]},
    {"RequestAttributesSequence": [STEP]},
    {"ProcedureCodeSequence": [make_code("24648-8", "LN", "Chest PA")]},
    {"RequestedProcedureCodeSequence": [make_code("24648-8", "LN", "Chest PA")]},
    {"PerformedProtocolCodeSequence": [make_code("P1", "99X", "Chest PA")]},
]


@pytest.mark.parametrize("said", WORDS)
def test_words_count_where_neither_attribute_nor_code_says(tmp_path: Path, said: dict[str, Any]) -> None:
    silent = {"BodyPartExamined": None, "ViewPosition": None}
    assert hints(header_of(tmp_path, **silent, **said)) == ["hint.body_part_from_text"]
    with raises_refusal(BODY_PART_NOT_COVERED):
        hints(header_of(tmp_path, **{**said, "BodyPartExamined": None, "AnatomicRegionSequence": [make_code(*HAND)]}))
    with raises_refusal(VIEW_NOT_COVERED):
        hints(header_of(tmp_path, **{**said, "ViewPosition": None, "ViewCodeSequence": [make_code(*LAO)]}))


# --- the side, and what a person says -------------------------------------------------------------------------------


LEFT_CHEST = make_code(*CHEST, AnatomicRegionModifierSequence=[make_code("G-A101", "SRT", "Left")])
RIGHT_CHEST = make_code(*CHEST, AnatomicRegionModifierSequence=[make_code("24028007", "SCT", "Right")])


@pytest.mark.parametrize(
    "attributes",
    [
        {"Laterality": "L", "ImageLaterality": "R"},
        {"ImageLaterality": "R", "AnatomicRegionSequence": [LEFT_CHEST]},
        {"Laterality": "L", "AnatomicRegionSequence": [RIGHT_CHEST]},
    ],
)
def test_sides_that_contradict_each_other_give_no_number(tmp_path: Path, attributes: dict[str, Any]) -> None:
    with raises_refusal(SIDE_CONTRADICTED):
        hints(header_of(tmp_path, **attributes))


def test_a_person_decides_where_the_header_contradicts_itself(tmp_path: Path) -> None:
    header = header_of(tmp_path, AnatomicRegionSequence=[make_code(*HAND)], ViewCodeSequence=[make_code(*LEFT_LATERAL)])
    said = complete_header(header, EnteredFacts(body_part="CHEST", view="FRONTAL"))
    assert (body_part.find_body_part(said), view.find_view(said)) == ("CHEST", "FRONTAL")
    clear = header_of(tmp_path, BodyPartExamined=None, AnatomicRegionSequence=[make_code(*HAND)])
    assert complete_header(clear, EnteredFacts(body_part="CHEST")) == clear
