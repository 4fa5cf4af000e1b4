"""A viewer that hangs: every page says so, and no button pretends that it was heard."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.browser.clinic import BrowserUser, Clinic

NOTICE_S = 15
ANSWERED_ONCE = """
const real = window.fetch;
window.fetch = () => {
  window.fetch = real;
  return new Promise(answer => setTimeout(() => answer({ status: 204 }), 100));
};
"""
# Each with an element of its own, which the page of an error has not.
PAGES = {
    "/": "#lists",
    "/?tab=done": "#lists",
    "/box": "#box",
    "/quarantine": "#quarantine",
    "/stick": "#stick",
    "/calibration": "#calibration",
    "/claim": "main [name=code]",
    "case": "#case",
    "report": "#plates",
}


@contextmanager
def suspend_viewer(box: Clinic) -> Iterator[None]:
    """Inside the block the viewer hangs, and nobody replaces it."""
    viewer = psutil.Process(box.pids["viewer"])
    with box.nobody_restarts():
        viewer.suspend()
        try:
            yield
        finally:
            viewer.resume()


def notice(person: BrowserUser) -> str:
    return " ".join(one.text for one in person.all("#silence .banner"))


def test_every_page_says_within_fifteen_seconds_that_the_box_is_silent_and_takes_it_back(
    box: Clinic, doctor: BrowserUser, case_page: str
) -> None:
    first, opened = doctor.driver.current_window_handle, {}
    for page, own in PAGES.items():
        doctor.driver.switch_to.new_window("window")
        doctor.screen(1366, 768)
        doctor.driver.get({"case": case_page, "report": f"{case_page}/report"}.get(page, f"{box.url}{page}"))
        doctor.find(own)
        opened[page] = doctor.driver.current_window_handle
    seconds_of: dict[str, float] = {}
    with suspend_viewer(box):
        begun = time.monotonic()
        while len(seconds_of) < len(PAGES) and time.monotonic() - begun < NOTICE_S:
            for page in opened.keys() - seconds_of.keys():
                doctor.driver.switch_to.window(opened[page])
                if notice(doctor):
                    seconds_of[page] = time.monotonic() - begun
                    assert re.match(r"设备没有应答；您看到的是 \d\d:\d\d", notice(doctor))
    assert seconds_of.keys() == opened.keys()
    for window in opened.values():
        doctor.driver.switch_to.window(window)
        doctor.until(lambda: not notice(doctor))
        doctor.driver.close()
    doctor.driver.switch_to.window(first)


def test_a_form_that_got_no_answer_says_so_and_keeps_what_was_typed(
    box: Clinic, doctor: BrowserUser, case_page: str
) -> None:
    doctor.driver.get(case_page)
    before = doctor.find("h1").text
    doctor.press("#patient summary")
    doctor.type("#patient [name=name]", "Kept")
    with suspend_viewer(box):
        doctor.press("#patient form button")
        assert "什么都没有发送" in doctor.find("#patient .unanswered").text
        assert doctor.find("#patient [name=name]").get_attribute("value") == "Kept"
        assert doctor.find("h1").text == before
    doctor.until(lambda: not notice(doctor))
    doctor.send("#patient form button")
    assert doctor.find("h1").text == "Kept"


def test_a_form_that_was_sent_into_the_silence_leaves_the_page_as_it_is(
    box: Clinic, doctor: BrowserUser, case_page: str
) -> None:
    """The viewer hangs in the instant between the question whether it answers and the form."""
    doctor.driver.get(case_page)
    doctor.press("#patient summary")
    doctor.type("#patient [name=patient_id]", "QH-9")
    with suspend_viewer(box):
        doctor.driver.execute_script(ANSWERED_ONCE)
        doctor.press("#patient form button")
        assert "不能确定是否已保存" in doctor.find("#patient .unanswered").text
        assert doctor.find("#patient [name=patient_id]").get_attribute("value") == "QH-9"
        assert notice(doctor)
    doctor.until(lambda: not notice(doctor))


def test_a_judgement_that_got_no_answer_does_not_look_kept(box: Clinic, doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(case_page)
    with suspend_viewer(box):
        doctor.press(".choices button[value=unsure]")
        doctor.until(lambda: "没有应答" in doctor.find(".judge .saved").text)
        assert doctor.find(".choices button[value=unsure]").get_attribute("aria-pressed") == "false"
    doctor.until(lambda: not notice(doctor))
    doctor.press(".choices button[value=unsure]")
    doctor.until(lambda: doctor.find(".judge .saved").text == "已保存。")
