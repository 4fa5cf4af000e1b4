"""One box and one doctor at a screen for all of the browser's tests: starting them is what takes time."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from firmware_app.cases import usb_import
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.errors import STICK_NOT_ALL
from tests import made_task, toy_pack
from tests.browser.clinic import BrowserUser, Clinic, clinic, synthetic_film
from tests.peers import REPOSITORY, needed, skip_or_fail

DOCTOR = "陈医生"
REFUSED = {"intake.transfer_syntax": 33, "intake.truncated": 1167}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where films, logs and pictures of the screen go."""
    return tmp_path_factory.mktemp("clinic")


@pytest.fixture(scope="session")
def box(folder: Path) -> Iterator[Clinic]:
    needed("chromium", "chromedriver", "storescu")
    packs = made_task.write(toy_pack.write_both(folder / "packs"), body_part="HAND")
    toy_pack.make_segmenter(toy_pack.write(packs, "toy-outlines", "adult", 18, None), "CR", "ABDOMEN")
    with pytest.MonkeyPatch.context() as patch:
        made_task.install(folder / "site", patch)
        with clinic(folder, packs, LANTERN_READER__PRECISION="fp32") as running:
            yield running


@pytest.fixture(scope="session")
def person(box: Clinic, folder: Path) -> Iterator[BrowserUser]:
    """A doctor who has just made the first account."""
    someone = BrowserUser(folder)
    try:
        someone.screen(1366, 768)
        someone.claim(box.url, box.first_code(), DOCTOR)
        someone.find("#lists")
        yield someone
    finally:
        someone.close()


@pytest.fixture
def doctor(box: Clinic, person: BrowserUser) -> BrowserUser:
    """The doctor at a desk, before the worklist, in Chinese."""
    person.screen(1366, 768)
    person.driver.get(f"{box.url}/")
    if person.find(".tongue button[value=zh_CN]").get_attribute("aria-pressed") != "true":
        person.choose_language("zh_CN")
    person.driver.execute_script("localStorage.clear(); localStorage['lantern.onward'] = '0'")  # a word leads nowhere
    person.driver.get_log("browser")  # type: ignore[no-untyped-call]
    return person


@pytest.fixture(scope="session")
def case_path(box: Clinic, person: BrowserUser, folder: Path) -> str:
    """The path of a case that was read."""
    box.send_images(synthetic_film(folder, "read.dcm", PatientName="Zhao^Liu", PatientID="ZL-1", PatientAge="050Y"))
    person.driver.get(f"{box.url}/")
    person.open_row("Zhao Liu")
    return urlsplit(person.driver.current_url).path


@pytest.fixture
def case_page(box: Clinic, case_path: str) -> str:
    """The address of that case."""
    return box.url + case_path


@pytest.fixture
def stick(box: Clinic) -> Iterator[None]:
    """A stick of which not all came in: every page says so."""
    state = StateDir(box.state)
    reason = Reason.from_error(STICK_NOT_ALL(count=1200))
    usb_import.write_status(
        state, StickStatus(StickStage.UNFINISHED, "2026-11-21T10:00:00+00:00", new=29, refused=REFUSED, reason=reason)
    )
    yield
    (state.run / f"{usb_import.STATUS_NAME}.json").unlink()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, fetched once from npm into a folder that is never committed."""
    needed("npm")
    kept = REPOSITORY / "build" / "axe"
    if not (kept / "axe.min.js").exists():
        kept.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(["npm", "pack", "axe-core@4"], cwd=kept, capture_output=True, text=True, check=False)
        packages = sorted(kept.glob("axe-core-*.tgz"))
        if fetched.returncode or not packages:
            skip_or_fail("needs axe-core from npm (npm pack axe-core)")
        with tarfile.open(packages[-1]) as package:
            source = package.extractfile("package/axe.min.js")
            assert source is not None
            (kept / "axe.min.js").write_bytes(source.read())
    return (kept / "axe.min.js").read_text("utf-8")
