"""The clinical database: nothing is read twice, nothing is half-written, a study comes to rest once."""

from __future__ import annotations

import stat

from firmware_app.cases.clinical_db import ClinicalDatabase, StoredInstance
from firmware_app.core.records import FileStatus, Priority
from firmware_app.dicom.errors import NOT_AN_IMAGE
from firmware_app.reading.errors import AGE_OUTSIDE
from tests.cases import admit, make_header, make_reading


def test_the_same_identity_is_admitted_once(clinical: ClinicalDatabase) -> None:
    first = admit(clinical)
    second = clinical.admit(
        path="again", file="images/x", sha256="f" * 64, size=9, header=make_header(), association=None
    )
    assert second == StoredInstance(first.reference, first.case, first.file, f"{1:064d}")
    assert clinical.count_queue().instances == 1


def test_images_of_one_study_make_one_case_and_pictures_a_case_each(clinical: ClinicalDatabase) -> None:
    assert admit(clinical, 1).case == admit(clinical, 2).case
    assert admit(clinical, 7, picture=True).case != admit(clinical, 8, picture=True).case


def test_a_reading_and_the_end_of_waiting_are_one_step(clinical: ClinicalDatabase) -> None:
    admit(clinical)
    claim = clinical.claim()
    assert claim is not None
    clinical.finish(claim.instance, make_reading(claim.instance), Priority.URGENT)
    clinical.finish(claim.instance, make_reading(claim.instance, 0.1), Priority.ROUTINE)  # a second reader, too late
    (case,) = clinical.load_cases()
    assert [finding.probability for finding in case.findings] == [0.9]
    assert clinical.claim() is None


def test_claims_are_counted_before_anyone_opens_the_image(clinical: ClinicalDatabase) -> None:
    admit(clinical)
    counted = [claim.claims for claim in (clinical.claim(), clinical.claim()) if claim]
    assert counted == [1, 2]


def test_a_case_is_as_urgent_as_its_most_urgent_image(clinical: ClinicalDatabase) -> None:
    for number, priority in (
        (1, Priority.CANNOT_JUDGE),
        (2, Priority.ROUTINE),
        (3, Priority.URGENT),
        (4, Priority.SOON),
    ):
        instance = admit(clinical, number)
        reading = (
            make_reading(instance, refusal=AGE_OUTSIDE(age=9))
            if priority is Priority.CANNOT_JUDGE
            else make_reading(instance)
        )
        clinical.finish(instance, reading, priority)
    (case,) = clinical.load_cases()
    assert case.priority is Priority.URGENT
    assert [file.status for file in case.files] == [FileStatus.CANNOT_JUDGE] + [FileStatus.READ] * 3


def test_a_revision_waits_for_the_release_of_the_association(clinical: ClinicalDatabase) -> None:
    association = clinical.open_association("dicom:CR1")
    instance = admit(clinical, association=association)
    clinical.finish(instance, make_reading(instance), Priority.URGENT)
    assert clinical.close_revisions(quiet_seconds=60) == []
    clinical.close_association(association)
    assert clinical.close_revisions(quiet_seconds=60) == [instance.case]
    assert clinical.close_revisions(quiet_seconds=60) == []
    assert clinical.count_unread() == 0


def test_a_quiet_sender_that_never_releases_does_not_hold_the_case(clinical: ClinicalDatabase) -> None:
    instance = admit(clinical, association=clinical.open_association("dicom:CR1"))
    clinical.finish(instance, make_reading(instance), Priority.URGENT)
    assert clinical.close_revisions(quiet_seconds=-1) == [instance.case]


def test_a_late_image_makes_revision_two(clinical: ClinicalDatabase) -> None:
    for number in (1, 2):
        instance = admit(clinical, number)
        assert clinical.count_unread() == 1
        clinical.finish(instance, make_reading(instance), Priority.URGENT)
        clinical.close_revisions(quiet_seconds=60)
    assert clinical.load_case(instance.case).revision == 2


def test_an_unread_image_is_never_shown_as_normal(clinical: ClinicalDatabase) -> None:
    admit(clinical)
    (case,) = clinical.load_cases()
    (file,) = case.files
    assert file.status is FileStatus.CANNOT_JUDGE
    assert file.reason is not None
    assert file.reason.code == "reading.waiting"


def test_a_refusal_without_a_study_is_still_journalled(clinical: ClinicalDatabase) -> None:
    clinical.record_refusal("stick/note.txt", NOT_AN_IMAGE())
    homeless = clinical.find_unassigned_files()
    assert homeless is not None
    assert [(file.path, file.reason.code) for file in homeless.files if file.reason] == [
        ("stick/note.txt", "intake.not_an_image")
    ]


def test_the_database_syncs_every_commit_and_a_second_user_may_write(clinical: ClinicalDatabase) -> None:
    assert clinical.database.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert clinical.database.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    folder = clinical.database.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660, path.name
