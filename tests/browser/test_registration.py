"""Registration, walked by a doctor: scanned, registered, told to the machine, back with the images; and a bare picture
given to a registered patient."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import Select

from tests import toy_pack
from tests.browser.clinic import BrowserUser, Clinic, synthetic_film
from tests.peers import needed, peer

pytestmark = pytest.mark.timeout(600)
CARD = "11010519491231002X"


@pytest.fixture(params=["zh_CN", pytest.param("en", marks=pytest.mark.slow)])
def seat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Clinic, BrowserUser, str]]:
    """A box with a machine that may ask for the worklist, and a doctor before it."""
    needed("chromium", "chromedriver", "storescu", "findscu")
    (tmp_path / "in").mkdir()
    box = Clinic(
        tmp_path,
        toy_pack.write_both(tmp_path / "packs"),
        LANTERN_READER__PRECISION="fp32",
        LANTERN_WORKLIST__STATIONS='{"XRAY1": "DX"}',
        LANTERN_FOLDER__PATH=str(tmp_path / "in"),
    )
    box.lantern("clock", "set")
    person = BrowserUser(tmp_path)
    try:
        box.open()
        person.screen(1366, 768)
        person.claim(box.url, box.first_code(), "陈医生")
        person.find("#lists")
        person.choose_language(request.param)
        yield box, person, request.param
    finally:
        person.close()
        box.close()


def look(person: BrowserUser, axe: str, name: str) -> None:
    """The page fits a small phone as well as a desk, and nobody is kept from it (axe-core)."""
    for width, height, ratio in ((360, 740, 2), (1366, 768, 1)):
        person.screen(width, height, ratio)
        assert person.find_overflow() == [], (name, width)
    assert person.find_covered() == [], name
    person.driver.execute_script(axe)
    result = person.driver.execute_async_script("const done = arguments[0]; axe.run().then(done);")
    assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical", "moderate")] == []


def scan(person: BrowserUser, text: str) -> None:
    """A barcode scanner: keys without a pause, then Enter, wherever the cursor stands."""
    ActionChains(person.driver, duration=0).send_keys(f"{text}\n").perform()


def register(person: BrowserUser, name: str, number: str, examination: str) -> None:
    person.type("[name=name]", name)
    person.press("[name=spelled]")  # leaving the name asks for its pinyin
    person.until(lambda: person.find("[name=spelled]").get_attribute("value"))
    if number:
        person.type("[name=patient_id]", number)
        person.type("[name=birth_date]", "2023-08-01")
    Select(person.find("[name=examination]")).select_by_value(examination)
    person.send("form.entry button.main")


def query_worklist(box: Clinic, out: Path) -> dict[str, tuple[str, str]]:
    """What the machine is told: number and Study Instance UID by PN."""
    out.mkdir(exist_ok=True)
    keys = ("0010,0010", "0010,0020", "0020,000d", "0008,0050", "(0040,0100)[0].0008,0060=DX")
    given = [part for key in keys for part in ("-k", key)]
    command = [peer("findscu"), "-W", "-aet", "XRAY1", "-X", "-od", str(out), *given, "127.0.0.1"]
    subprocess.run([*command, str(box.ports["gateway"])], check=True, capture_output=True)
    told = [dcmread(path, force=True) for path in sorted(out.glob("rsp*.dcm"))]
    return {str(one.PatientName): (str(one.PatientID), str(one.StudyInstanceUID)) for one in told}


def test_from_the_card_to_the_machine_and_back_and_a_picture_without_a_name(
    seat: tuple[Clinic, BrowserUser, str], axe: str, tmp_path: Path
) -> None:
    box, person, language = seat
    person.send('nav a[href="/registration"]')
    person.press("[name=name]")  # the cursor stands in the wrong field when the card is scanned
    scan(person, CARD[:-1] + "1")
    person.until(lambda: "error" in (person.find("#card").get_attribute("class") or ""))
    scan(person, CARD)
    person.until(lambda: person.find("[name=birth_date]").get_attribute("value") == "1949-12-31")
    assert person.find("[name=sex]").get_attribute("value") == "F"
    assert person.find("[name=patient_id]").get_attribute("value") == CARD
    look(person, axe, f"registration-{language}-card")
    register(person, "曾小明", "", "chest")
    register(person, "曾小明", "QH-7", "chest")  # another patient of that name
    assert "11010519491231002X" in person.find(".namesake").text
    register(person, "欧阳锋", "QH-7", "chest")  # a number that is somebody's already
    person.find("[name=same_person]")
    look(person, axe, f"registration-{language}-number")
    person.driver.get(f"{box.url}/registration")

    told = query_worklist(box, tmp_path / "found")
    assert {number for number, _ in told.values()} <= {CARD, "QH-7"}
    number, study = told["ZENG^XIAOMING=曾^小明"]
    box.send_images(
        synthetic_film(
            tmp_path,
            "made.dcm",
            PatientName="ZENG^XIAOMING",
            PatientID=number,
            StudyInstanceUID=study,
            PatientAge="003Y",
        )
    )
    person.driver.get(f"{box.url}/")
    person.open_row("曾小明")
    person.press("#patient summary")
    assert re.search("L[0-9A-Z]{9}", person.find(".registered").text)
    look(person, axe, f"case-{language}-registered")

    Image.effect_noise((600, 500), 40).convert("L").save(tmp_path / "picture.png")
    (tmp_path / "picture.png").replace(tmp_path / "in" / "picture.png")
    nameless = {"zh_CN": "未填姓名", "en": "No name"}[language]
    person.driver.get(f"{box.url}/?tab=cannot-judge")  # nobody has said whose it is, or how old they are
    person.until(lambda: [row for row in person.all("a.row") if nameless in row.text])
    person.driver.get(str(next(row for row in person.all("a.row") if nameless in row.text).get_attribute("href")))
    person.press("#patient summary")
    person.send("#choose")
    assert len(person.all("a.row.entry")) == 1
    look(person, axe, f"tie-{language}-choose")
    person.send("a.row.entry")
    assert "曾小明" in person.find(".now-then .differs").text
    look(person, axe, f"tie-{language}-compare")
    person.send("form.card button.main")
    assert person.find("h1").text == "曾小明"
    person.press("#patient summary")
    assert "→ 曾小明" in person.find(".changes").text
    look(person, axe, f"case-{language}-tied")
    person.driver.get(f"{box.url}/registration")
    assert len(person.all(".row.entry a.button")) == 2
    look(person, axe, f"registration-{language}-list")
    box.lantern("audit", "verify")
    assert "曾" not in box.log.read_text("utf-8")
