"""A new box is set up in a browser: a code from its screen, the questions, root's answer, the first account."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

from firmware_app.core.settings import load_config
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.envelope import BoxBundle
from hospital import new_boxes
from hospital.hospital_site import HospitalSite
from tests import toy_pack
from tests.browser.clinic import PASSWORD, BrowserUser, Clinic, clinic
from tests.peers import needed

pytestmark = pytest.mark.timeout(600)  # three boxes are started, and two of them once more


class NewBox:
    """An installed box from the shelf: four processes, and beside them what systemd runs when the page asks."""

    def __init__(self, running: Clinic, file: Path) -> None:
        self.running, self.file = running, file

    def answer(self) -> None:
        """What `lantern-provision.path` and its service do: root answers, and the box starts again."""
        command = [sys.executable, "-m", "firmware_app.appliance.provisioning_service", "--config", str(self.file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == ""
        if done.returncode == 0:
            os.kill(self.running.pids["viewer"], signal.SIGTERM)

    def screen(self) -> str:
        """What the box's own screen shows."""
        out = self.file.parent / "code.issue"
        screen = "firmware_app.appliance.first_code_screen"
        command = [sys.executable, "-m", screen, "--config", str(self.file), "--out", str(out)]
        subprocess.run(command, check=True, timeout=60)
        return out.read_text("utf-8")

    def code(self) -> str:
        return self.screen().split()[-1]


@contextmanager
def new_box(folder: Path) -> Iterator[NewBox]:
    needed("chromium", "chromedriver")
    folder.mkdir(parents=True)
    packs = toy_pack.write_both(folder / "packs")
    file = folder / "lantern.toml"
    file.write_text(
        f'[state]\ndir = "{folder / "state"}"\n[packs]\ndir = "{packs}"\n[dicom]\nhost = "127.0.0.1"\nport = 0\n'
        '[viewer]\nhost = "127.0.0.1"\nport = 0\nmetrics_port = 0\n'
    )
    (folder / "state" / "provision").mkdir(parents=True)  # lantern-setup's
    with clinic(folder, packs, file) as running:
        yield NewBox(running, file)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserUser]:
    needed("chromium", "chromedriver")
    someone = BrowserUser(tmp_path_factory.mktemp("person"))
    someone.screen(1024, 900)
    someone.driver.set_page_load_timeout(120)  # the first page of a box whose four processes are just starting
    try:
        yield someone
    finally:
        someone.close()


def meanwhile(work: Callable[[], None], waits_for: Path) -> threading.Thread:
    """Root's part, as soon as there is a request."""

    def run() -> None:
        for _ in range(1200):
            if waits_for.exists():
                return work()
            pause.wait(0.05)
        return None

    pause = threading.Event()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def outcome(box: NewBox, person: BrowserUser) -> str:
    """The heading of the page that tells what became of the request, asked for as a person does who reloads it."""
    with suppress(WebDriverException):  # the viewer is started anew with what it was told
        person.driver.get(f"{box.running.url}/setup/outcome")
    return person.driver.find_element(By.CSS_SELECTOR, "h1").text


def fits_a_phone(person: BrowserUser, name: str) -> None:
    person.screen(360, 740)
    assert person.find_overflow() == []
    person.screen(1024, 900)


def test_a_new_box_is_set_up_from_a_browser(house: HospitalSite, person: BrowserUser, tmp_path: Path) -> None:
    with new_box(tmp_path / "box") as box:
        request = box.running.state / "provision" / "request.json"
        person.driver.get(box.running.url)
        person.choose_language("en")
        code = box.code()
        person.type("main [name=code]", "2222-2222-2222")
        person.send()
        assert "wrong" in person.find(".error").text
        fits_a_phone(person, "code")

        person.type("main [name=code]", code.lower())
        person.send()
        person.type("main [name=clinic]", "清河卫生院")
        person.type("main [name=box]", "Clinic 7")
        person.type("main [name=zone]", "Asia/Shanghai")
        person.type("main [name=calling]", "DX1, US1")
        person.find("main [name=hospital_file]").send_keys(str(house.bundle_file))
        person.send()
        assert "Clinic 7" in person.find("#wrong-box").text
        assert person.find("[name=clinic]").get_attribute("value") == "清河卫生院"
        assert not request.exists()
        fits_a_phone(person, "questions")
        person.choose_language("zh_CN")  # also here, and one may go on
        person.driver.back()
        person.driver.get(f"{box.running.url}/setup/questions")
        person.choose_language("en")
        for name, text in (("clinic", "清河卫生院"), ("box", "clinic-7"), ("calling", "DX1，US1")):
            person.type(f"main [name={name}]", text)
        person.find("main [name=hospital_file]").send_keys(str(house.bundle_file))
        person.send()
        assert house.load_bundle().fingerprint in person.find(".hint").text
        fits_a_phone(person, "fingerprint")
        person.press("main [name=same]")
        working = meanwhile(box.answer, request)
        person.send()
        working.join(60)
        box.running.expect("viewer")
        person.until(lambda: "clinic-7" in outcome(box, person))
        person.find("svg.qr")
        fits_a_phone(person, "done")
        config = load_config(box.file, {})
        assert (config.box.id, config.box.name, config.dicom.allowed_calling) == (
            "clinic-7",
            "清河卫生院",
            ("DX1", "US1"),
        )
        made = load_bundle(box.running.state / "line" / "box.json", BoxBundle)
        assert made.fingerprint in person.find(".facts").text
        enrolled, _ = house.enrol(box.running.state / "line" / "box.json")
        assert enrolled == made

        person.press("a[href='/claim']")
        for name, text in (("code", code), ("name", "chen"), ("password", PASSWORD), ("again", PASSWORD)):
            person.type(f"main [name={name}]", text)
        person.send()
        person.find("#lists")
        person.driver.get(f"{box.running.url}/setup")
        assert "清河卫生院" in person.find(".brand").text
        assert not person.all("[name=code]")
        assert box.screen() == ""


def test_a_file_from_a_stick_needs_only_the_label(house: HospitalSite, person: BrowserUser, tmp_path: Path) -> None:
    rows = [(2, {"box": "clinic-8", "clinic": "东山卫生院"}), (3, {"box": "clinic-9", "clinic": "西河卫生院"})]
    eight, nine = new_boxes.write_provisioning_files(house, "list.csv", rows, tmp_path / "out", 30)
    with new_box(tmp_path / "box") as box:
        offered = box.running.state / "usb" / "offered"
        offered.mkdir()
        for one in (eight, nine):
            (offered / one.file.name).write_bytes(one.file.read_bytes())
        person.driver.get(f"{box.running.url}/setup")
        person.choose_language("en")
        person.type("main [name=code]", "2222-2222-2222")
        person.send()
        assert "does not fit" in person.find(".error").text
        person.type("main [name=code]", nine.code)
        working = meanwhile(box.answer, box.running.state / "provision" / "request.json")
        person.send()
        working.join(60)
        box.running.expect("viewer")
        person.until(lambda: "clinic-9" in outcome(box, person))
        assert load_config(box.file, {}).box.name == "西河卫生院"
        person.press("a[href='/claim']")
        for name, text in (("code", nine.code), ("name", "li"), ("password", PASSWORD), ("again", PASSWORD)):
            person.type(f"main [name={name}]", text)
        person.send()
        person.find("#lists")


def test_guessing_the_code_ends_soon(person: BrowserUser, tmp_path: Path) -> None:
    with new_box(tmp_path / "box") as box:
        person.driver.get(f"{box.running.url}/setup")
        person.choose_language("en")
        for _ in range(5):
            person.type("main [name=code]", "2222-2222-2222")
            person.send()
        person.type("main [name=code]", box.code())  # also the right one is too late now
        person.send()
        person.until(lambda: "Too many" in person.find("main").text)
        assert not person.all("[name=clinic]")
