"""A version that does worse here than its card says is told to doctor and hospital; and rarely wrongly."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.cases.pack_changes import PackChanges, PackTrials, TrialState
from firmware_app.core.drift_tests import ALPHA, BettingWealth, CardAccuracy, ConfirmedCall, FallTest, find_alarm
from firmware_app.core.language import list_codes
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.monitoring.performance_drops import PerformanceDrops, PerformanceDropTest, find_card_accuracy
from firmware_app.packs.pack_folder import list_packs, shipped_packs_dir
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading.errors import PACK_TRIAL_STALLED
from firmware_app.uplink.exchange.exchange_db import BoxHealth
from hospital.page.app import FAULT_MEANINGS
from tests.publishing_rig import NAME, PackPublisher, pack, write_checksums
from tests.viewer import HTML, Desk, post

CARD, BELOW = CardAccuracy(0.9, 0.9), 0.19


def films(sensitivity: float, specificity: float, count: int, seed: int) -> Iterator[ConfirmedCall]:
    rng = random.Random(seed)
    while count:
        positive = rng.random() < 0.3
        called = rng.random() < (sensitivity if positive else 1.0 - specificity)
        if called or rng.random() < BELOW:
            count -= 1
            yield ConfirmedCall(called, positive, BELOW, by_eye=False)


# --- the test -----------------------------------------------------------------------------------------------------


def test_a_model_as_good_as_its_card_is_rarely_accused_however_often_one_looks() -> None:
    alarms = sum(find_alarm(CARD, films(0.9, 0.9, 600, seed)) is not None for seed in range(200))
    assert alarms <= 6  # 200 clinics at ALPHA each: two are expected at most


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "measure"), [(0.5, 0.92, "sensitivity"), (0.92, 0.65, "specificity")]
)
def test_a_fall_after_a_long_good_time_is_found(sensitivity: float, specificity: float, measure: str) -> None:
    delays = []
    for seed in range(20):
        before, after = films(0.92, 0.92, 300, seed), films(sensitivity, specificity, 600, 1000 + seed)
        found = find_alarm(CARD, [*before, *after])
        assert found is not None
        assert found[0] == measure
        delays.append(found[1] - 300)
    assert sorted(delays)[10] < 250


def test_the_wealth_of_all_bets_is_one_at_the_start_and_a_ratio_of_one_keeps_it() -> None:
    wealth = BettingWealth()
    for _ in range(130):
        assert wealth.value == pytest.approx(1.0)
        wealth.update(1.0)


def test_called_films_are_asked_for_more_often_and_that_is_no_fall() -> None:
    test = FallTest(CardAccuracy(0.9, 0.9))
    for film in films(0.9, 0.9, 400, 5):
        test.update(film)
    called = [film.called for film in films(0.9, 0.9, 400, 5) if not film.positive]
    assert sum(called) / len(called) > 0.3  # far more than one in ten
    assert test.specificity.value < 2 / ALPHA


def test_every_shipped_card_promises_something() -> None:
    for one in list_packs(shipped_packs_dir()):
        promise = find_card_accuracy(one.manifest)
        assert promise is not None
        assert 0.5 < promise.sensitivity < 1.0
        assert 0.5 < promise.specificity < 1.0


# --- at the clinic ------------------------------------------------------------------------------------------------

MEASURED = {
    "runtime": "onnxruntime",
    "precision": "fp32",
    "split": "test",
    "n": 200,
    "positives": 100,
    "auc": 0.97,
    "auc_ci": [0.95, 0.99],
    "threshold": 0.5,
    "sensitivity": 0.95,
    "sensitivity_ci": [0.9, 0.98],
    "specificity": 0.95,
    "specificity_ci": [0.9, 0.98],
    "command": "none",
}


@pytest.fixture
def world(desk: Desk, tmp_path: Path) -> PackPublisher:
    """1.1.0 serves, and its card says what it can."""
    made = PackPublisher(tmp_path / "publisher")
    made.store = PackStore(desk.state.packs, made.store.shipped)
    for version in ("1.0.0", "1.1.0"):
        folder = pack(made.folder / "made", version)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, "measured": [MEASURED]}))
        write_checksums(folder)
        made.publish_made(folder)
        made.install(root=made.root)
    desk.config = Config.model_validate({**desk.config.model_dump(), "packs": {"dir": made.store.shipped}})
    desk.app = desk.restarted()
    return made


def confirm(desk: Desk, number: int, called: bool, truth: Truth, version: str = "1.1.0") -> None:
    """One film of case *number*, and what a laboratory says of it."""
    case = f"c-{number:020x}"
    with desk.clinical.database.transaction() as connection:
        connection.execute(
            "INSERT INTO scored (case_reference, finding, pack, version, machine, score, threshold, asked, probability,"
            " at) VALUES (?, 'bright', ?, ?, 'm', ?, 0.5, 'called', 1.0, '2026-11-20')",
            (case, NAME, version, 0.9 if called else 0.1),
        )
        Confirmations(desk.clinical.database).write(connection, case, "bright", truth, Source.LABORATORY, "lab")


def test_doctor_and_hospital_are_told_and_one_tap_goes_back(desk: Desk, world: PackPublisher) -> None:
    falling = PerformanceDropTest(desk.clinical, desk.config)
    doctor = desk.person("wang")
    falling.run_if_changed()
    for number in range(40):
        confirm(desk, number, called=True, truth=Truth.NEGATIVE)
    falling.run_if_changed()
    falling.run_if_changed()
    assert falling.list_codes([(NAME, "1.1.0")]) == ["pack.fell_specificity"]
    assert falling.list_codes([(NAME, "1.0.0")]) == []  # which does not serve
    (fall,) = PerformanceDrops(desk.clinical.database).all()
    assert (fall.version, fall.measure) == ("1.1.0", "specificity")
    page = doctor.get("/", headers=HTML, follow_redirects=True).text
    assert "calls more films wrongly at this clinic" in page
    assert f'action="/models/{NAME}/back"' in page
    assert "Go back to 1.0.0" in page
    assert post(doctor, f"/models/{NAME}/back").status_code == 303
    assert [one.version for one in PackChanges(desk.clinical.database).list_requested()] == ["1.1.0"]
    assert f'action="/models/{NAME}/back"' not in doctor.get("/", headers=HTML, follow_redirects=True).text


@pytest.mark.parametrize("code", [code for code in list_codes() if code.startswith(("pack.fell", "pack.trial"))])
def test_every_such_code_fits_the_health_summary_and_the_hospital_knows_it(code: str) -> None:
    assert BoxHealth.from_facts([code], []).faults == (code,)
    assert code in FAULT_MEANINGS


def test_what_a_person_has_noted_is_not_told_again_and_the_auditor_is_not_told(
    desk: Desk, world: PackPublisher
) -> None:
    PerformanceDrops(desk.clinical.database).record_drop(NAME, "1.1.0", "sensitivity", 80)
    trials = PackTrials(desk.clinical.database)
    trials.begin(NAME, "1.2.0", "1.1.0", 1)
    trial = trials.find_trial(NAME)
    assert trial is not None
    why = PACK_TRIAL_STALLED(pack=NAME, version="1.2.0", before="1.1.0", seconds=20)
    trials.end(trial, TrialState.LEFT, "box", Reason.from_error(why))
    told = ("misses more at this clinic", "gave no answer in time")
    doctor, auditor = desk.person("wang"), desk.person("zhao", Role.AUDITOR)
    page = doctor.get("/models", headers=HTML).text
    assert all(page.count(text) == 2 for text in told)  # in the banner and beside the model
    assert not any(text in auditor.get("/", headers=HTML, follow_redirects=True).text for text in told)
    assert post(doctor, f"/models/{NAME}/noted").status_code == 303
    page = doctor.get("/models", headers=HTML).text
    assert not any(text in page for text in told)
    assert PerformanceDropTest(desk.clinical, desk.config).list_codes([(NAME, "1.1.0")]) == []
    assert trials.list_codes() == []


def test_the_page_shows_a_trial_and_a_person_ends_it(desk: Desk, world: PackPublisher) -> None:
    trials = PackTrials(desk.clinical.database)
    trials.begin(NAME, "1.2.0", "1.1.0", 1)
    doctor = desk.person("wang")
    page = doctor.get("/models", headers=HTML).text
    for text in ("Version 1.2.0 is on trial", "0 of 50 images", "Use 1.2.0 now", "End the trial of 1.2.0"):
        assert text in page, text
    assert post(doctor, f"/models/{NAME}/commit").status_code == 303
    (asked,) = PackChanges(desk.clinical.database).list_requested()
    assert (asked.wish, asked.version, asked.actor) == ("commit", "1.2.0", "wang")
    assert "is being ended, as wang asked" in doctor.get("/models", headers=HTML).text
    assert post(doctor, "/models/other/drop").status_code == 404
    assert post(doctor, f"/models/{NAME}/remove").status_code == 404


def test_dicom_words_for_one_part_of_the_body_are_one_word(desk: Desk, world: PackPublisher) -> None:
    from web.blueprints.models import _format_modalities

    chest = next(one for one in list_packs(shipped_packs_dir()) if one.name == "chest-xray-child")
    assert "THORAX" in chest.manifest.route.body_parts
    assert _format_modalities(chest.manifest.route, "zh_CN") == "X 线：胸部"
    assert _format_modalities(chest.manifest.route, "en") == "X-ray: chest"
