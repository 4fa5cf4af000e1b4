"""A doctor marks a place on the film with the mouse or a finger, and says a word on one image of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium.webdriver.common.action_chains import ActionChains

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.remarks import Remark, Remarks
from firmware_app.core.state_dir import StateDir
from tests.browser.clinic import BrowserUser, Clinic, synthetic_film
from tests.browser.conftest import DOCTOR


def read_remarks(box: Clinic, case: str) -> tuple[Remark, ...]:
    clinical = ClinicalDatabase(StateDir(box.state).clinical_db)
    try:
        return Remarks(clinical.database).list_for_case(case)
    finally:
        clinical.database.close()


def scale(doctor: BrowserUser) -> tuple[float, float, float]:
    """Pixels of the film (600 × 700) to one of the screen, and where the film's left upper corner is on the canvas."""
    size = doctor.find("#film").size
    by = 1 / min(float(size["height"]) / 700, float(size["width"]) / 600)
    return by, (size["width"] - 600 / by) / 2, (size["height"] - 700 / by) / 2


def test_a_box_goes_with_the_word_and_an_outline_by_finger_too(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(synthetic_film(folder, "marked.dcm", PatientName="Mark Ed", PatientAge="050Y"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Mark Ed")
    case = doctor.driver.current_url.split("/")[-1].split("?")[0]
    doctor.press("#mark-box")
    hands = ActionChains(doctor.driver, duration=50)
    hands.move_to_element_with_offset(doctor.find("#film"), -60, -30).click_and_hold()
    hands.move_by_offset(90, 60).release().perform()
    assert "尚未保存" in doctor.find("#not-kept").text
    doctor.press(".judge .choices button[value=disagree]")
    doctor.until(lambda: "虚线" in doctor.find("#marks .doctor").text and DOCTOR in doctor.find(".alone").text)
    assert not doctor.driver.find_element("id", "not-kept").is_displayed()
    by, left, top = scale(doctor)
    size = doctor.find("#film").size
    (one,) = read_remarks(box, case)
    assert one.drawing is not None
    x0, y0 = (size["width"] / 2 - 60 - left) * by, (size["height"] / 2 - 30 - top) * by
    expected = (x0, y0, x0 + 90 * by, y0 + 60 * by)
    assert all(abs(got - want) <= 3 * by for got, want in zip(one.drawing.box, expected, strict=True))
    dashes = "return getComputedStyle(document.querySelector('#boxes .doctor rect')).strokeDasharray"
    assert doctor.driver.execute_script(dashes) != "none"

    doctor.screen(360, 740, 2)
    doctor.driver.refresh()
    doctor.wait_for_film()
    doctor.press("#mark-outline")
    around = [(0, 0), (25, -12), (50, 0), (60, 30), (30, 50), (0, 30)]
    doctor.touch("Start", around[0])
    for place in around[1:]:
        doctor.touch("Move", place)
    doctor.touch("End")
    doctor.find("#not-kept")
    doctor.press(".judge .choices button[value=unsure]")
    doctor.until(lambda: len(read_remarks(box, case)) == 2)
    drawing = read_remarks(box, case)[-1].drawing
    assert drawing is not None
    assert len(drawing.outline) >= 5
    assert not doctor.find_overflow()


def test_of_several_images_one_is_judged_alone(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    one: dict[str, Any] = {"PatientName": "Two Views", "PatientAge": "050Y", "StudyInstanceUID": "2.25.77001"}
    for number in (1, 2):
        box.send_images(synthetic_film(folder, f"view-{number}.dcm", SOPInstanceUID=f"2.25.77001{number}", **one))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Two Views")
    doctor.until(lambda: len(doctor.all(".picture")) == 2 and doctor.all(".by-image"))
    doctor.all(".picture")[1].click()
    doctor.wait_for_film()
    doctor.press(".by-image summary")
    doctor.press(".judge-image button[value=missed]")
    doctor.until(lambda: f"{DOCTOR}：有遗漏" in doctor.find(".alone").text.replace(": ", "："))
    assert "2" in doctor.find(".alone").text
    assert not doctor.find(".told").text if doctor.all(".told span") else True
