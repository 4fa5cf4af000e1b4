"""Every page: light, usable at 360 pixels, and nothing serious for axe-core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_app.errors import StickNotAll
from firmware_app.records import Reason
from firmware_app.store.disk import stick_status
from firmware_app.store.disk.layout import StateDir
from firmware_app.store.disk.stick_status import Stage, StickStatus
from tests.browser.clinic import Clinic, Person

PAGES = ("/", "/?tab=cannot-judge", "/quarantine", "/?tab=done", "/box", "/stick", "case", "report")
MOST_BYTES = 200_000
REFUSED = {"intake.transfer_syntax": 33, "intake.truncated": 1167}


@pytest.fixture(scope="module", autouse=True)
def stick(box: Clinic) -> Iterator[None]:
    """A stick of which not all came in: every page says so."""
    state = StateDir(box.state)
    reason = Reason.of(StickNotAll(count=1200))
    stick_status.write(
        state, StickStatus(Stage.UNFINISHED, "2026-11-21T10:00:00+00:00", new=29, refused=REFUSED, reason=reason)
    )
    yield
    (state.run / f"{stick_status.NAME}.json").unlink()


def test_a_stick_of_which_not_all_came_in_is_told_in_both_languages(box: Clinic, doctor: Person) -> None:
    for language, words in (
        ("zh_CN", ("可以拔出，但没有全部拷进来", "1167 个", "33 个")),
        ("en", ("can be taken out, but not everything came in", "end too early: 1167.", "does not take: 33.")),
    ):
        doctor.speak(language)
        for page in ("/", "/stick"):
            doctor.driver.get(f"{box.url}{page}")
            shown = doctor.find(".stick.unfinished").text
            assert [one for one in words if one not in shown] == []


def opened(box: Clinic, doctor: Person, case_page: str, page: str) -> str:
    """Open *page* and wait until it is drawn."""
    url = {"case": case_page, "report": f"{case_page}/report"}.get(page, f"{box.url}{page}")
    doctor.driver.get(url)
    if page == "case":
        doctor.wait_for_film()
    if page == "/box":
        doctor.find(".checks")
    return url


@pytest.mark.parametrize("page", [*PAGES, "/login", "/claim"])
@pytest.mark.parametrize("width", [1366, 360])
def test_axe_finds_nothing_serious(
    box: Clinic, doctor: Person, case_page: str, axe: str, page: str, width: int
) -> None:
    doctor.screen(width, 768)
    if page in ("/login", "/claim"):
        doctor.driver.get(f"{box.url}/claim")  # the log-in itself would lead a doctor on
    else:
        opened(box, doctor, case_page, page)
    doctor.driver.execute_script(axe)
    found = doctor.driver.execute_async_script("const done = arguments[0]; axe.run().then(done);")
    told = [
        (one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]
    assert told == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light(box: Clinic, doctor: Person, case_page: str, page: str) -> None:
    """Everything but the film itself, as it comes over the wire."""
    opened(box, doctor, case_page, page)
    script = """
        return [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
            .filter(entry => !entry.name.includes('/film/')).reduce((sum, entry) => sum + entry.transferSize, 0)
    """
    weight = int(doctor.driver.execute_script(script))
    assert 1_000 < weight <= MOST_BYTES


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_nothing_is_wider_than_a_small_phone(
    box: Clinic, doctor: Person, case_page: str, page: str, language: str
) -> None:
    doctor.screen(360, 740, 2)
    opened(box, doctor, case_page, page)
    if doctor.find(".tongue button[aria-pressed=true]").get_attribute("value") != language:
        doctor.speak(language)
        opened(box, doctor, case_page, page)
    assert doctor.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    doctor.picture(f"phone-{language}-{PAGES.index(page)}")
