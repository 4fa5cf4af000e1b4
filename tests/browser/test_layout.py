"""Where things stand on the pages: nothing over the film, no button under something else, no scrolling sideways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from selenium.webdriver.support.ui import Select

from firmware_app.cases.accounts import Accounts, Role
from tests.browser.clinic import PASSWORD, BrowserUser, Clinic, synthetic_film
from tests.browser.conftest import DOCTOR
from tests.films import save

LONG = "Nebuchadnezzar" * 4
PAGES = (
    "/",
    "/?tab=cannot-judge",
    "/?tab=done",
    "/live",
    "/quarantine",
    "/stick",
    "/box",
    "/nothing",
    "/claim",
    "case",
    "case?ask=",
    "case/report",
    "/calibration",
    "/calibration/outcomes",
    "/accounts",
    "/password",
    "/machines",
    "/models",
)
LANGUAGES = pytest.mark.parametrize("language", ["zh_CN", "en"])


@pytest.fixture(scope="module")
def long_page(box: Clinic, person: BrowserUser, folder: Path) -> str:
    """A case whose words are as long as DICOM lets them be, without a place to break them."""
    said: dict[str, Any] = {
        "PatientID": LONG,
        "PatientSex": "F",
        "StudyDescription": LONG,
        "SeriesDescription": LONG[1:],
    }
    box.send_images(
        synthetic_film(folder, "long.dcm", PatientName=LONG, PatientAge="050Y", PixelSpacing=[0.2, 0.2], **said)
    )
    cut = dcmread(synthetic_film(folder, "cut.dcm"))
    del cut.PixelData
    box.send_images(save(folder, "cut.dcm", cut), taken=False)  # for the list of refusals
    person.driver.get(f"{box.url}/")
    person.open_row(LONG)
    return person.driver.current_url


@pytest.fixture(scope="module")
def case_page(box: Clinic, person: BrowserUser, folder: Path) -> str:
    """An everyday case, with two windows of the machine that have no name."""
    windows: dict[str, Any] = {
        "WindowCenter": [2048, 1000],
        "WindowWidth": [4096, 800],
        "ImagerPixelSpacing": [0.15, 0.15],
    }
    said: dict[str, Any] = {"PatientID": "QH-2041", "PatientSex": "F", "StudyDescription": "Chest PA"}
    box.send_images(synthetic_film(folder, "windows.dcm", PatientName="Sun^Qi", PatientAge="050Y", **said, **windows))
    person.driver.get(f"{box.url}/")
    person.open_row("Sun Qi")
    return person.driver.current_url


def open_page(box: Clinic, person: BrowserUser, case_page: str, page: str) -> None:
    path = page.removeprefix("case")
    person.driver.get(f"{box.url}{page}" if path == page else f"{case_page}{path}")
    if path in ("", "?ask="):
        person.wait_for_film()
    if page == "/box":
        person.find(".checks")


@pytest.mark.usefixtures("stick")
@LANGUAGES
def test_no_page_is_scrolled_sideways_and_nothing_lies_over_a_button(
    box: Clinic, doctor: BrowserUser, long_page: str, language: str
) -> None:
    """On a small phone, and at a doctor's desk, wherever the page is scrolled to."""
    doctor.choose_language(language)
    wrong: dict[tuple[str, int], list[str]] = {}
    for page in PAGES:
        doctor.screen(360, 740, 2)
        open_page(box, doctor, long_page, page)
        wrong[page, 360] = doctor.find_overflow()
        doctor.screen(1920, 1080)
        wrong[page, 1920] = doctor.find_overflow()
        doctor.screen(1366, 768)
        wrong[page, 1366] = doctor.find_overflow()
        for share in (0, 0.5, 1):
            script = "scrollTo(0, arguments[0] * (document.documentElement.scrollHeight - innerHeight))"
            doctor.driver.execute_script(script, share)
            wrong[page, 1366] += doctor.find_covered()
        doctor.driver.execute_script("scrollTo(0, 0)")
    assert {where: what for where, what in wrong.items() if what} == {}


@LANGUAGES
def test_what_a_page_is_for_is_in_sight_without_scrolling(
    box: Clinic, doctor: BrowserUser, case_page: str, language: str
) -> None:
    doctor.choose_language(language)
    script = "return arguments[0].getBoundingClientRect().bottom"
    for page, selectors in (("/claim", ["button.main"]), ("case", ["#reset", "#windows"])):
        open_page(box, doctor, case_page, page)
        bottoms = {selector: doctor.driver.execute_script(script, doctor.find(selector)) for selector in selectors}
        assert max(bottoms.values()) <= 768, bottoms


@pytest.mark.parametrize("width", [1366, 360])
def test_nothing_is_drawn_over_the_film(doctor: BrowserUser, case_page: str, width: int) -> None:
    doctor.screen(width, 768)
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    doctor.press("#measure")
    size = doctor.find("#film").size
    doctor.touch("Start", (0, 0))
    doctor.touch("Move", (60, 40))
    doctor.touch("End")
    doctor.until(lambda: doctor.find("#length").text)
    assert doctor.find("#film").size == size  # the film kept its size under the hand that drew
    script = """
        const film = document.getElementById('film'), box = film.getBoundingClientRect();
        return [...document.querySelectorAll('body *')].filter(element => {
            const { left, top, right, bottom, width } = element.getBoundingClientRect();
            return width > 1 && !element.contains(film) && element != film
                && left < box.right - 1 && right > box.left + 1 && top < box.bottom - 1 && bottom > box.top + 1;
        }).map(element => element.outerHTML.slice(0, 120));
    """
    assert doctor.driver.execute_script(script) == []


@pytest.mark.parametrize(
    ("language", "first"), [("zh_CN", "窗宽 4096 · 窗位 2048"), ("en", "window 4096 · centre 2048")]
)
def test_the_machines_windows_can_be_read(doctor: BrowserUser, case_page: str, language: str, first: str) -> None:
    doctor.choose_language(language)
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    windows = doctor.find("#windows")
    assert Select(windows).options[0].text == first
    shades = [windows.value_of_css_property(name) for name in ("color", "background-color")]
    assert contrast(*map(luminance, shades)) >= 7  # WCAG 2.1, 1.4.6: enhanced
    assert float(windows.value_of_css_property("font-size").removesuffix("px")) >= 16


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(a)(r, g, b…)`` (WCAG 2.1)."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.fixture
def auditor(box: Clinic, doctor: BrowserUser) -> Iterator[BrowserUser]:
    """Whoever looks after the audit, at the doctor's screen."""
    accounts = Accounts(box.state / "accounts" / "accounts.db")
    code = accounts.add("审计员", Role.AUDITOR)
    accounts.database.close()
    doctor.find("#logout").click()
    doctor.find("main [name=password]")
    doctor.claim(box.url, code, "")
    doctor.find("main table")
    yield doctor
    doctor.find("#logout").click()
    doctor.find("main [name=password]")
    doctor.log_in(box.url, DOCTOR, PASSWORD)
    doctor.find("#lists")


def test_the_audit_is_not_scrolled_sideways_either(box: Clinic, auditor: BrowserUser) -> None:
    for language in ("zh_CN", "en"):
        auditor.screen(1366, 768)
        auditor.choose_language(language)
        for width in (360, 1366):
            auditor.screen(width, 768)
            auditor.driver.get(f"{box.url}/audit")
            auditor.find("main table")
            assert auditor.find_overflow() == []
            assert auditor.find_covered() == []
