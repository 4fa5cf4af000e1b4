"""“What is this?”: a doctor says what an image shows where it says nothing; its header always stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.remarks import ImageDescriptions
from firmware_app.core.records import (
    EnteredFacts,
    Header,
    Instance,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.dicom.errors import AgeUnknown
from firmware_app.packs.requirements import AgeRange, Route
from firmware_app.reading import entry_choices
from firmware_app.reading.errors import BODY_PART_NOT_COVERED, VIEW_NOT_COVERED
from firmware_app.reading.routing import PackCandidate, route
from firmware_app.results import terms
from tests.refusals import raises_refusal
from tests.unit.reading.test_routing import FILM, PACKS
from tests.viewer import HTML, Desk, post

CHEST = EnteredFacts("CR", "CHEST", "FRONTAL", "adult")
BREAST = Route(
    modalities=("US",), body_parts=("BREAST",), views=(), age_years=AgeRange(min=18, max=None), population="adult"
)
RULES = [(pack.pack, pack.rule) for pack in PACKS] + [("breast", BREAST)]
UNKNOWN = Reason("reading.modality_unknown")


def test_a_picture_goes_to_the_pack_for_what_a_person_has_said() -> None:
    assert route(None, PACKS, "ask", entered=CHEST).pack == "adult"
    assert route(None, PACKS, "ask", entered=replace(CHEST, population="children")).pack == "child"
    assert route(None, PACKS, "ask", entered=replace(CHEST, population="", age="003Y")).pack == "child"
    with raises_refusal(VIEW_NOT_COVERED):
        route(None, PACKS, "ask", entered=replace(CHEST, view="LATERAL"))
    with pytest.raises(AgeUnknown):
        route(None, [PackCandidate("breast", BREAST)], "ask", entered=EnteredFacts("US", "BREAST", "", "children"))


def test_what_the_header_says_stands_whatever_a_person_says() -> None:
    said = EnteredFacts("US", "CHEST", "FRONTAL", "children")
    assert route(FILM, PACKS, "ask", entered=said).pack == "adult"
    for film in (replace(FILM, body_part="ABDOMEN"), replace(FILM, body_part=None, study_description="腹部")):
        with raises_refusal(BODY_PART_NOT_COVERED):
            route(film, PACKS, "ask", entered=said)
    with raises_refusal(VIEW_NOT_COVERED):
        route(replace(FILM, view_position="LL"), PACKS, "ask", entered=said)


def test_what_is_offered_comes_from_the_packs_and_leaves_out_what_the_header_excludes() -> None:
    def names(header: Header | None) -> list[str]:
        return [terms.format_entry(choice.said, "en") for choice in entry_choices.list_choices(header, RULES)]

    chest = ["Chest X-ray, from the front", "Chest X-ray, from the side"]
    assert names(None) == [*chest, "Breast ultrasound"]
    assert names(replace(FILM, body_part=None, view_position=None)) == chest
    assert names(replace(FILM, modality="US", body_part=None)) == ["Breast ultrasound"]
    assert names(replace(FILM, view_position=None)) == ["from the front", "from the side"]
    assert set(entry_choices.list_populations(None, RULES)) == {"adult", "children"}
    assert entry_choices.list_populations(FILM, RULES) == {}


def picture(desk: Desk) -> Instance:
    """A PNG that was read as far as it could be."""
    made = desk.clinical.admit(path="p", file="images/p", sha256="b" * 64, size=1, header=None, association=None)
    assert isinstance(made, Instance)
    unread = Reading(Scope.INSTANCE, (made.reference,), ReadingStatus.CANNOT_JUDGE, UNKNOWN, None, Timing(1, 0, 1))
    desk.clinical.finish(made, unread, Priority.CANNOT_JUDGE)
    desk.clinical.close_revisions(0)
    return made


def test_a_doctor_says_what_a_picture_shows_and_it_is_read_again_with_that(desk: Desk) -> None:
    made = picture(desk)
    doctor, path = desk.person("li"), f"/case/{made.case}"
    page = doctor.get(path, headers=HTML).text
    assert '<details class="card" id="description" open>' in page
    assert "Chest X-ray, from the front" in page
    assert "lantern read" not in page
    assert post(doctor, f"{path}/description", kind="CR-CHEST-SIDEWAYS").status_code == 400
    assert (
        post(doctor, f"{path}/description", kind="CR-CHEST-FRONTAL", image=desk.instance.reference).status_code == 400
    )
    assert post(doctor, f"{path}/description", kind="CR-CHEST-FRONTAL", whom="adult").status_code == 302
    claim = desk.clinical.claim(made.case)
    assert claim is not None
    assert claim.instance.entered == CHEST
    entry = next(one for one in Audit(desk.clinical.database).latest(9) if one.action == "image.described")
    assert (entry.actor, entry.case) == ("li", made.case)
    assert (entry.details["before"], entry.details["after"]) == ("-", "CR CHEST FRONTAL adult")
    assert "entered by hand by li" in doctor.get(path, headers=HTML).text


def test_a_reading_made_without_what_was_said_meanwhile_is_not_written(desk: Desk) -> None:
    made = picture(desk)
    entries = ImageDescriptions(desk.clinical)
    assert entries.enter(made.case, [made.reference], CHEST, "li") == 1
    claim = desk.clinical.claim(made.case)
    assert claim is not None
    entries.enter(made.case, [made.reference], replace(CHEST, population="children"), "wu")
    stale = Reading(Scope.INSTANCE, (made.reference,), ReadingStatus.CANNOT_JUDGE, UNKNOWN, None, Timing(1, 0, 1))
    desk.clinical.finish(claim.instance, stale, Priority.CANNOT_JUDGE)
    assert desk.clinical.load_case(made.case).readings == ()
    assert entries.enter(made.case, [made.reference], EnteredFacts(), "wu") == 0  # it waits already
    again = desk.clinical.claim(made.case)
    assert again is not None
    assert again.instance.entered is None
    assert entries.list_for_case(made.case) == {}


def test_only_a_doctor_says_it_and_a_case_that_says_all_is_not_asked(desk: Desk) -> None:
    doctor, technician = desk.person("li"), desk.person("zhou", Role.TECHNICIAN)
    assert post(technician, f"/case/{desk.case}/description", whom="adult").status_code == 403
    assert 'id="description"' not in doctor.get(f"/case/{desk.case}", headers=HTML).text
    assert post(doctor, f"/case/{desk.case}/description", whom="adult").status_code == 400
