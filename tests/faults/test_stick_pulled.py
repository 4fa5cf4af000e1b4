"""A stick that is pulled out, or an importer that is killed, in the middle: nothing lost, nothing whole-looking."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firmware_app.cases import usb_import
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.usb_import import StickStage
from firmware_app.core.records import Instance, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.stick_mounting import FileSystem
from firmware_app.results.case_json import case_to_json
from firmware_app.results.case_text import format_page, format_row
from firmware_app.uplink.outbox import Outbox
from tests.faults import sticks
from tests.faults.sticks import Stick, await_true, box, import_stick, stick
from tests.objects import file_of, film, new_uid

FILES = 120
SEEN = 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """One study of `FILES` images, large enough that no driver has read them all ahead."""
    content = tmp_path / "content"
    content.mkdir()
    study = new_uid()
    for number in range(FILES):
        sop = new_uid()
        data = file_of(film(sop_instance=sop, study=study, rows=256, columns=256), sop_instance=sop)
        (content / f"IM{number:04d}.DCM").write_bytes(data)
    return sticks.write_stick(tmp_path / "exfat.img", content, FileSystem.EXFAT)


def read_all(clinical: ClinicalDatabase) -> None:
    """What the reader would do: one calm reading for each image, then the revision."""
    while claim := clinical.claim():
        pack = PackIdentity("chest", "1.0.0", "onnxruntime", "int8")
        instance: Instance = claim.instance
        reading = Reading(Scope.INSTANCE, (instance.reference,), ReadingStatus.READ, None, pack, Timing(1, 1, 2))
        clinical.finish(instance, reading, Priority.ROUTINE)
    clinical.close_revisions(0.0, report=Outbox(clinical.database).put)


def read_held_images(state: StateDir, clinical: ClinicalDatabase) -> list[str]:
    """Every image that the box says it has, after a look at its bytes."""
    rows = clinical.database.connection.execute("SELECT reference, file, sha256 FROM instances").fetchall()
    for _, file, sha256 in rows:
        assert hashlib.sha256((state.root / file).read_bytes()).hexdigest() == sha256
    return [row[0] for row in rows]


def pulled_in_the_middle(config: Config, state: StateDir, plugged: Stick) -> usb_import.StickStatus:
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(import_stick, config, plugged)
        clinical = ClinicalDatabase(state.clinical_db)
        await_true(lambda: clinical.count_queue().instances >= SEEN)
        clinical.database.close()
        plugged.pull()
        return working.result(timeout=60)


def test_a_pulled_stick_leaves_an_incomplete_case_and_the_same_stick_makes_it_whole(
    tmp_path: Path, image: Path
) -> None:
    config, state, clinical = box(tmp_path / "state")
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        ended = pulled_in_the_middle(config, state, plugged)
    assert (ended.stage, ended.reason and ended.reason.code) == (StickStage.UNFINISHED, "stick.pulled")
    before = read_held_images(state, clinical)
    assert SEEN <= ended.new == len(before) < FILES
    assert ended.reason is not None
    assert ended.reason.text(config.box.language) in (state.usb / f"{ended.receipt:06d}.txt").read_text("utf-8")

    read_all(clinical)
    (case,) = clinical.load_cases()
    assert case.incomplete is not None
    assert case.revision == 1
    line = case_to_json(case, "en")
    assert line["incomplete"]["code"] == "stick.incomplete"
    assert {reading["quality"]["hints"][0]["code"] for reading in line["readings"]} == {"stick.incomplete"}
    assert case.incomplete.text("en") in format_page(case, "en")
    assert "incomplete" in format_row(case, "en")
    assert [brief.quality for brief in Outbox(clinical.database).list_waiting(9)] == ["stick.incomplete"]

    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        ended = import_stick(config, plugged)
    assert (ended.stage, ended.new, ended.known) == (StickStage.DONE, FILES - len(before), len(before))
    assert set(before) < set(read_held_images(state, clinical))
    counts = clinical.database.connection.execute("SELECT outcome, COUNT(*) FROM arrivals GROUP BY 1").fetchall()
    accepted = {row[0]: row[1] for row in counts}
    assert accepted["accepted"] == FILES  # nothing twice
    assert "duplicate" not in accepted
    read_all(clinical)
    (case,) = clinical.load_cases()
    assert (case.incomplete, case.revision) == (None, 2)
    assert [brief.quality for brief in Outbox(clinical.database).list_waiting(9)] == ["stick.incomplete", "ok"]
