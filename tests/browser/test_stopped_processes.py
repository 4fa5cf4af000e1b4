"""Each process stopped (SIGSTOP) and killed with a page open and a film sent: the page says it, and nothing is false.

The viewer and the reader have tests of their own (`test_viewer_hangs`, `test_reader_hangs`, `test_walk`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.browser.clinic import BrowserUser, Clinic, synthetic_film
from tests.browser.test_reader_hangs import suspend_process

TOLD_S = 30
DEAF = "暂不接收图像"


def banner(person: BrowserUser) -> str:
    return str(person.driver.execute_script("return document.getElementById('banner').innerText"))


def wait_within(fact: Callable[[], bool], begun: float) -> None:
    while not fact():
        assert time.monotonic() - begun < TOLD_S
        time.sleep(0.2)  # the page follows by itself


def test_a_gateway_that_takes_nothing_in_is_told_on_the_page_and_so_is_that_it_does_again(
    box: Clinic, doctor: BrowserUser, case_page: str, folder: Path
) -> None:
    doctor.driver.get(case_page)
    doctor.find("main h1")
    assert DEAF not in banner(doctor)
    film = synthetic_film(folder, "deaf.dcm", PatientName="Never^Came", PatientAge="050Y")
    with box.nobody_restarts():
        os.kill(box.pids["gateway"], signal.SIGKILL)
        begun = time.monotonic()
        command = ["storescu", "-ta", "3", "-td", "3", "-aec", "LANTERN", "127.0.0.1", str(box.ports["gateway"])]
        with subprocess.Popen([*command, str(film)], stderr=subprocess.DEVNULL) as modality:
            wait_within(lambda: DEAF in banner(doctor), begun)
            modality.kill()
        assert "Never" not in doctor.find("main").text
    box.expect("gateway")
    wait_within(lambda: DEAF not in banner(doctor), time.monotonic())


@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL])
def test_a_decode_child_that_hangs_or_dies_costs_no_film_and_no_false_word(
    box: Clinic, doctor: BrowserUser, folder: Path, end: signal.Signals
) -> None:
    def child() -> psutil.Process:
        children = psutil.Process(box.pids["reader"]).children()
        return next(child for child in children if "firmware_app.reading.children.decode_child" in child.cmdline())

    name = f"Decode {end.name}"
    with suspend_process(child().pid):
        if end is signal.SIGKILL:
            child().kill()
        box.send_images(
            synthetic_film(folder, f"{end.name}.dcm", PatientName=name.replace(" ", "^"), PatientAge="050Y")
        )
        begun = time.monotonic()
        doctor.driver.get(f"{box.url}/")

        def addresses() -> list[str]:  # in one breath: the list replaces its rows by itself
            rows = doctor.driver.execute_script(
                "return [...document.querySelectorAll('a.row')].map(row => [row.innerText, row.href])"
            )
            return [address for text, address in rows if name in text]

        wait_within(lambda: bool(addresses()), begun)
        doctor.driver.get(addresses()[0])
        assert doctor.find("h1").text == name
        doctor.find("p.finish, form.finish")  # not read yet, or read: one of the two, and never "not found" without it
    doctor.wait_for_film()
    doctor.find("form.finish button")
