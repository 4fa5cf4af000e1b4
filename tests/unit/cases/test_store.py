"""The clinical database: nothing is read twice, nothing is half-written, a study comes to rest once."""

from __future__ import annotations

import gc
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase, StoredInstance
from firmware_app.cases.errors import CaseUnknown
from firmware_app.core.database import Database
from firmware_app.core.errors import StoreTooNew
from firmware_app.core.records import (
    FileStatus,
    Finding,
    Header,
    Instance,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.core.schema import Schema
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import NOT_AN_IMAGE
from firmware_app.reading.errors import AGE_OUTSIDE

HEADER = Header("1.2.840.10008.5.1.4.1.1.1", "1.2.3.1", "1.2.3", "1.2.3.9", "1.2.840.10008.1.2", modality="CR")


def admitted(clinical: ClinicalDatabase, number: int = 1, association: int | None = None, **changes: str) -> Instance:
    header = replace(HEADER, sop_instance_uid=f"1.2.3.1.{number}", **changes)  # type: ignore[arg-type]
    instance = clinical.admit(
        path=f"film{number}.dcm",
        file=f"images/{number}",
        sha256=f"{number:064d}",
        size=9,
        header=header,
        association=association,
    )
    assert isinstance(instance, Instance)
    return instance


def read(instance: Instance, probability: float = 0.9) -> Reading:
    finding = Finding("pneumonia", {"en": "Pneumonia", "zh_CN": "肺炎"}, probability, 0.5)
    return Reading(
        Scope.INSTANCE,
        (instance.reference,),
        ReadingStatus.READ,
        None,
        PackIdentity("p", "1.0.0", "onnxruntime", "int8"),
        Timing(1, 2, 3),
        (finding,),
    )


def unjudged(instance: Instance) -> Reading:
    return Reading(
        Scope.INSTANCE,
        (instance.reference,),
        ReadingStatus.CANNOT_JUDGE,
        Reason.of(AGE_OUTSIDE(age=9)),
        None,
        Timing(1, 0, 1),
    )


def test_the_same_identity_is_admitted_once(clinical: ClinicalDatabase) -> None:
    first = admitted(clinical)
    second = clinical.admit(
        path="again",
        file="images/x",
        sha256="f" * 64,
        size=9,
        header=replace(HEADER, sop_instance_uid="1.2.3.1.1"),
        association=None,
    )
    assert second == StoredInstance(first.reference, first.case, first.file, f"{1:064d}")
    assert clinical.counts().instances == 1


def test_images_of_one_study_make_one_case_and_pictures_a_case_each(clinical: ClinicalDatabase) -> None:
    assert admitted(clinical, 1).case == admitted(clinical, 2).case
    pictures = [
        clinical.admit(path=f"{n}.png", file=f"images/p{n}", sha256=str(n) * 64, size=1, header=None, association=None)
        for n in (7, 8)
    ]
    assert len({picture.case for picture in pictures if isinstance(picture, Instance)}) == 2


def test_a_reading_and_the_end_of_waiting_are_one_step(clinical: ClinicalDatabase) -> None:
    admitted(clinical)
    claim = clinical.claim()
    assert claim is not None
    clinical.finish(claim.instance, read(claim.instance), Priority.URGENT)
    clinical.finish(claim.instance, read(claim.instance, 0.1), Priority.ROUTINE)  # a second reader, too late
    (case,) = clinical.cases()
    assert [finding.probability for finding in case.findings] == [0.9]
    assert clinical.claim() is None


def test_claims_are_counted_before_anyone_opens_the_image(clinical: ClinicalDatabase) -> None:
    admitted(clinical)
    counted = [claim.claims for claim in (clinical.claim(), clinical.claim()) if claim]
    assert counted == [1, 2]


def test_a_case_is_as_urgent_as_its_most_urgent_image(clinical: ClinicalDatabase) -> None:
    for number, priority in (
        (1, Priority.CANNOT_JUDGE),
        (2, Priority.ROUTINE),
        (3, Priority.URGENT),
        (4, Priority.SOON),
    ):
        instance = admitted(clinical, number)
        reading = unjudged(instance) if priority is Priority.CANNOT_JUDGE else read(instance)
        clinical.finish(instance, reading, priority)
    (case,) = clinical.cases()
    assert case.priority is Priority.URGENT
    assert [file.status for file in case.files] == [FileStatus.CANNOT_JUDGE] + [FileStatus.READ] * 3


def test_a_revision_waits_for_the_release_of_the_association(clinical: ClinicalDatabase) -> None:
    association = clinical.open_association("dicom:CR1")
    instance = admitted(clinical, 1, association)
    clinical.finish(instance, read(instance), Priority.URGENT)
    assert clinical.close_revisions(quiet_seconds=60) == []
    clinical.close_association(association)
    assert clinical.close_revisions(quiet_seconds=60) == [instance.case]
    assert clinical.close_revisions(quiet_seconds=60) == []
    assert clinical.unread() == 0


def test_a_quiet_sender_that_never_releases_does_not_hold_the_case(clinical: ClinicalDatabase) -> None:
    instance = admitted(clinical, 1, clinical.open_association("dicom:CR1"))
    clinical.finish(instance, read(instance), Priority.URGENT)
    assert clinical.close_revisions(quiet_seconds=-1) == [instance.case]


def test_a_late_image_makes_revision_two(clinical: ClinicalDatabase) -> None:
    for number in (1, 2):
        instance = admitted(clinical, number)
        assert clinical.unread() == 1
        clinical.finish(instance, read(instance), Priority.URGENT)
        clinical.close_revisions(quiet_seconds=60)
    assert clinical.case(instance.case).revision == 2


def test_an_unread_image_is_never_shown_as_normal(clinical: ClinicalDatabase) -> None:
    admitted(clinical)
    (case,) = clinical.cases()
    (file,) = case.files
    assert file.status is FileStatus.CANNOT_JUDGE
    assert file.reason is not None
    assert file.reason.code == "reading.waiting"


def test_a_refusal_without_a_study_is_still_journalled(clinical: ClinicalDatabase) -> None:
    clinical.record_refusal("stick/note.txt", NOT_AN_IMAGE())
    homeless = clinical.unassigned_files()
    assert homeless is not None
    assert [(file.path, file.reason.code) for file in homeless.files if file.reason] == [
        ("stick/note.txt", "intake.not_an_image")
    ]


def test_a_failed_transaction_leaves_nothing(clinical: ClinicalDatabase) -> None:
    with pytest.raises(ZeroDivisionError), clinical.database.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO associations (source, opened_at) VALUES ('x', 'y')")
        raise ZeroDivisionError
    assert clinical.database.connection.execute("SELECT COUNT(*) FROM associations").fetchone()[0] == 0


def test_a_commit_that_fails_leaves_no_transaction_open(clinical: ClinicalDatabase) -> None:
    with pytest.raises(sqlite3.IntegrityError), clinical.database.transaction() as connection:  # noqa: PT012
        connection.execute("PRAGMA defer_foreign_keys = ON")  # the violation then shows at COMMIT only
        connection.execute("INSERT INTO readings VALUES ('i-1', 'c-none', '{}', '')")
    clinical.close_association(clinical.open_association("dicom:CR1"))
    assert clinical.database.connection.execute("SELECT COUNT(*) FROM readings").fetchone()[0] == 0


def test_the_database_syncs_every_commit_and_a_second_user_may_write(clinical: ClinicalDatabase) -> None:
    assert clinical.database.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert clinical.database.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    folder = clinical.database.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660, path.name


def test_a_newer_database_is_not_touched(clinical: ClinicalDatabase) -> None:
    with sqlite3.connect(clinical.database.path) as connection:
        connection.executescript("PRAGMA user_version = 99; PRAGMA application_id = 99")
    connection.close()
    with pytest.raises(StoreTooNew):
        clinical.create()


def test_an_unknown_case_is_a_sentence(clinical: ClinicalDatabase) -> None:
    with pytest.raises(CaseUnknown, match="lantern case list"):
        clinical.case("c-none")


def test_the_ballast_gives_its_space_back(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare_ballast(1)
    assert state.ballast.stat().st_blocks * 512 >= 1_000_000
    assert state.release_ballast()
    assert not state.release_ballast()


def test_a_connection_that_nobody_closed_or_that_could_not_be_opened_goes_without_a_word(tmp_path: Path) -> None:
    """What is said then is an error in the tests; Python 3.13 warns of connections that nobody closed."""
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(sqlite3.OperationalError):
        _ = Database(tmp_path / "folder.db").connection
    opened = Database(tmp_path / "whole.db")
    opened.create(Schema("CREATE TABLE t (n);"))
    del opened
    gc.collect()
