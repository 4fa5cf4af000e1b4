"""The box's care for itself, as people and programs hear of it: self-test, doctor, `/healthz` and metrics."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firmware_app.appliance import backup, metrics, retention, selftest
from firmware_app.appliance import doctor as health
from firmware_app.appliance.checks import hardware, last_selftest, maintenance
from firmware_app.appliance.checks.check import Check
from firmware_app.core import clock, database_health, run_status
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs.execution_variants import TrialResults
from tests import toy_pack
from tests.finished import NOW, admit_image, days_ago, film, make_finished_cases, open_state, read_all
from tests.unit.appliance.test_backup_ring import overwrite, root_of
from web.metrics_port import MetricsServer
from web.reading_status import DiskMonitor, list_troubles


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    toy_pack.write(tmp_path / "packs", "toy-adult", "adult", 18, None)
    return tmp_path / "packs"


def config(state: StateDir, packs: Path | None = None, **more: dict[str, object]) -> Config:
    sections = {
        "state": {"dir": state.root},
        "box": {"language": "en"},
        "retention": {"high_water_free_mb": 16, "ballast_mb": 0},
        "packs": {"dir": packs},
        "reader": {"runtimes": ["onnxruntime"]},
    }
    for section, values in more.items():
        sections[section] = {**sections.get(section, {}), **values}  # type: ignore[dict-item]
    return Config.model_validate(sections)


def results(checks: list[Check]) -> dict[str, str]:
    """Name -> the worst of its results."""
    results_of: dict[str, str] = {}
    for check in checks:
        results_of[check.name] = max(results_of.get(check.name, "ok"), check.result, key=("ok", "warn", "fail").index)
    return results_of


# --- the self-test ---------------------------------------------------------------------------------------------------


def test_a_box_that_works_passes_but_for_the_processes_that_nobody_started(tmp_path: Path, packs: Path) -> None:
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [1])
    clinical.database.close()
    steps: list[tuple[int, int]] = []
    checks = selftest.run_selftest(config(state, packs), lambda done, total: steps.append((done, total)))
    result_of = results(checks)
    for name in ("disk", "databases", "packs", "temperature"):
        assert result_of[name] == "ok", name
    assert {result_of[name] for name in ("gateway", "reader", "viewer")} == {"fail"}
    assert result_of.keys() >= {"disk", "databases", "clock", "temperature", "memory", "packs"}
    assert steps[0] == (0, steps[0][1])
    assert steps[-1][0] == steps[-1][1]
    kept = run_status.read_check_result(state, selftest.NAME)
    assert len(kept["checks"]) == len(checks)
    assert not list(state.run.glob(".selftest*")), "the test file is gone"
    assert maintenance.list_troubles(state) == [], "that a process does not run is asked anew each time"


def test_a_model_that_answers_wrongly_fails_and_the_reader_passes_it_over(tmp_path: Path, packs: Path) -> None:
    state = StateDir(tmp_path / "state")
    manifest = packs / "toy-adult" / "manifest.json"
    answer = json.loads(manifest.read_text("utf-8"))
    answer["golden"] = _golden(packs / "toy-adult", 0.9)
    manifest.write_text(json.dumps(answer), "utf-8")
    (checks,) = [check for check in selftest.run_selftest(config(state, packs)) if check.name == "packs"]
    assert (checks.result, checks.reason.code) == ("fail", "runtime.wrong")
    assert "selftest.packs" in maintenance.list_troubles(state)
    doctor = {check.reason.code: check.result for check in last_selftest.examine(config(state), state)}
    assert doctor["doctor.selftest_bad"] == "fail"
    assert doctor["runtime.wrong"] == "fail"
    assert TrialResults(state.trials).read_mtime_ns() != 0, "what it found is where the reader looks"
    (again,) = [check for check in selftest.run_selftest(config(state, packs)) if check.name == "packs"]
    assert again.reason.code == "doctor.way_none"


def _golden(pack: Path, promised: float) -> list[dict[str, object]]:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(pack / "dark.png")
    digest = hashlib.sha256((pack / "dark.png").read_bytes()).hexdigest()
    expected, tolerance = {"fp32": {"bright": promised}}, {"fp32": 0.01}
    return [{"kind": "phantom", "path": "dark.png", "sha256": digest, "expected": expected, "tolerance": tolerance}]


def test_a_damaged_database_fails_and_is_noted_so_that_the_box_mends_it(tmp_path: Path, packs: Path) -> None:
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [1])
    clinical.database.close()
    overwrite(state.clinical_db, root_of(state.clinical_db, "readings"))
    checks = [check for check in selftest.run_selftest(config(state, packs)) if check.name == "databases"]
    assert [(check.result, check.reason.code) for check in checks] == [("fail", "store.damaged")]
    assert database_health.has_damage_note(state.clinical_db)
    assert "selftest.databases" in maintenance.list_troubles(state)


# --- the machine -----------------------------------------------------------------------------------------------------


def _sensor(thermal: Path, number: int, celsius: float, **trips: float) -> None:
    zone = thermal / f"thermal_zone{number}"
    zone.mkdir(parents=True)
    (zone / "type").write_text("x86_pkg_temp\n")
    (zone / "temp").write_text(f"{round(celsius * 1000)}\n")
    for place, (kind, limit) in enumerate(trips.items()):
        (zone / f"trip_point_{place}_type").write_text(f"{kind}\n")
        (zone / f"trip_point_{place}_temp").write_text(f"{round(limit * 1000)}\n")


@pytest.mark.parametrize(
    ("celsius", "critical", "result"),
    [(45, 100, "ok"), (84.9, 100, "ok"), (86, 100, "warn"), (96, 100, "fail"), (72, 80, "warn"), (0, 100, "ok")],
)
def test_heat_is_held_against_the_machines_own_limit(
    tmp_path: Path, celsius: float, critical: float, result: str
) -> None:
    _sensor(tmp_path, 0, 40)
    _sensor(tmp_path, 1, celsius, passive=60, critical=critical)
    (check,) = hardware.check_temperature(tmp_path)
    assert check.result == result


def test_a_machine_without_a_sensor_says_so_and_is_well(tmp_path: Path) -> None:
    (check,) = hardware.check_temperature(tmp_path)
    assert (check.result, check.reason.code) == ("ok", hardware.NO_SENSOR)


@pytest.mark.parametrize(
    ("free_kb", "stalled", "result"),
    [
        (4_000_000, 0.0, "ok"),
        (300_000, 0.0, "warn"),
        (100_000, 0.0, "fail"),
        (4_000_000, 12.0, "warn"),
        (4_000_000, 55.5, "fail"),
    ],
)
def test_memory_is_what_is_free_and_how_long_programs_waited(
    tmp_path: Path, free_kb: int, stalled: float, result: str
) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "meminfo").write_text(f"MemTotal:  8000000 kB\nMemAvailable:  {free_kb} kB\n")
    (tmp_path / "pressure" / "memory").write_text(
        f"some avg10=0.00 avg60=0.00 avg300=90.00 total=9\nfull avg10=0.00 avg60=0.00 avg300={stalled:.2f} total=1\n"
    )
    assert results(list(hardware.check_memory(tmp_path)))["memory"] == result


# --- doctor and /healthz ---------------------------------------------------------------------------------------------


def test_healthz_says_codes_only(tmp_path: Path) -> None:
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [1])
    run_status.write_check_result(
        state, backup.NAME, {"at": clock.stamp_text(), "result": "fail", "code": "care.backup_room", "details": {}}
    )
    run_status.write_check_result(
        state, retention.NAME, {"at": clock.stamp_text(), "result": "warn", "code": retention.STUCK, "details": {}}
    )
    assert {"backup.failed", "retention.stuck"} <= set(
        list_troubles(DiskMonitor(config(state), state), clinical, state)
    )
    clinical.database.close()


# --- retention -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody told the box that it is `NOW`."""
    monkeypatch.setattr(clock, "stamp", lambda: clock.Stamp(NOW, True))


def keeps(**settings: int) -> dict[str, object]:
    return {"keep_days": 30, "room_mb": 0, **settings}


@pytest.mark.usefixtures("trusted")
def test_by_age_what_is_older_goes_and_the_newest_days_of_work_stay(tmp_path: Path) -> None:
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [200, 150, 100, *range(40, 8, -1)])
    clinical.database.close()
    settings = config(state, retention=keeps(days=120))
    would = retention.run(settings, dry_run=True)
    assert (would.reason.code, list(would.cases)) == (retention.WOULD, cases[:2])
    assert not (state.run / "retention.json").exists()
    done = retention.run(settings)
    assert (done.reason.code, list(done.cases)) == (retention.DELETED, cases[:2])
    assert retention.run(settings).reason.code == retention.NOTHING
    assert {check.result for check in maintenance.check_retention(settings, state)} == {"ok"}


@pytest.mark.usefixtures("trusted")
def test_a_full_disk_on_which_nothing_may_go_is_told_with_the_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    for number in range(3):
        admit_image(door, film(tmp_path / "films", number), days_ago(200 - number))
    read_all(state, clinical, report=True)
    clinical.database.close()
    monkeypatch.setattr(retention, "free_bytes", lambda root: 10_000_000)
    settings = config(state, retention=keeps(room_mb=200))
    stuck = retention.run(settings)
    assert (stuck.result, stuck.reason.code) == ("warn", retention.STUCK)
    assert {name: stuck.reason.details[name] for name in ("unread", "unsent", "unsigned", "recent")} == {
        "unread": 0,
        "unsent": 3,
        "unsigned": 0,
        "recent": 0,
    }
    assert "retention.stuck" in maintenance.list_troubles(state)
    assert [check.reason.text("en") for check in maintenance.check_retention(settings, state)] == [
        stuck.reason.text("en")
    ]


def test_where_nobody_told_the_time_nothing_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [*range(100, 60, -1)])
    clinical.database.close()
    monkeypatch.setattr(clock, "stamp", lambda: clock.Stamp(NOW, False))
    assert retention.run(config(state, retention=keeps(days=90))).reason.code == retention.UNSURE


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_the_numbers_are_well_formed_and_say_nothing_of_anybody(tmp_path: Path) -> None:
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [2, 1])
    backup.run(config(state))
    run_status.write_check_result(state, selftest.NAME, selftest.as_object([Check("packs", "fail", Reason("x"))]))
    text = metrics.format_metrics(config(state, dicom={"ae_title": "SECRET"}), state, clinical)
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+)(\{(?:[a-z]+="[^"\\\n]*",?)+\})? (-?[0-9.e+]+)', line)
            assert match, line
            values[match[1] + (match[2] or "")] = float(match[3])
    named = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(named) == len(set(named)), "the values of one metric stand together"
    assert values['lantern_cases{priority="urgent"}'] == 2
    assert values["lantern_images_waiting"] == 0
    assert values["lantern_backups"] == 1
    assert values["lantern_selftest_ok"] == 0
    assert values['lantern_trouble{code="selftest.packs"}'] == 1
    for word in (*cases, "SECRET", "1.2.3", str(state.root)):
        assert word not in text
    clinical.database.close()


def test_metrics_are_for_this_machine_only_and_never_keep_the_viewer_down(tmp_path: Path) -> None:
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [1])
    served = MetricsServer(config(state, viewer={"metrics_port": 0}), state, clinical)
    assert served.port
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE
        assert b"lantern_images 1\n" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{served.port}/", timeout=10)
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", served.port), 5):
        pass
    assert MetricsServer(config(state, viewer={"metrics_port": served.port}), state, clinical).port is None
    served.close()
    clinical.database.close()


# --- the images ------------------------------------------------------------------------------------------------------


def test_images_whose_files_are_gone_are_told_by_doctor_and_selftest(tmp_path: Path, packs: Path) -> None:
    """As after databases were put back alone; a database that is whole says nothing of its images."""
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [1, 2, 3])
    clinical.database.close()
    settings = config(state, packs)

    def told() -> list[dict[str, object]]:
        both = (health.run_checks(settings), selftest.run_selftest(settings))
        return [dict(check.reason.details) for checks in both for check in checks if check.name == "images"]

    assert told() == []
    first, second = sorted(path for path in state.images.rglob("*") if path.is_file())[:2]
    first.unlink()
    assert told() == [{"lost": 1, "instances": 3}] * 2
    second.write_bytes(second.read_bytes()[:-1])
    assert told() == [{"lost": 2, "instances": 3}] * 2
