"""`lantern case export`: off by default, by a named person, into the audit, whole or not at all."""

from __future__ import annotations

import hashlib
import json

import pytest
from pydicom import dcmread

from firmware_app.cases.errors import REFERENCES_LOST
from firmware_app.cases.exports import Exports
from firmware_app.cases.references import KEY_FILE, References
from firmware_app.core.settings import Config
from firmware_app.results import deidentified_export as export
from hospital.hospital_site import HospitalSite
from tests import films, printed
from tests.exporting_rig import STUDY, Box
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house
from tests.refusals import raises_refusal
from tests.results import add_reading

both_ways = pytest.mark.parametrize("way", ["--stick", "--to"])


@both_ways
def test_export_is_off_until_somebody_switches_it_on(
    box: Box, house: HospitalSite, way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Config().export.enabled is False
    monkeypatch.delenv("LANTERN_EXPORT__ENABLED")
    assert box.run(way=way) == 1
    assert "export.off" in capsys.readouterr().err
    assert list(box.stick.iterdir()) == []
    assert box.read_export_audit() == []


def test_a_case_leaves_without_names_and_the_audit_says_who_took_it(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    assert box.run("--json") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["file"], entry["reason"]) for entry in entries] == [("00001.dcm", None), ("00002.dcm", None)]
    (left,) = box.stick.iterdir()
    assert left.name == box.case
    assert sorted(path.name for path in left.iterdir()) == ["00001.dcm", "00002.dcm", export.MANIFEST]
    for path in left.iterdir():
        for name in (b"Zhang", b"P-4711", STUDY.encode(), b"20260101", str(box.folder).encode()):
            assert name not in path.read_bytes(), path.name
    first, second = (dcmread(left / name) for name in ("00001.dcm", "00002.dcm"))
    assert first.StudyInstanceUID == second.StudyInstanceUID != STUDY
    assert first.PatientID == second.PatientID
    manifest = json.loads((left / export.MANIFEST).read_text("utf-8"))
    assert (manifest["schema"], manifest["case"], manifest["not_exported"]) == ("lantern.export/1", box.case, [])
    for one in manifest["files"]:
        assert one["sha256"] == hashlib.sha256((left / one["file"]).read_bytes()).hexdigest()
        assert one["sop_instance_uid"] == dcmread(left / one["file"]).SOPInstanceUID
        assert one["text_check"] == "person"
    assert [(one.actor, one.action, one.case, dict(one.details)) for one in box.read_export_audit()] == [
        ("console", "export.begun", box.case, {"account": "li", "images": 2, "looked": 1}),
        ("console", "export.done", box.case, {"account": "li", "begun": 1, "exported": 2, "refused": 0}),
    ]
    left.rename(box.folder / "before")
    assert box.run() == 0
    assert dcmread(box.stick / box.case / "00001.dcm").SOPInstanceUID == first.SOPInstanceUID


def test_the_results_leave_as_dicom_objects_by_a_named_person_and_are_not_written_over(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    assert box.run(way="--dicom") == 1
    assert "reading.waiting" in capsys.readouterr().err
    add_reading(box.clinical, box.case)
    assert box.run("--json", way="--dicom") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = [(entry["instance"], entry["file"]) for entry in entries]
    assert named == [("pdf", "pdf-01.dcm"), ("sr", "sr-01.dcm")]  # no frame was drawn
    document = dcmread(box.stick / f"{box.case}-results" / "pdf-01.dcm")
    assert "ZhangSan" in printed.extract_text(document.EncapsulatedDocument)
    report = dcmread(box.stick / f"{box.case}-results" / "sr-01.dcm")
    assert (str(report.PatientName), report.StudyInstanceUID) == ("Zhang^San", STUDY)
    assert [(one.action, one.details["account"], one.details["results"]) for one in box.read_export_audit()] == [
        (f"export.{action}", "li", 1) for action in ("begun", "stopped", "begun", "done")
    ]
    assert box.run(way="--dicom") == 1
    assert "export.there" in capsys.readouterr().err


@both_ways
def test_ctrl_c_leaves_nothing_behind_and_the_audit_knows(box: Box, house: HospitalSite, way: str) -> None:
    def interrupt(done: int, total: int) -> None:
        assert list(box.stick.iterdir()), "something must have been begun"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box.export(way, interrupt)
    assert list(box.stick.iterdir()) == list(box.state.root.glob(".exporting-*")) == []
    assert box.actions == ["export.begun", "export.stopped"]


def test_a_broken_film_stays_and_its_neighbours_leave(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    film = films.film(films.shapes(9), StudyInstanceUID=STUDY, SOPInstanceUID="2.25.9", PatientID="P-4711")
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    box.take(films.save(box.folder, "broken.dcm", film))
    (kept,) = Exports(box.clinical.database).list_images(box.case)[2:]
    path = box.state.root / kept.file
    path.chmod(0o660)
    path.write_bytes(path.read_bytes()[:-1000])
    assert box.run("--json") == 3
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["reason"] and entry["reason"]["code"] for entry in entries] == [None, None, "imaging.undecodable"]
    assert sorted(one.name for one in (box.stick / box.case).iterdir()) == ["00001.dcm", "00002.dcm", export.MANIFEST]
    assert box.read_export_audit()[-1].details["refused"] == 1


def test_the_secret_of_the_new_identities_follows_from_the_references_and_is_another(box: Box) -> None:
    folder = box.state.clinical_db.parent
    key = Exports(box.clinical.database).derive_key()
    assert key == References(folder).derive_subkey("de-identification")
    assert key != References(folder).derive_subkey("another purpose")
    assert key.hex() not in (folder / KEY_FILE).read_bytes().hex()
    (folder / KEY_FILE).unlink()
    assert Exports(box.clinical.database).derive_key() == key, "the database has a copy of the secret"
    with raises_refusal(REFERENCES_LOST):
        References(folder).derive_subkey("de-identification")
