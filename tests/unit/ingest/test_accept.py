"""The one door: what it takes, what it refuses, and that it leaves nothing half-done."""

from __future__ import annotations

import io
import logging
import os
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import (
    FILE_EMPTY,
    FILE_OF_ZEROS,
    NOT_A_REGULAR_FILE,
    PHONE_PICTURE,
    FileUnreadable,
    HeaderConflict,
    InstanceConflict,
)
from firmware_app.core.records import Instance, Priority, Reading, ReadingStatus, Reason, Scope, Timing
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.dicom.errors import NOT_AN_IMAGE, IntakeError, NotKept, ObjectTooLarge, SpaceShort, Truncated
from firmware_app.dicom.header import examine_file
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest.duplicates import ObjectComparison, compare_objects
from firmware_app.ingest.intake import TRAILING_BYTES, ImageIntake
from firmware_app.ingest.watched_folder import WatchedFolder
from tests.objects import BIG, EXPLICIT, IMPLICIT, element, file_of, film, item, sequence
from tests.peers import pydicom_file, pydicom_files
from tests.refusals import raises_refusal


def journal(clinical: ClinicalDatabase) -> list[tuple[str, str | None]]:
    rows = clinical.database.connection.execute("SELECT outcome, code FROM arrivals ORDER BY sequence").fetchall()
    return [(row[0], row[1]) for row in rows]


def kept_file(door: ImageIntake) -> Path:
    [row] = door.clinical.database.connection.execute("SELECT file FROM instances").fetchall()
    return door.state.root / str(row[0])


def nothing_left(door: ImageIntake) -> bool:
    kept = [path for path in door.state.images.rglob("*") if path.is_file()]
    return not kept and not list(door.state.incoming.iterdir())


# --- taken --------------------------------------------------------------------------------------------------------


def test_a_file_is_copied_under_the_name_of_its_bytes_and_left_alone(door: ImageIntake, at: Path) -> None:
    content = file_of(film())
    at.write_bytes(content)
    admission = door.accept_file(at)
    assert admission.outcome is Outcome.ACCEPTED
    kept = kept_file(door)
    assert kept == door.state.images / kept.stem[:2] / f"{sha256(content).hexdigest()}.dcm"
    assert kept.read_bytes() == at.read_bytes() == content
    assert door.clinical.load_case(admission.case).files[0].instance == admission.instance


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_a_file_without_preamble_or_meta_information_is_completed(door: ImageIntake, at: Path, syntax: str) -> None:
    at.write_bytes(film(syntax=syntax))
    door.accept_file(at)
    kept = dcmread(kept_file(door))
    assert kept.file_meta.TransferSyntaxUID == syntax
    assert kept.file_meta.MediaStorageSOPInstanceUID == kept.SOPInstanceUID
    assert kept.Rows == 16


def test_a_file_that_lacks_only_its_preamble_is_completed(door: ImageIntake, at: Path) -> None:
    content = file_of(film())
    at.write_bytes(content[132:])
    door.accept_file(at)
    assert kept_file(door).read_bytes() == content


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_picture_is_taken_without_a_header_and_refused_when_cut(door: ImageIntake, at: Path, form: str) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 60).save(buffer, form)
    picture = buffer.getvalue()
    at.write_bytes(picture)
    assert door.accept_file(at).outcome is Outcome.ACCEPTED
    assert door.accept_file(at).outcome is Outcome.DUPLICATE
    assert kept_file(door).read_bytes() == picture
    assert kept_file(door).suffix in (".png", ".jpg", ".bmp", ".tif", ".webp")
    if form != "TIFF":  # a TIFF does not say where it ends
        at.write_bytes(picture[:-20])
        with pytest.raises(Truncated):
            door.accept_file(at)


def test_the_same_object_again_is_a_duplicate_also_with_other_meta_information(door: ImageIntake, at: Path) -> None:
    data_set = film(sop_instance="2.25.5")
    at.write_bytes(file_of(data_set))
    first = door.accept_file(at)
    at.write_bytes(file_of(data_set, sop_instance="2.25.77"))
    second = door.accept_file(at)
    assert (second.outcome, second.instance) == (Outcome.DUPLICATE, first.instance)
    assert journal(door.clinical) == [("accepted", None), ("duplicate", None)]


@pytest.mark.parametrize("left", [b"MEDVIEW CR-85\r\n", bytes(512), b"\xff" * 16, b"\x01"])
def test_what_a_machine_leaves_behind_an_object_is_kept_with_it_and_noted(
    door: ImageIntake, at: Path, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    data_set = film(sop_instance="2.25.5", study="2.25.7")
    at.write_bytes(file_of(data_set + left))
    with caplog.at_level(logging.INFO, "lantern.door"):
        first = door.accept_file(at)
    assert kept_file(door).read_bytes() == at.read_bytes()
    assert [record.message.split(":")[0] for record in caplog.records] == [TRAILING_BYTES]
    assert f" {len(left)} bytes" in caplog.text
    at.write_bytes(file_of(data_set))  # the same object, as a router sends it on
    second = door.accept_file(at)
    assert (second.outcome, second.instance) == (Outcome.DUPLICATE, first.instance)


def test_nothing_is_noted_of_an_object_that_ends_where_it_ends(
    door: ImageIntake, at: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at.write_bytes(file_of(film() + element(0xFFFCFFFC, b"OB", bytes(126))))  # Data Set Trailing Padding is of it
    with caplog.at_level(logging.INFO, "lantern.door"):
        door.accept_file(at)
    assert caplog.records == []


@pytest.mark.parametrize("brand", ["heic", "heix", "hevc", "mif1", "msf1", "avif", "avis"])
def test_a_picture_as_phones_store_them_is_no_cut_clip(door: ImageIntake, at: Path, brand: str) -> None:
    at.write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + bytes(4) + b"mif1heic" + b"\0\0\1\0meta" + bytes(400))
    with raises_refusal(PHONE_PICTURE) as refused:
        door.accept_file(at)
    assert "JPEG or PNG" in refused.value.text("en")
    assert journal(door.clinical) == [("refused", "intake.phone_picture")]
    assert nothing_left(door)


AGE = element(0x00101010, b"AS", b"034Y")
VIEWS = sequence(0x00540220, item(element(0x00080104, b"LO", b"frontal")))


@pytest.mark.parametrize(
    ("said", "corrected"),
    [
        (AGE, element(0x00101010, b"AS", b"003Y")),
        (element(0x00280004, b"CS", b"MONOCHROME2"), element(0x00280004, b"CS", b"MONOCHROME1")),
        (element(0x00280010, b"US", b"\x10\0"), element(0x00280010, b"US", b"\x08\0")),
        (AGE, element(0x00100020, b"LO", b"another") + AGE),
        (AGE, element(0x00185101, b"CS", b"LL") + AGE),
        (element(0x0020000D, b"UI", b"2.25.7"), element(0x0020000D, b"UI", b"2.25.8")),
        (VIEWS, sequence(0x00540220, item(element(0x00080104, b"LO", b"lateral")))),
        (VIEWS, sequence(0x00540220, item(b"")) + element(0x00080104, b"LO", b"frontal")),
    ],
)
def test_the_same_pixels_with_a_corrected_header_are_kept_aside_and_not_acknowledged(
    door: ImageIntake, at: Path, said: bytes, corrected: bytes
) -> None:
    data_set = film(sop_instance="2.25.5", study="2.25.7", extra=VIEWS)
    at.write_bytes(file_of(data_set))
    door.accept_file(at)
    assert data_set.count(said) == 1
    at.write_bytes(file_of(data_set.replace(said, corrected)))
    for _ in range(2):
        with pytest.raises(HeaderConflict):
            door.accept_file(at)
    [aside] = door.state.set_aside.iterdir()
    assert aside.read_bytes() == at.read_bytes()
    assert journal(door.clinical)[1:] == [("refused", "intake.header_conflict")] * 2


def test_what_a_router_may_rewrite_does_not_make_another_image(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.objects.new_uid", lambda: "2.25.8")
    given = {"sop_instance": "2.25.5", "study": "2.25.7", "pixels": os.urandom(512)}
    at.write_bytes(file_of(film(**given, extra=VIEWS)))  # type: ignore[arg-type]
    door.accept_file(at)
    delimited = sequence(
        0x00540220, item(element(0x00080104, b"LO", b"frontal"), defined=False), defined=False
    ) + element(0x00540000, b"UL", bytes(4))
    at.write_bytes(file_of(film(**given, extra=delimited) + element(0xFFFCFFFC, b"OB", bytes(8))))  # type: ignore[arg-type]
    assert door.accept_file(at).outcome is Outcome.DUPLICATE
    given["sop_instance"] = "2.25.6"
    for syntax in (EXPLICIT, IMPLICIT):
        at.write_bytes(file_of(film(**given, syntax=syntax), syntax))  # type: ignore[arg-type]
        last = door.accept_file(at)
    assert last.outcome is Outcome.DUPLICATE


def test_every_instance_of_pydicom_is_the_same_as_itself(tmp_path: Path) -> None:
    for path in pydicom_files():
        try:
            examine_file(path)
        except IntakeError:
            continue
        assert compare_objects(path, path) is ObjectComparison.SAME


def test_an_image_whose_file_was_lost_is_read_again_once_it_is_back(door: ImageIntake, at: Path) -> None:
    clinical = door.clinical
    at.write_bytes(file_of(film()))
    admission = door.accept_file(at)
    kept_file(door).unlink()
    claim = clinical.claim()
    assert claim is not None
    unjudged = Reading(
        Scope.INSTANCE,
        (admission.instance,),
        ReadingStatus.CANNOT_JUDGE,
        Reason("imaging.unreadable", {}),
        None,
        Timing(1, 0, 1),
    )
    clinical.finish(claim.instance, unjudged, Priority.CANNOT_JUDGE)
    clinical.close_revisions(0.0)
    door.accept_file(at)
    again = clinical.claim()
    assert again is not None
    assert (again.instance.reference, again.claims, again.failures) == (admission.instance, 1, 0)
    assert clinical.load_case(admission.case).priority is None
    assert clinical.count_unread() == 1
    [kept] = clinical.database.connection.execute("SELECT key FROM superseded").fetchall()
    assert kept[0] == admission.instance


def test_a_commit_that_reports_an_error_but_took_effect_keeps_its_file(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = door.clinical.admit

    def commit_and_fail(**named: object) -> Instance:
        admit(**named)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("the disk took it and did not say so")

    at.write_bytes(file_of(film()))
    monkeypatch.setattr(door.clinical, "admit", commit_and_fail)
    with pytest.raises(NotKept):
        door.accept_file(at)
    assert kept_file(door).read_bytes() == at.read_bytes()


def test_a_commit_that_a_recovery_may_find_keeps_its_file(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_named: object) -> Instance:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    at.write_bytes(file_of(film()))
    monkeypatch.setattr(door.clinical, "admit", fail)
    with pytest.raises((NotKept, SpaceShort)):
        door.accept_file(at)
    [left] = [path for path in door.state.images.rglob("*") if path.is_file()]
    assert left.read_bytes() == at.read_bytes()


def test_the_folders_that_prepare_makes_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("firmware_app.core.state_dir.sync_directory", synced.append)
    fresh = StateDir(tmp_path / "deep" / "state")
    fresh.prepare()
    assert set(synced) == {fresh.root, fresh.root.parent, tmp_path}
    synced.clear()
    fresh.prepare()
    assert synced == []


def test_a_cut_file_is_healed_by_a_resend(door: ImageIntake, at: Path) -> None:
    at.write_bytes(file_of(film()))
    door.accept_file(at)
    kept_file(door).chmod(0o600)
    with kept_file(door).open("r+b") as file:
        file.truncate(300)
    assert door.accept_file(at).outcome is Outcome.DUPLICATE
    assert kept_file(door).read_bytes() == at.read_bytes()
    assert list(door.state.incoming.iterdir()) == []


def test_a_name_left_by_a_killed_process_is_taken_over_and_made_durable(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file_of(film())
    at.write_bytes(content)
    name = sha256(content).hexdigest()
    orphan = door.state.images / name[:2] / f"{name}.dcm"
    orphan.parent.mkdir()
    orphan.write_bytes(content)  # linked, but killed before the directory was synced and the row written
    synced: list[Path] = []
    monkeypatch.setattr("firmware_app.ingest.intake.sync_directory", synced.append)
    assert door.accept_file(at).outcome is Outcome.ACCEPTED
    assert kept_file(door) == orphan
    assert {orphan.parent, orphan.parent.parent} <= set(synced)


def test_other_pixels_under_the_same_identity_are_set_aside(door: ImageIntake, at: Path) -> None:
    at.write_bytes(file_of(film(sop_instance="2.25.5")))
    admission = door.accept_file(at)
    at.write_bytes(file_of(film(sop_instance="2.25.5")))
    with pytest.raises(InstanceConflict):
        door.accept_file(at)
    [aside] = door.state.set_aside.iterdir()
    assert aside.read_bytes() == at.read_bytes()
    rows = door.clinical.database.connection.execute("SELECT kept_file, case_reference FROM arrivals").fetchall()
    assert tuple(rows[1]) == (f"set_aside/{aside.name}", admission.case)


def test_a_file_named_in_gbk_is_taken_and_its_name_is_readable(door: ImageIntake, tmp_path: Path) -> None:
    given = tmp_path / os.fsdecode("胸部.dcm".encode("gbk"))
    given.write_bytes(file_of(film()))
    admission = door.accept_file(given)
    assert door.clinical.load_case(admission.case).files[0].path.endswith("/胸部.dcm")
    assert door.accept_file(given, str(given)).outcome is Outcome.DUPLICATE


# --- refused ------------------------------------------------------------------------------------------------------


def test_whatever_is_not_a_regular_file_is_neither_followed_nor_opened(
    door: ImageIntake, tmp_path: Path, at: Path
) -> None:
    real = tmp_path / "real"
    real.write_bytes(file_of(film()))
    at.symlink_to(real)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (at, fifo, tmp_path, Path("/dev/zero")):
        with raises_refusal(NOT_A_REGULAR_FILE):
            door.accept_file(path)
    with pytest.raises(FileUnreadable):
        door.accept_file(tmp_path / "absent")
    assert journal(door.clinical) == [("refused", "intake.not_regular")] * 4 + [("refused", "intake.unreadable")]


@pytest.mark.parametrize(
    "content", [b"hello, this is a text\n" * 40, b"\0" * 4000 + b"x", b"%PDF-1.4" + b" " * 300, b"0" * 128 + b"DIC"]
)
def test_what_is_no_image_is_called_so(door: ImageIntake, at: Path, content: bytes) -> None:
    at.write_bytes(content)
    with raises_refusal(NOT_AN_IMAGE):
        door.accept_file(at)
    assert nothing_left(door)


def test_a_refused_object_leaves_a_line_and_no_bytes(door: ImageIntake, at: Path) -> None:
    at.write_bytes(file_of(film())[:-10])
    with pytest.raises(IntakeError):
        door.accept_file(at, "as the person gave it")
    assert nothing_left(door)
    homeless = door.clinical.find_unassigned_files()
    assert homeless is not None
    assert [(file.path, file.reason and file.reason.code) for file in homeless.files] == [
        ("as the person gave it", "intake.truncated")
    ]


def test_an_object_above_the_limit_is_refused_before_it_is_copied(door: ImageIntake, at: Path) -> None:
    at.write_bytes(file_of(film(extra=element(0x00090010, b"OB", b""))))
    os.truncate(at, 9_000_000)
    with pytest.raises(ObjectTooLarge) as refused:
        door.accept_file(at)
    assert refused.value.limit_mb == 8
    assert nothing_left(door)


def test_no_image_is_taken_above_the_high_water_mark(state: StateDir, clinical: ClinicalDatabase, at: Path) -> None:
    at.write_bytes(file_of(film()))
    greedy = ImageIntake(
        state, clinical, high_water_free_mb=free_bytes(state.root) // 1_000_000 + 1000, max_object_mb=8
    )
    with pytest.raises(SpaceShort):
        greedy.accept_file(at)
    assert journal(clinical) == [("refused", "intake.space_short")]
    assert nothing_left(greedy)


# --- things that fail underneath -----------------------------------------------------------------------------------


def test_a_database_that_cannot_be_written_takes_no_image(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_named: object) -> Instance:
        raise sqlite3.OperationalError("database is locked")

    at.write_bytes(file_of(film()))
    monkeypatch.setattr(door.clinical, "admit", fail)
    with pytest.raises(NotKept):
        door.accept_file(at)
    assert nothing_left(door)


def test_the_ballast_is_spent_to_write_down_a_refusal(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.state.prepare_ballast(1)
    record = door.clinical.record_refusal

    def fail_while_full(*arguments: object, **named: object) -> None:
        if door.state.ballast.exists():
            raise sqlite3.OperationalError("database or disk is full")
        record(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(door.clinical, "record_refusal", fail_while_full)
    at.write_bytes(b"nothing")
    with raises_refusal(NOT_AN_IMAGE):
        door.accept_file(at)
    assert not door.state.ballast.exists()
    assert journal(door.clinical) == [("refused", "intake.not_an_image")]


# --- everything we have --------------------------------------------------------------------------------------------


def accept_files(door: ImageIntake, paths: list[Path]) -> dict[str, str]:
    verdicts = {}
    for path in paths:
        try:
            verdicts[path.name] = door.accept_file(path).outcome.value
        except IntakeError as error:
            verdicts[path.name] = error.code
    return verdicts


def test_every_file_of_pydicom_is_taken_or_refused_with_a_code(door: ImageIntake) -> None:
    paths = pydicom_files()
    verdicts = accept_files(door, paths)
    assert verdicts["CT_small.dcm"] in ("accepted", "duplicate")
    assert verdicts["image_dfl.dcm"] == "intake.transfer_syntax"
    assert verdicts["ExplVR_LitEndNoMeta.dcm"] in ("accepted", "intake.conflict", "duplicate")
    assert len(journal(door.clinical)) == len(paths)
    assert list(door.state.incoming.iterdir()) == []


# --- the watched folder --------------------------------------------------------------------------------------------


def test_the_folder_takes_a_file_only_at_rest_and_only_once(door: ImageIntake, tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    (folder / "deep" / "er").mkdir(parents=True)
    given = folder / "deep" / "er" / "film.dcm"
    content = file_of(film())
    given.write_bytes(content[:300])
    watched = WatchedFolder(folder, door)
    watched.poll()
    given.write_bytes(content)
    watched.poll()
    assert journal(door.clinical) == []  # it grew between the two looks
    watched.poll()
    watched.poll()
    assert journal(door.clinical) == [("accepted", None)]
    assert given.read_bytes() == content
    again = WatchedFolder(folder, door)  # after a restart
    again.poll()
    again.poll()
    assert journal(door.clinical) == [("accepted", None)]


def test_the_folder_takes_a_changed_file_again_and_journals_what_it_refuses_once(
    door: ImageIntake, tmp_path: Path
) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").write_text("not looked at")
    (folder / "loop").symlink_to(folder)
    watched = WatchedFolder(folder, door)
    for _ in range(4):
        watched.poll()
    assert journal(door.clinical) == [("refused", "intake.not_regular"), ("refused", "intake.not_an_image")]
    (folder / "notes.txt").write_bytes(pydicom_file("CT_small.dcm").read_bytes())
    for _ in range(3):
        watched.poll()
    assert journal(door.clinical)[2:] == [("accepted", None)]


def test_the_folder_waits_while_the_disk_is_short(state: StateDir, clinical: ClinicalDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "film.dcm").write_bytes(file_of(film()))
    greedy = ImageIntake(
        state, clinical, high_water_free_mb=free_bytes(state.root) // 1_000_000 + 1000, max_object_mb=8
    )
    watched = WatchedFolder(folder, greedy)
    for _ in range(3):
        watched.poll()
    assert journal(clinical) == []  # it is the box's trouble, not the file's, and no line for every look
    patient = WatchedFolder(folder, ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=8))
    for _ in range(3):
        patient.poll()
    assert journal(clinical) == [("accepted", None)]


def test_a_folder_that_goes_away_and_comes_back_is_not_taken_twice(door: ImageIntake, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "watched", tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "film.dcm").write_bytes(file_of(film()))
    watched = WatchedFolder(folder, door)
    for _ in range(3):
        watched.poll()
    folder.rename(elsewhere)
    watched.poll()
    elsewhere.rename(folder)
    for _ in range(3):
        watched.poll()
    assert journal(door.clinical) == [("accepted", None)]


def test_a_file_that_was_lost_on_its_way_says_that_it_is_empty(door: ImageIntake, at: Path) -> None:
    for content, kind in ((b"", FILE_EMPTY), (b"\0", FILE_OF_ZEROS), (bytes(3_000_000), FILE_OF_ZEROS)):
        at.write_bytes(content)
        with raises_refusal(kind) as refused:
            door.accept_file(at)
        assert "Copy the image again" in refused.value.text()
    assert journal(door.clinical) == [("refused", code) for code in ("intake.empty", "intake.zeros", "intake.zeros")]
    assert nothing_left(door)
