"""Local calibration, walked by a doctor and a technician: from provisional to calibrated to suspended, and on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_app.cases import model_scores
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations
from firmware_app.cases.imaging_devices import ImagingDevice
from firmware_app.cases.model_scores import CalibrationSample, SamplingShares, Score
from tests import toy_pack
from tests.browser.clinic import BrowserUser, synthetic_film
from tests.browser.clinic import Clinic as Box
from tests.browser.test_walk import quiet
from tests.local_films import binormal
from tests.peers import needed

pytestmark = pytest.mark.timeout(600)

WORDS = {
    "zh_CN": {
        "first": "请先判读",
        "provisional": "试用",
        "calibrated": "已校准",
        "suspended": "已停用",
        "own": "本诊所",
        "unfit": "判断太差",
        "added": "新增 150 条结果",
    },
    "en": {
        "first": "read it first",
        "provisional": "provisional",
        "calibrated": "calibrated",
        "suspended": "suspended",
        "own": "clinic",
        "unfit": "judged too badly",
        "added": "Outcomes added: 150",
    },
}


@dataclass
class Seat:
    """One of the two at a screen of their own, in their language."""

    person: BrowserUser
    box: Box
    language: str
    name: str
    axe: str

    def words(self, key: str) -> str:
        return WORDS[self.language][key]

    def go(self, path: str) -> None:
        self.person.driver.get(f"{self.box.url}{path}")

    def look(self, name: str) -> None:
        """The page fits a small phone as well as a desk, and nobody is kept from it (axe-core)."""
        for width, height, ratio in ((360, 740, 2), (1366, 768, 1)):
            self.person.screen(width, height, ratio)
            assert self.person.find_overflow() == [], (name, width)
        assert self.person.find_covered() == [], name
        self.person.driver.execute_script(self.axe)
        result = self.person.driver.execute_async_script("const done = arguments[0]; axe.run().then(done);")
        assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical", "moderate")] == []

    def figures(self) -> None:
        """From the navigation to the figures of the model."""
        self.go("/box")
        self.person.send('nav a[href="/calibration"]')
        self.person.send("a.row.place")

    def standing(self) -> str:
        return self.person.find("#standing").text

    def upload(self, table: Path) -> None:
        self.go("/calibration")
        self.person.send('a[href="/calibration/outcomes"]')
        self.person.find("input[name=table]").send_keys(str(table))
        self.person.press("input[name=complete]")
        self.person.send()


@pytest.fixture(
    params=[("zh_CN", "en", True), pytest.param(("en", "zh_CN", False), marks=pytest.mark.slow)],
    ids=["clock-set", "clock-unconfirmed"],
)
def seats(request: pytest.FixtureRequest, tmp_path: Path, axe: str) -> Iterator[tuple[Box, Seat, Seat]]:
    """A box that asks for nearly every film to be read first, a doctor and a technician before it."""
    needed("chromium", "chromedriver", "storescu")
    doctors, technicians, clock_set = request.param
    packs = toy_pack.write_both(tmp_path / "packs")
    box = Box(tmp_path, packs, LANTERN_READER__PRECISION="fp32", LANTERN_CALIBRATION__BEFORE="0.999")
    if clock_set:
        box.lantern("clock", "set")
    people = []
    try:
        box.open()
        for name, language, role in (("li", doctors, "doctor"), ("wang", technicians, "technician")):
            code = json.loads(box.lantern("user", "add", name, "--role", role, "--json"))["code"]
            person = BrowserUser(tmp_path / name)
            people.append(Seat(person, box, language, name, axe))
            person.screen(1366, 768)
            person.claim(box.url, code, "")
            person.find("#lists" if role == "doctor" else "#box")
            person.choose_language(language)
        doctor, technician = people
        yield box, doctor, technician
    finally:
        for seat in people:
            seat.person.close()
        box.close()


def register(box: Box, folder: Path, auc: float, films: int, *, upside_down: bool = False) -> Path:
    """The box reads so many films more, and a register tells what became of each; *upside_down*: high scores mean
    that it is not there."""
    clinical = ClinicalDatabase(box.state / "clinical" / "clinical.db")
    place, finding = Confirmations(clinical.database).list_sites()[0]
    lines = ["case,outcome,source,note"]  # with what the box does not need, as registers have it
    with clinical.database.transaction() as connection:
        for score, truth in binormal(films, auc):
            case = f"c-{secrets.token_hex(10)}"
            there = truth is not upside_down
            score = 1.0 - score if upside_down and there else score
            examined = CalibrationSample(
                place.pack, place.version, ImagingDevice(place.machine), (Score(finding, score, 0.5),)
            )
            model_scores.record_scores(connection, case, examined, bytes(32), SamplingShares(0.0, 0.1))
            lines.append(f"{case},{'positive' if there else 'negative'},laboratory,{'x' * 200}")
    clinical.database.close()
    table = folder / f"register-{films}.csv"
    table.write_text("\n".join(lines), "utf-8")
    return table


def film(box: Box, folder: Path, name: str) -> None:
    box.send_images(
        synthetic_film(folder, f"{name}.dcm", PatientName=name, PatientAge="050Y", ManufacturerModelName="X1")
    )


def test_a_model_is_walked_from_provisional_to_calibrated_to_suspended(
    seats: tuple[Box, Seat, Seat], tmp_path: Path
) -> None:
    box, doctor, technician = seats
    li, wang = doctor.person, technician.person

    film(box, tmp_path, "Provisional")
    doctor.go("/")
    assert doctor.words("first") in li.row("Provisional")
    li.open_row("Provisional")
    assert li.all(".finding, .title .chip:not(.first), .title .button") == []
    doctor.look("read-first")
    li.press("#own-reading input[value=positive]")
    li.send("#own-reading button")
    li.find(".finding .result")
    assert doctor.words("provisional").lower() in li.find("#local").text.lower()
    assert doctor.words("own") in li.find("#local").text
    li.press("#outcome summary")
    doctor.look("result")

    technician.figures()
    assert technician.standing() == technician.words("provisional")
    technician.look("provisional")
    li.press("#outcome input[value=negative]")
    li.press("#outcome input[value=laboratory]")
    li.send("#outcome button")
    technician.upload(register(box, tmp_path, 0.9, 150))
    assert technician.words("added") in wang.find("#taken").text
    technician.look("table")
    technician.figures()
    wang.type("#state [name=miss_costs]", "20")
    wang.send("#state button")
    technician.look("suggested")
    wang.send("#suggestion button")
    assert wang.all("#proposal button") == []

    doctor.figures()
    doctor.look("proposed")
    li.send("#proposal button")
    assert doctor.standing() == doctor.words("calibrated")
    doctor.look("calibrated")
    film(box, tmp_path, "Calibrated")
    doctor.go("/")
    li.row("Calibrated")
    li.open_row("Calibrated")
    li.send("#show button")
    assert doctor.words("own") in li.find("#local").text
    assert doctor.words("provisional").lower() not in li.find("#local").text.lower()
    technician.figures()
    wang.send("#in-force button")
    assert technician.standing() == technician.words("provisional")

    doctor.upload(register(box, tmp_path, 0.9, 400, upside_down=True))
    li.find("#taken + .error")
    doctor.figures()
    assert doctor.standing() == doctor.words("suspended")
    doctor.look("suspended")
    film(box, tmp_path, "Suspended")
    doctor.go("/?tab=cannot-judge")
    li.row("Suspended")
    li.open_row("Suspended")
    assert doctor.words("unfit") in li.find(".hint.reason").text
    doctor.look("unfit")
    technician.figures()
    technician.look("go-on")
    wang.send("#suspended button")
    assert technician.standing() == technician.words("provisional")
    quiet(li)
    quiet(wang)
