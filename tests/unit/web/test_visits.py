"""The lists: one row a patient and visit, longest waiting first, found by name, pinyin, number or day."""

from __future__ import annotations

import re
from dataclasses import replace

from firmware_app.cases import person_names
from firmware_app.cases.accounts import Role
from firmware_app.cases.patients import Patient
from firmware_app.core.records import Header, Priority
from firmware_app.dicom import patient_data
from tests.cases import admit, make_reading
from tests.viewer import HTML, Desk, post
from web.visits import CaseIdentity, Visits, matches_query

FILM = Header("1.2", "", "", "", "1.2.840.10008.1.2", modality="DX", body_part="CHEST", view_position="PA")


def study(desk: Desk, number: int, name: str, patient_id: str, day: str = "20261124", priority: str = "urgent") -> str:
    """A film of a study of its own that was read; returns its case."""
    header = replace(FILM, sop_instance_uid=f"1.5.{number}", study_instance_uid=f"1.6.{number}", study_date=day)
    made = admit(desk.clinical, 100 + number, header)
    patient_data.write_identity({"name": name, "patient_id": patient_id}, desk.state.display / made.reference)
    desk.clinical.finish(made, make_reading(made), Priority(priority))
    desk.clinical.close_revisions(0)
    return made.case


def visits(desk: Desk) -> Visits:
    from firmware_app.cases.case_lists import CaseLists
    from firmware_app.cases.patients import Patients

    return Visits(desk.clinical, Patients(desk.clinical, desk.state), CaseLists(desk.clinical), desk.state)


def test_films_of_one_patient_and_day_are_one_row_and_who_waits_longest_stands_first(desk: Desk) -> None:
    child = [study(desk, n, "王小明", "QH-1") for n in (1, 2)]
    later, namesake = study(desk, 3, "王小明", "QH-1", "20261125"), study(desk, 4, "王小明", "QH-2")
    soon, third = study(desk, 5, "李娜", "QH-3", priority="soon"), study(desk, 6, "王小明", "QH-1")
    unnumbered = [study(desk, n, "王小明", "") for n in (7, 8)]
    expected = [(desk.case,), (*child, third), (later,), (namesake,), *((one,) for one in unnumbered), (soon,)]
    assert visits(desk).list_visits("open") == expected
    page = desk.person("li").get("/", headers=HTML).text
    assert re.findall(r'data-key="(c-\w+)"', page) == [case for visit in expected for case in visit]
    assert "Chest X-ray, from the front" in page
    assert "examined 2026-11-25" in page
    assert "just came" in page


def test_a_row_follows_a_name_that_is_corrected_or_comes_late(desk: Desk) -> None:
    lists = visits(desk)
    first, second = study(desk, 1, "", ""), study(desk, 2, "王小明", "QH-1")
    assert (first, second) not in lists.list_visits("open")
    doctor = desk.person("li")
    post(doctor, f"/case/{first}/patient", name="王小明", patient_id="QH-1", age="", unit="Y", sex="")
    assert (first, second) in lists.list_visits("open")


def test_a_patient_is_found_by_name_pinyin_number_and_day() -> None:
    wanted, other = (
        CaseIdentity(Patient("王小明", "QH-2041"), "20261124", True),
        CaseIdentity(Patient("李娜", "ZX-7"), "20251125", True),
    )
    for asked in (
        "小明",
        "wxm",
        "WXM",
        "wangxm",
        "wang xiaoming",
        "xiao",
        "qh-20",
        "2026-11-24",
        "20261124",
        "11月24日",
    ):
        assert (matches_query(asked, wanted), matches_query(asked, other)) == (True, False), asked


def test_a_surname_is_heard_as_it_is_read_in_names_and_a_latin_name_by_its_initials() -> None:
    assert person_names.matches_sounds("zengl", person_names.list_syllables("曾丽"))
    assert person_names.matches_sounds("oyf", person_names.list_syllables("欧阳锋"))
    assert person_names.matches_sounds("lvm", person_names.list_syllables("吕蒙"))
    assert person_names.matches_sounds("zl", person_names.list_syllables("Zhao Liu"))
    assert not person_names.matches_sounds("wxn", person_names.list_syllables("王小明"))
    assert not person_names.matches_sounds("a" * 64, person_names.list_syllables("a " * 60))


def test_what_is_sought_is_sent_in_no_address_and_every_list_is_searched(desk: Desk) -> None:
    case = study(desk, 1, "王小明", "QH-1", priority="cannot-judge")
    doctor = desk.person("li")
    assert f'data-key="{case}"' in post(doctor, "/search", asked="wxm").text
    assert "No patient fits" in post(doctor, "/search", asked="zzz").text
    assert doctor.get("/search?asked=wxm", headers=HTML).headers["Location"] == "/"


def test_every_page_of_a_doctor_is_told_that_an_urgent_case_has_come(desk: Desk) -> None:
    doctor, technician = desk.person("li"), desk.person("zhou", Role.TECHNICIAN)
    pulse = desk.app.extensions["lantern"].pulse
    pulse.start()
    try:
        pulse.wait(0, 5)
        count, mark = doctor.get("/alive").headers["Lantern-Urgent"].split()
        seen = pulse.change_count
        study(desk, 1, "王小明", "QH-1")
        while (now := doctor.get("/alive").headers["Lantern-Urgent"]) == f"{count} {mark}":
            seen = pulse.wait(seen, 5)
        assert now.split()[0] == str(int(count) + 1)
        assert now.split()[1] == f"{mark.partition('.')[0]}.{int(mark.partition('.')[2]) + 1}"
        assert "Lantern-Urgent" not in technician.get("/alive").headers
        assert "Lantern-Urgent" not in desk.app.test_client().get("/alive").headers
    finally:
        pulse.stop()
