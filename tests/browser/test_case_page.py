"""The page of a case: the answer before anything else, one press a patient, and a picture before the whole film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from bench import sent_films
from tests.browser.clinic import BrowserUser, Clinic, synthetic_film
from tests.browser.conftest import DOCTOR
from tests.films import film, save

LANGUAGES = pytest.mark.parametrize("language", ["zh_CN", "en"])


def key(doctor: BrowserUser, *keys: str) -> None:
    ActionChains(doctor.driver).send_keys(*keys).perform()


@LANGUAGES
def test_on_a_phone_answer_and_judgement_are_in_sight_without_scrolling(
    doctor: BrowserUser, case_page: str, language: str
) -> None:
    doctor.choose_language(language)
    doctor.screen(360, 740, 2)
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    script = "const { top, bottom } = arguments[0].getBoundingClientRect(); return [top, bottom]"
    for selector in (".finding .result", ".where", ".choices button[value=unsure]"):
        top, bottom = doctor.driver.execute_script(script, doctor.find(selector))
        assert 0 <= top < bottom <= 740, selector
    assert not doctor.driver.find_element("css selector", ".finding .number").is_displayed()  # folded


def test_the_heat_map_is_never_off_without_a_word(doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    says = doctor.find("#heat-says")
    doctor.until(lambda: "已关闭" in says.text)
    key(doctor, "h")
    doctor.until(lambda: doctor.film("heat") == "0.50" and says.text == "已显示亮的热力图。")
    doctor.press(".tools .heat-switch")
    doctor.until(lambda: doctor.film("heat") == "0.00" and "已关闭" in says.text)


def test_one_press_says_the_word_and_leads_to_the_next_patient(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    names = [f"Press {number}" for number in (1, 2, 3)]
    for name in names:
        box.send_images(synthetic_film(folder, f"{name[-1]}.dcm", PatientName=name, PatientAge="050Y"))
    doctor.row(names[0])
    doctor.driver.execute_script("localStorage.removeItem('lantern.onward')")  # as on a new PC
    for name, word, by in ((names[2], "agree", "1"), (names[1], "disagree", "")):
        doctor.driver.get(f"{box.url}/")
        doctor.open_row(name)
        if by:
            key(doctor, by)
        else:
            doctor.press(f".choices button[value={word}]")
        doctor.until(lambda: name in doctor.find(".just-done").text)  # noqa: B023
    doctor.driver.get(f"{box.url}/")
    doctor.open_row(names[0])
    last = doctor.driver.current_url
    doctor.type("#remark", "x")  # what was typed is not lost by it
    doctor.press(".choices button[value=unsure]")
    doctor.until(lambda: f"{DOCTOR}: 不确定" in doctor.find(".told").text)
    assert doctor.driver.current_url == last
    key(doctor, "n?h ")  # nor by a key, which leads to the field, where the others are typed
    assert doctor.driver.current_url == last
    assert doctor.find("#remark").get_attribute("value") == "x?h "
    doctor.driver.find_element("id", "remark").clear()
    doctor.find("#film").click()
    key(doctor, "?")
    assert "1" in doctor.find("#keys").text
    key(doctor, Keys.ESCAPE, "n")
    doctor.until(lambda: doctor.driver.current_url != last)


def test_what_a_doctor_writes_stands_with_name_and_time_on_page_and_report(
    box: Clinic, doctor: BrowserUser, case_page: str
) -> None:
    doctor.driver.get(case_page)
    doctor.press(".phrase")
    doctor.send("#word form button:not([type])")
    written = doctor.find(".written").text
    assert "未见明显异常。" in written
    assert DOCTOR in written
    doctor.driver.get(f"{case_page}/report")
    text = doctor.find(".report").text
    assert 0 < text.index("未见明显异常。") < text.index("亮\n")
    doctor.driver.get(f"{box.url}/own")
    assert "亮" in doctor.find("#own table").text


def test_a_light_picture_is_there_before_all_greys_are(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(sent_films.large().write(1, folder / "heavy.dcm"))
    doctor.open_row("Nobody")
    doctor.until(lambda: doctor.find("#film").get_attribute("data-full-ms"))
    assert float(doctor.film("first-ms")) < float(doctor.film("full-ms"))
    sizes = [path.stat().st_size for path in (box.state / "display").glob("*/frame-000-screen.jpg")]
    assert sizes
    assert max(sizes) <= 300_000
    assert doctor.driver.find_element("id", "message").text == ""


def test_a_series_is_one_picture_that_the_wheel_scrolls_with_an_earlier_image_beside_it(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    who: dict[str, Any] = {"PatientName": "Qin^Ceng", "PatientID": "QC-1", "PatientAge": "050Y"}
    box.send_images(synthetic_film(folder, "before.dcm", StudyDate="20250301", **who))
    one: dict[str, Any] = {
        "Modality": "CT",
        "StudyInstanceUID": "2.25.31",
        "SeriesInstanceUID": "2.25.32",
        "RescaleIntercept": -1024,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "RescaleSlope": 1,
        "WindowCenter": 40,
        "WindowWidth": 400,
    }
    for at in (2, 0, 4, 1, 3):  # they come in any order, and each has a range of its own
        greys = np.full((64, 64), 300 * at + 100, np.uint16)
        greys[0] = 4000 - 200 * at
        made = film(greys, BitsStored=12, HighBit=11, ImagePositionPatient=[0, 0, 5 * at], **one, **who)
        box.send_images(save(folder, f"slice-{at}.dcm", made))
    doctor.driver.get(f"{box.url}/?tab=cannot-judge")
    doctor.open_row("Qin Ceng")
    doctor.until(lambda: doctor.find("#frame-text").text == "第 3 层，共 5 层")
    assert not doctor.all(".pictures:not([hidden]) .picture")
    Select(doctor.find("#windows")).select_by_visible_text("肺窗")
    doctor.until(lambda: (doctor.film("centre"), doctor.film("width")) == ("-600", "1500"))
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: 100, cancelable: true}))"
    greys_of = [doctor.read_canvas_colour()]
    for number in (4, 5):
        doctor.driver.execute_script(wheel, doctor.find("#film"))
        doctor.until(lambda: doctor.find("#frame-text").text == f"第 {number} 层，共 5 层")  # noqa: B023
        doctor.until(lambda: doctor.read_canvas_colour() != greys_of[-1])
        greys_of.append(doctor.read_canvas_colour())
    assert greys_of == sorted(greys_of)  # in their order in space, whatever each slice's own range is
    assert (doctor.film("centre"), doctor.film("width")) == ("-600", "1500")
    doctor.press("#look-back")
    doctor.press("#priors .picture")
    doctor.until(lambda: "2025-03-01" in doctor.find("#prior-says").text)
