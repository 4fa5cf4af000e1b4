"""A technician renews a flashed box from the browser; the page says how it goes, in both languages and at two sizes.

The viewer is the real one, and so is root's side with RAUC's check of the file; `rauc install` alone is a stand-in.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from firmware_app.appliance import software_record, software_requests, software_service
from firmware_app.appliance.errors import SOFTWARE_NOT_SIGNED
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import run_status
from tests.browser.clinic import PASSWORD, BrowserUser
from tests.peers import needed
from tests.software_rig import BOX, FlashedBox
from web.app import create_app
from web.health_report import Checkup

SIZES = ((1366, 768), (360, 740))


class Silent(Checkup):
    """No doctor is started here."""

    def latest(self) -> None:
        return None


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlashedBox]:
    needed("chromium", "chromedriver", "rauc")
    folder = tmp_path_factory.mktemp("flashed")
    box = FlashedBox(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        patch.setattr("firmware_app.appliance.software_bundle.read_installed_system", lambda: BOX)
        yield box


@pytest.fixture(scope="module")
def url(flashed: FlashedBox) -> Iterator[str]:
    clinical, accounts = ClinicalDatabase(flashed.state.clinical_db), Accounts(flashed.state.accounts_db)
    clinical.create()
    accounts.create()
    config = flashed.config(repository="https://updates.example/lantern")
    app = create_app(config, flashed.state, clinical, accounts, Silent(None))
    server: Any = create_server(
        app, host="127.0.0.1", port=0, threads=4, max_request_body_size=software_requests.PIECE_BYTES
    )
    threading.Thread(target=server.run, daemon=True).start()
    (flashed.folder / "code").write_text(accounts.add("zhou", Role.TECHNICIAN))
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


@pytest.fixture(scope="module")
def technician(flashed: FlashedBox, url: str) -> Iterator[BrowserUser]:
    someone = BrowserUser(flashed.folder)
    try:
        someone.screen(1366, 768)
        someone.driver.get(f"{url}/claim")
        code = (flashed.folder / "code").read_text()
        for field, text in (("code", code), ("password", PASSWORD), ("again", PASSWORD)):
            someone.type(f"main [name={field}]", text)
        someone.send()
        yield someone
    finally:
        someone.close()


def test_a_file_is_sent_installed_and_its_progress_is_shown(
    flashed: FlashedBox, url: str, technician: BrowserUser
) -> None:
    file = flashed.bundle("0.4.0")
    technician.driver.get(f"{url}/software")
    technician.driver.find_element("css selector", "input[type=file]").send_keys(str(file))
    technician.press("#upload button")
    technician.find("#doing")
    assert software_requests.is_request_waiting(flashed.state)
    assert software_service.carry_out_requests(flashed.config(), flashed.state, BOX)
    assert flashed.installed.read_bytes() == file.read_bytes()
    technician.until(lambda: "0.4.0" in technician.find("#doing").text)


def test_a_file_that_is_refused_says_why(
    flashed: FlashedBox, url: str, technician: BrowserUser, tmp_path: Path
) -> None:
    run_status.write_check_result(flashed.state, software_record.NAME, {})
    technician.choose_language("en")
    technician.driver.get(f"{url}/software")
    wrong = shutil.copy(flashed.bundle("0.5.0"), tmp_path / "film.raucb")
    technician.driver.find_element("css selector", "input[type=file]").send_keys(str(wrong))
    technician.press("#upload button")
    technician.until(lambda: "Choose the file lantern-VERSION.raucb" in technician.find("#upload .told").text)
    old = flashed.bundle("0.2.0")
    technician.driver.get(f"{url}/software")
    technician.driver.find_element("css selector", "input[type=file]").send_keys(str(old))
    technician.press("#upload button")
    technician.find("#doing")
    software_service.carry_out_requests(flashed.config(), flashed.state, BOX)
    technician.until(lambda: "is not later than 0.3.0" in technician.find("#software").text)


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_the_page_fits_the_desk_and_the_phone(
    flashed: FlashedBox, url: str, technician: BrowserUser, language: str
) -> None:
    flashed.record_unfit_slot("0.4.0")
    software_record.note_outcome(
        flashed.state, "stick", "lantern-0.4.0.raucb", SOFTWARE_NOT_SIGNED(file="lantern-0.4.0.raucb")
    )
    software_record.note_offered(flashed.state, "0.5.0+git20261125.1a2b3c4d5", 412_000_000, None)
    technician.screen(1366, 768)
    technician.driver.get(f"{url}/software")
    technician.choose_language(language)
    for width, height in SIZES:
        technician.screen(width, height)
        technician.driver.get(f"{url}/software")
        assert technician.find_overflow() == []
        assert technician.find_covered() == []
