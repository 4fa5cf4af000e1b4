"""Every page: light, usable at 360 pixels, and nothing serious for axe-core."""

from __future__ import annotations

import pytest

from tests.browser.clinic import BrowserUser, Clinic

PAGES = (
    "/",
    "/?tab=cannot-judge",
    "/quarantine",
    "/?tab=done",
    "/box",
    "/stick",
    "/calibration",
    "/calibration/outcomes",
    "/live",
    "/accounts",
    "/password",
    "/machines",
    "/models",
    "/software",
    "/own",
    "case",
    "report",
)
MOST_BYTES = 70_000


pytestmark = pytest.mark.usefixtures("stick")


def test_a_stick_of_which_not_all_came_in_is_told_in_both_languages(box: Clinic, doctor: BrowserUser) -> None:
    for language, words in (
        ("zh_CN", ("可以拔出，但没有全部拷进来", "1167 个", "33 个")),
        ("en", ("can be taken out, but not everything came in", "end too early: 1167.", "does not take: 33.")),
    ):
        doctor.choose_language(language)
        for page in ("/", "/stick"):
            doctor.driver.get(f"{box.url}{page}")
            shown = doctor.find(".stick.unfinished").text
            assert [word for word in words if word not in shown] == []


def open_page(box: Clinic, doctor: BrowserUser, case_page: str, page: str) -> str:
    """Open *page* and wait until it is drawn."""
    url = {"case": case_page, "report": f"{case_page}/report"}.get(page, f"{box.url}{page}")
    doctor.driver.get(url)
    if page == "case":
        doctor.wait_for_film()
    if page == "/box":
        doctor.find(".checks")
    return url


@pytest.mark.parametrize("page", [*PAGES, "/claim"])
def test_axe_finds_nothing_serious(box: Clinic, doctor: BrowserUser, case_page: str, axe: str, page: str) -> None:
    """At a doctor's desk and on a small phone."""
    doctor.screen(1366, 768)
    open_page(box, doctor, case_page, page)
    doctor.driver.execute_script(axe)
    for width in (1366, 360):
        doctor.screen(width, 768)
        result = doctor.driver.execute_async_script("const done = arguments[0]; axe.run().then(done);")
        violations = [
            (one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]])
            for one in result["violations"]
            if one["impact"] in ("serious", "critical", "moderate")
        ]
        assert violations == []


def test_a_page_is_light(box: Clinic, doctor: BrowserUser, case_page: str) -> None:
    """Everything but the film itself, as it comes over the wire."""
    script = """
        return [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
            .filter(entry => !entry.name.includes('/film/')).reduce((sum, entry) => sum + entry.transferSize, 0)
    """
    weights = {}
    doctor.driver.execute_cdp_cmd("Network.enable", {})
    for page in PAGES:
        doctor.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        open_page(box, doctor, case_page, page)
        weights[page] = int(doctor.driver.execute_script(script))
    assert min(weights.values()) > 1_000, weights
    assert max(weights.values()) <= MOST_BYTES, weights


def test_a_new_urgent_case_is_told_on_another_page_until_the_list_is_opened(box: Clinic, doctor: BrowserUser) -> None:
    """What `/alive` tells (tests/unit/web/test_visits.py), as a page hears it."""
    doctor.driver.get(f"{box.url}/machines")
    title = doctor.driver.title
    says = "document.dispatchEvent(new CustomEvent('urgent', { detail: arguments[0] }))"
    doctor.driver.execute_script("localStorage.clear()")
    doctor.driver.execute_script(says, "1 born.4")
    assert not doctor.all("#urgent")[0].is_displayed()  # it was there before this browser looked
    doctor.driver.execute_script(says, "2 born.5")
    assert doctor.find("#urgent a").is_displayed()
    assert doctor.driver.title == f"(2) {title}"
    doctor.driver.execute_script(says, "0 again.0")  # a restarted viewer tells of nothing new
    assert not doctor.all("#urgent")[0].is_displayed()
    assert doctor.driver.title == title
    doctor.driver.get(f"{box.url}/")
    assert doctor.find("#sound").get_attribute("aria-pressed") == "false"
    doctor.press("#sound")
    assert doctor.find("#sound").get_attribute("aria-pressed") == "true"
    doctor.press("#sound")
