"""A reader that hangs: the doctor sees whom and what there is, that it was not read, and cannot be done with it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.browser.clinic import BrowserUser, Clinic, synthetic_film

WAITING = """
const done = arguments[0], { state } = document.getElementById("case").dataset;
fetch(state).then(answer => answer.json()).then(told => done(!told.seen.endsWith(".0")));
"""


@contextmanager
def suspend_process(pid: int) -> Iterator[None]:
    """Inside the block the process hangs; it may be killed for it."""
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


def open_unread(box: Clinic, doctor: BrowserUser, name: str) -> None:
    """From the worklist, where the patient stands as not read, to the case."""
    doctor.driver.get(f"{box.url}/")

    def told() -> tuple[str, str] | None:
        rows = [(str(row.get_attribute("href")), row.text) for row in doctor.all("a.row.unread")]
        return next((row for row in rows if name in row[1]), None)

    address, text = doctor.until(told)
    assert "未判读" in text
    doctor.driver.get(address)
    assert doctor.find("h1").text == name


def test_name_and_no_done_are_there_at_once_and_within_half_a_minute_the_film(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    with suspend_process(box.pids["reader"]):
        box.send_images(
            synthetic_film(folder, "hang.dcm", PatientName="Reader^Hangs", PatientID="QH-10", PatientAge="050Y")
        )
        begun = time.monotonic()
        open_unread(box, doctor, "Reader Hangs")
        assert "QH-10" in doctor.find(".title").text
        assert doctor.find("#message").text == "尚未判读，图像稍后会自动显示在这里。"
        assert doctor.find("p.finish").text.startswith("尚未判读完")
        before = box.pids["reader"]
        box.expect("reader")
        assert box.pids["reader"] != before
        assert time.monotonic() - begun < 30
    doctor.wait_for_film()
    doctor.find("form.finish button")


def test_what_is_typed_is_not_lost_when_the_reading_comes(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    with suspend_process(box.pids["reader"]):
        box.send_images(synthetic_film(folder, "typed.dcm", PatientName="Typed^Into", PatientAge="050Y"))
        open_unread(box, doctor, "Typed Into")
        doctor.press("#patient summary")
        doctor.type("#patient [name=name]", "Typed meanwhile")

    def told() -> int:
        """How often the page has asked after its case."""
        script = "return performance.getEntriesByType('resource').filter(one => one.name.endsWith('/state')).length"
        return int(doctor.driver.execute_script(script))

    doctor.until(lambda: not doctor.driver.execute_async_script(WAITING))
    asked = told()
    doctor.until(lambda: told() > asked + 1)
    assert doctor.find("#patient [name=name]").get_attribute("value") == "Typed meanwhile"
    doctor.until(lambda: doctor.find("#came").text.startswith("判读结果已出"))


def test_film_and_name_are_there_while_the_model_hangs(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    children = psutil.Process(box.pids["reader"]).children()
    (model,) = (child.pid for child in children if "firmware_app.reading.children.inference_child" in child.cmdline())
    with suspend_process(model):
        box.send_images(synthetic_film(folder, "stuck.dcm", PatientName="Model^Hangs", PatientAge="050Y"))
        open_unread(box, doctor, "Model Hangs")
        doctor.wait_for_film()
        assert not doctor.all("form.finish")
    doctor.find("form.finish button")  # read by another child, and shown without a reload
