"""Which pack may read an image: what it was not made for is refused with the reason, what is assumed is said."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.core.records import Header
from firmware_app.dicom.errors import AgeUnknown, CannotJudge
from firmware_app.dicom.header import examine_file
from firmware_app.imaging.errors import NoPixels
from firmware_app.packs.requirements import AgeRange, Route
from firmware_app.reading.errors import (
    AGE_OUTSIDE,
    AGE_UNCLEAR,
    BODY_PART_NOT_COVERED,
    BODY_PART_UNKNOWN,
    FOR_PROCESSING,
    MODALITY_NOT_COVERED,
    MODALITY_UNKNOWN,
    VIEW_NOT_COVERED,
    VIEW_UNCLEAR,
)
from firmware_app.reading.routing import PackCandidate, Population, RoutingDecision, route
from tests import films
from tests.refusals import Expected, raises_refusal


def rule(population: str, low: int | None, high: int | None) -> Route:
    return Route.model_validate(
        {
            "modalities": ["CR", "DX"],
            "body_parts": ["CHEST"],
            "views": ["AP", "PA"],
            "age_years": AgeRange(min=low, max=high),
            "population": population,
        }
    )


PACKS = (PackCandidate("adult", rule("adult", 18, None)), PackCandidate("child", rule("children", 1, 5)))
FILM = Header(
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.3",
    "1.2.4",
    "1.2.5",
    "1.2.840.10008.1.2.1",
    modality="CR",
    body_part="CHEST",
    view_position="PA",
    patient_age="045Y",
    has_pixels=True,
)


def route_image(header: Header | None = FILM, usual: Population = "ask", forced: str | None = None) -> RoutingDecision:
    return route(header, PACKS, usual, forced)


def test_a_film_that_states_no_view_is_a_frontal_one_whichever_pack_stands_first() -> None:
    lateral = PACKS[0].rule.model_copy(update={"views": ("LATERAL",)})  # type: ignore[attr-defined]
    actual = route(replace(FILM, view_position=None), (PackCandidate("a-lateral", lateral), *PACKS), "ask")
    assert (actual.pack, codes(actual)) == ("adult", ["hint.view_assumed"])
    from_the_side = replace(FILM, view_position="LL")
    assert route(from_the_side, (*PACKS, PackCandidate("lateral", lateral)), "ask").pack == "lateral"


def codes(actual: RoutingDecision) -> list[str]:
    return [hint.code for hint in actual.hints]


def test_an_adult_film_goes_to_the_adult_pack_and_a_childs_to_the_childs() -> None:
    assert route_image() == RoutingDecision("adult", ())
    assert route_image(replace(FILM, patient_age="003Y")) == RoutingDecision("child", ())
    assert route_image(replace(FILM, patient_age=None, birth_date="20230101", study_date="20260101")).pack == "child"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"modality": "CT"}, MODALITY_NOT_COVERED),
        ({"modality": None}, MODALITY_UNKNOWN),
        ({"body_part": "ABDOMEN"}, BODY_PART_NOT_COVERED),
        ({"body_part": None}, BODY_PART_UNKNOWN),
        ({"view_position": "LL"}, VIEW_NOT_COVERED),
        ({"view_position": None, "series_description": "胸部侧位"}, VIEW_NOT_COVERED),
        ({"patient_age": "017Y"}, AGE_OUTSIDE),
        ({"patient_age": None}, AgeUnknown),
        ({"patient_age": "999Y"}, AGE_UNCLEAR),
        ({"birth_date": "20230101", "study_date": "20260101"}, AGE_UNCLEAR),
        ({"presentation_intent": "FOR PROCESSING"}, FOR_PROCESSING),
        ({"modality": "DX", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1.1"}, FOR_PROCESSING),
        ({"has_pixels": False}, NoPixels),
    ],
)
def test_what_no_pack_was_made_for_is_refused_with_the_reason(change: dict[str, object], error: Expected) -> None:
    with raises_refusal(error):
        route_image(replace(FILM, **change))  # type: ignore[arg-type]


def test_what_the_door_reads_of_a_file_is_what_routing_asks_for(tmp_path: Path) -> None:
    raw = films.film(PresentationIntentType="FOR PROCESSING", PatientOrientation=["A", "F"])
    header = examine_file(films.save(tmp_path, "raw.dcm", raw)).header
    assert (header.presentation_intent, header.patient_orientation) == ("FOR PROCESSING", "A\\F")
    with raises_refusal(FOR_PROCESSING):
        route_image(header)
    with raises_refusal(VIEW_NOT_COVERED):
        route_image(replace(header, presentation_intent="FOR PRESENTATION"))


def test_an_unknown_age_is_what_the_clinic_said_its_patients_are_and_a_hint_says_so() -> None:
    unknown = replace(FILM, patient_age=None)
    adult, child = route_image(unknown, "adult"), route_image(unknown, "children")
    assert (adult.pack, codes(adult)) == ("adult", ["hint.age_assumed_adult"])
    assert (child.pack, codes(child)) == ("child", ["hint.age_assumed_child"])
    assert "this clinic sees mostly adults" in adult.hints[0].text("en")
    assert "adult" in adult.hints[0].text("en")


@pytest.mark.parametrize("position", ["PA", "AP", "A.P.", "AP SUPINE", "AP_PORTABLE", "正位"])
def test_a_frontal_film_is_read_however_it_is_written(position: str) -> None:
    film = replace(FILM, view_position=position, series_description="CHEST PA AND LATERAL")
    for orientation in (None, "", "L\\F", "LF\\FL", "H\\L"):
        assert codes(route_image(replace(film, patient_orientation=orientation))) == [], orientation


@pytest.mark.parametrize(
    ("orientation", "mirrored"), [("R\\F", True), ("RF\\FR", True), ("L\\H", True), ("R\\H", False)]
)
def test_a_film_whose_rows_run_to_the_right_is_said_to_be_mirrored(orientation: str, mirrored: bool) -> None:
    actual = codes(route_image(replace(FILM, patient_orientation=orientation)))
    assert actual == (["hint.mirrored"] if mirrored else [])


MANGLED = "侧位".encode("gbk").decode("latin-1")


@pytest.mark.parametrize("position", ["LATERAL", "LLO", "AP_AXIAL", "左侧位", MANGLED, "UNKNOWN"])
def test_a_view_that_is_stated_and_not_understood_is_no_frontal_film(position: str) -> None:
    for forced in (None, "adult"):
        with raises_refusal(VIEW_NOT_COVERED) as refused:
            route_image(replace(FILM, view_position=position), forced=forced)
        assert refused.value.view


@pytest.mark.parametrize("orientation", ["A\\F", "PR\\F"])
@pytest.mark.parametrize("position", [None, "PA"])
def test_rows_that_run_from_front_to_back_are_a_lateral_film(orientation: str, position: str | None) -> None:
    with raises_refusal(VIEW_NOT_COVERED):
        route_image(replace(FILM, view_position=position, patient_orientation=orientation))


@pytest.mark.parametrize(
    "words",
    [
        "Chest LAT",
        "Thorax de profil",
        "胸部侧位",
        "胸部斜位",
        "胸部侧位".encode("gbk").decode("latin-1"),
        "L DECUBITUS",
    ],
)
def test_words_that_name_another_view_are_believed(words: str) -> None:
    silent = replace(FILM, view_position=None)
    for said in (replace(silent, series_description=words), replace(silent, study_description=words)):
        with raises_refusal(VIEW_NOT_COVERED):
            route_image(said)
    with raises_refusal(VIEW_NOT_COVERED):  # many consoles write PA whatever was taken
        route_image(replace(FILM, series_description=words))


@pytest.mark.parametrize("words", ["CHEST PA AND LATERAL", "Chest PA/LAT", "CXR 2 VIEWS", "胸部正侧位"])
def test_words_that_name_two_views_are_no_answer_unless_the_film_or_a_person_gives_one(words: str) -> None:
    silent = replace(FILM, view_position=None)
    for said in (replace(silent, series_description=words), replace(silent, study_description=words)):
        with raises_refusal(VIEW_UNCLEAR):
            route_image(said)
        assert codes(route_image(said, forced="adult")) == ["hint.pack_forced"]
        assert codes(route_image(replace(said, view_position="PA"))) == []
    assert codes(route_image(replace(silent, series_description="Chest PA", study_description=words))) == []


@pytest.mark.parametrize("words", ["Chest PA", "CXR A.P.", "胸部正位"])
def test_words_that_name_a_frontal_view_leave_nothing_to_assume(words: str) -> None:
    assert codes(route_image(replace(FILM, view_position=None, series_description=words))) == []


@pytest.mark.parametrize("text", ["Chest PA", "胸部正位", "床头胸片", "chest_2views"])
def test_the_part_of_the_body_may_come_from_the_words_of_the_examination(text: str) -> None:
    actual = route_image(replace(FILM, body_part=None, study_description=text))
    assert (actual.pack, codes(actual)) == ("adult", ["hint.body_part_from_text"])


@pytest.mark.parametrize(
    "mangled",
    [
        "胸部正位".encode("gbk").decode("latin-1"),
        "胸部".encode().decode("latin-1"),
        "胸片".encode("gbk").decode("ascii", "surrogateescape"),
    ],
)
def test_chinese_words_are_understood_even_when_their_bytes_were_decoded_wrongly(mangled: str) -> None:
    assert route_image(replace(FILM, body_part=None, series_description=mangled)).pack == "adult"


@pytest.mark.parametrize("text", ["胸椎正位", "T-SPINE AP", "左手正位", "Chest and abdomen"])
def test_a_thoracic_spine_is_not_a_chest(text: str) -> None:
    with raises_refusal(BODY_PART_NOT_COVERED):
        route_image(replace(FILM, body_part=None, study_description=text))


def test_a_person_who_names_the_pack_answers_what_the_image_does_not_say() -> None:
    bare = replace(FILM, modality=None, body_part=None, view_position=None, patient_age=None)
    assert (route_image(bare, forced="child").pack, codes(route_image(bare, forced="child"))) == (
        "child",
        ["hint.pack_forced"],
    )
    assert route_image(None, forced="adult").pack == "adult"


@pytest.mark.parametrize(
    ("change", "error"), [({"body_part": "HAND"}, BODY_PART_NOT_COVERED), ({"patient_age": "045Y"}, AGE_OUTSIDE)]
)
def test_what_the_image_contradicts_is_refused_whoever_named_the_pack(
    change: dict[str, object], error: Expected
) -> None:
    with raises_refusal(error):
        route_image(replace(FILM, **change), forced="child")  # type: ignore[arg-type]


def test_every_combination_of_facts_gives_a_pack_or_a_coded_refusal() -> None:
    refused: list[CannotJudge] = []
    ages = (None, "003Y", "010Y", "045Y", "bad")
    for modality, part, view, age, usual, forced in itertools.product(
        (None, "CR", "MR"),
        (None, "CHEST", "HAND"),
        (None, "AP", "LL"),
        ages,
        ("adult", "children", "ask"),
        (None, "child"),
    ):
        header = replace(FILM, modality=modality, body_part=part, view_position=view, patient_age=age)
        try:
            actual = route(header, PACKS, usual, forced)  # type: ignore[arg-type]
        except CannotJudge as error:
            refused.append(error)
        else:
            assert modality != "MR"
            assert part != "HAND"
            assert view != "LL"
            assert age != "010Y"
            assert actual.pack in ("adult", "child")
    assert len(refused) > 300
    assert all(len(error.text("en")) > 20 for error in refused)


@pytest.mark.parametrize(
    ("age", "birth"),
    [
        ("019Y", "20090301"),
        ("005Y", "20190301"),
        ("003Y", "20260101"),
        (None, "19000101"),
        ("126Y", "19000101"),
        ("126Y", None),
    ],
)
def test_an_age_that_could_choose_another_pack_is_unclear(age: str | None, birth: str | None) -> None:
    with raises_refusal(AGE_UNCLEAR):
        route_image(replace(FILM, patient_age=age, birth_date=birth, study_date="20261121"), usual="adult")


@pytest.mark.parametrize(("age", "birth", "pack"), [("018Y", "20090301", "adult"), ("040Y", "19880301", "adult")])
def test_ages_that_rounding_explains_or_that_choose_one_pack_agree(age: str, birth: str, pack: str) -> None:
    assert route_image(replace(FILM, patient_age=age, birth_date=birth, study_date="20261121")).pack == pack
