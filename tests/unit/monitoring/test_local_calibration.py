"""What the clinic confirms of its films: drawn before anybody sees it, never overwritten, and followed by the box."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring, database_repair
from firmware_app.cases import case_deletion, imaging_devices, model_scores
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.cases.errors import ConfirmationUnknown, NotSuspended, ResultShown
from firmware_app.cases.model_scores import ConfirmationReason, ModelSite, SamplingShares
from firmware_app.cases.suspensions import Suspensions
from firmware_app.core.records import Header
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.header import examine_file
from tests import objects
from tests.local_films import FINDING, PLACE, SECRET, binormal, create_database, read_image


def confirm_films(clinical: ClinicalDatabase, auc: float, count: int = 100, first: int = 0) -> list[ModelSite]:
    """Films of a pack with this AUC until *count* of those that are asked for are confirmed; where it is suspended."""
    says, known = Confirmations(clinical.database), 0
    suspended: list[ModelSite] = []
    for number, (score, truth) in enumerate(binormal(600, auc), start=first):
        case = read_image(clinical, number, score)
        if FINDING in says.find_requests(case):
            word = Truth.POSITIVE if truth else Truth.NEGATIVE
            suspended += says.confirm(case, FINDING, word, Source.LABORATORY, "li")
            known += 1
        if known == count or suspended:
            return suspended
    raise AssertionError("too few films were asked for")


def header(**said: str) -> Header:
    return Header("1.2", "1.2.3", None, None, "1.2.840.10008.1.2", **said)  # type: ignore[arg-type]


def test_the_draw_is_the_same_again_and_another_under_another_secret() -> None:
    shares = SamplingShares(0.1, 0.2)
    drawn = [model_scores.draw_confirmation(SECRET, f"c-{n}", FINDING, False, shares) for n in range(400)]
    assert drawn == [model_scores.draw_confirmation(SECRET, f"c-{n}", FINDING, False, shares) for n in range(400)]
    assert drawn != [model_scores.draw_confirmation(b"other", f"c-{n}", FINDING, False, shares) for n in range(400)]
    asked = [one.asked for one in drawn]
    assert 20 < asked.count(ConfirmationReason.BEFORE) < 65
    assert 45 < asked.count(ConfirmationReason.LOW) < 105
    assert [one.probability for one in drawn] == pytest.approx([0.28] * 400)


def test_every_film_that_is_called_is_asked_for_with_certainty() -> None:
    drawn = [
        model_scores.draw_confirmation(SECRET, f"c-{n}", FINDING, True, SamplingShares(0.1, 0.2)) for n in range(50)
    ]
    assert {one.asked for one in drawn} == {ConfirmationReason.BEFORE, ConfirmationReason.CALLED}
    assert {one.probability for one in drawn} == {1.0}


def test_a_machine_is_known_again_by_its_header_and_by_nothing_else() -> None:
    first = imaging_devices.identify_device(header(manufacturer="Acme", model_name="X1", station_name="room 2"), SECRET)
    same = imaging_devices.identify_device(
        header(manufacturer="ACME ", model_name="x1", station_name="room  2", body_part="CHEST"), SECRET
    )
    other = imaging_devices.identify_device(header(manufacturer="Acme", model_name="X1", station_name="room 3"), SECRET)
    assert first.digest == same.digest != other.digest
    assert first.name == "Acme · X1 · room 2"
    assert (
        imaging_devices.identify_device(
            header(manufacturer="Acme", model_name="X1", station_name="room 2"), b"x"
        ).digest
        != first.digest
    )
    assert imaging_devices.identify_device(None, SECRET) == imaging_devices.identify_device(header(), SECRET)


def test_the_door_reads_the_machine_and_the_accession_number(tmp_path: Path) -> None:
    said = (
        (0x00080050, b"SH", b"A17 "),
        (0x00080070, b"LO", b"Acme"),
        (0x00081010, b"SH", b"R2"),
        (0x00081090, b"LO", b"X1"),
    )
    path = tmp_path / "film.dcm"
    path.write_bytes(objects.file_of(objects.film(extra=b"".join(objects.element(*one) for one in said))))
    examined = examine_file(path)
    assert imaging_devices.identify_device(examined.header, SECRET).name == "Acme · X1 · R2"
    assert examined.identity["accession"] == "A17"


def test_words_outlive_their_case_and_a_damaged_database(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    case = read_image(clinical, 1, 0.9)
    Confirmations(clinical.database).confirm(case, FINDING, Truth.POSITIVE, Source.LABORATORY, "li")
    with clinical.database.transaction() as connection:
        case_deletion._delete_rows(connection, case, 1)
    clinical.database.close()
    state = StateDir(tmp_path)
    state.prepare()
    backup_ring.BackupRing(state.backup).make([state.clinical_db], 3, 0)
    with state.clinical_db.open("r+b") as file:
        file.write(bytes(4096))
    database_repair.prepare_database(state, state.clinical_db)
    rebuilt = ClinicalDatabase(state.clinical_db)
    (film,) = Confirmations(rebuilt.database).load_images(PLACE, FINDING).films
    assert film.truth is True


def test_the_last_word_of_the_highest_source_counts_and_all_are_kept(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    says, case = Confirmations(clinical.database), read_image(clinical, 1, 0.9)
    for truth, source in (
        (Truth.POSITIVE, Source.LABORATORY),
        (Truth.NEGATIVE, Source.AFTER),
        (Truth.NEGATIVE, Source.LABORATORY),
        (Truth.POSITIVE, Source.REFERRAL),
    ):
        says.confirm(case, FINDING, truth, source, "li")
    counts = says.find_truth(case, FINDING)
    assert counts is not None
    assert (counts.truth, counts.source) == (Truth.NEGATIVE, Source.LABORATORY)
    says.confirm(case, FINDING, Truth.UNSURE, Source.LABORATORY, "li")
    counts = says.find_truth(case, FINDING)
    assert counts is not None
    assert (counts.truth, counts.source) == (Truth.POSITIVE, Source.REFERRAL)
    assert len(says.list_for_case(case)) == 5
    assert [entry.action for entry in Audit(clinical.database).latest(9)] == ["finding.confirmed"] * 5


def test_a_finding_without_a_score_cannot_be_confirmed(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    case = read_image(clinical, 1, 0.9)
    with pytest.raises(ConfirmationUnknown):
        Confirmations(clinical.database).confirm(case, "cough", Truth.POSITIVE, Source.AFTER, "li")


def test_a_reading_after_the_result_is_never_taken_for_one_before(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    says = Confirmations(clinical.database)
    cases = [read_image(clinical, number, 0.9, shares=SamplingShares(0.5, 0.2)) for number in range(12)]
    hidden = [case for case in cases if says.list_withheld(case)]
    assert 0 < len(hidden) < 12
    for case in (hidden[0], next(case for case in cases if case not in hidden)):
        says.record_shown(case, "li")
        assert says.list_withheld(case) == ()
        with pytest.raises(ResultShown):
            says.confirm(case, FINDING, Truth.POSITIVE, Source.OWN_BEFORE, "li")
    says.confirm(hidden[1], FINDING, Truth.POSITIVE, Source.OWN_BEFORE, "li")
    assert says.list_withheld(hidden[1]) == ()


def test_a_film_that_nobody_asked_for_is_kept_but_not_counted(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    says = Confirmations(clinical.database)
    cases = [read_image(clinical, number, 0.1) for number in range(40)]
    free = [case for case in cases if not says.find_requests(case)]
    says.confirm(free[0], FINDING, Truth.POSITIVE, Source.REFERRAL, "li")
    known = says.load_images(PLACE, FINDING)
    assert len(known.films) == 40
    assert known.aside == 1
    assert [film for film in known.films if film.truth is not None] == []
    says.confirm(free[1], FINDING, Truth.POSITIVE, Source.CSV, "li", complete=True)
    (counted,) = [film for film in says.load_images(PLACE, FINDING).films if film.truth is not None]
    assert counted.asked == 1.0


def test_of_two_images_of_a_case_the_stronger_counts(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    case = read_image(clinical, 1, 0.3)
    assert {read_image(clinical, 1, 0.8, image=2), read_image(clinical, 1, 0.6, image=3)} == {case}
    (film,) = Confirmations(clinical.database).load_images(PLACE, FINDING).films
    assert (film.score, film.asked) == (0.8, 1.0)


def test_what_waits_for_a_word_is_listed_until_it_has_one(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    says = Confirmations(clinical.database)
    first, second = read_image(clinical, 1, 0.9), read_image(clinical, 2, 0.9)
    assert [one.case for one in says.list_pending()] == [second, first]
    says.confirm(second, FINDING, Truth.UNSURE, Source.AFTER, "li")
    assert [one.case for one in says.list_pending()] == [first]


def test_an_unfit_pack_is_suspended_within_100_confirmed_films_and_a_fit_one_is_not(tmp_path: Path) -> None:
    unfit, fit = create_database(tmp_path / "unfit"), create_database(tmp_path / "fit")
    assert confirm_films(unfit, 0.5) == [PLACE]
    suspension = Suspensions(unfit.database).find_suspension(PLACE)
    assert suspension is not None
    assert suspension.finding == FINDING
    assert suspension.auc_low < suspension.auc < suspension.auc_high
    assert Audit(unfit.database).latest(1)[0].action == "calibration.suspended"
    assert confirm_films(fit, 0.9) == []
    assert Suspensions(fit.database).find_suspension(PLACE) is None


def test_a_new_version_and_a_new_machine_begin_anew(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    assert confirm_films(clinical, 0.5)
    for other in (ModelSite("toy-child", "0.0.2", PLACE.machine), ModelSite("toy-child", "0.0.1", "m-" + "2" * 20)):
        assert Suspensions(clinical.database).find_suspension(other) is None


def test_a_person_lets_a_pack_go_on_and_only_later_films_are_tested(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    confirm_films(clinical, 0.5)
    standings = Suspensions(clinical.database)
    standings.resume(PLACE, "li")
    assert standings.find_suspension(PLACE) is None
    assert confirm_films(clinical, 0.5, count=30, first=1000) == []
    assert confirm_films(clinical, 0.5, first=2000) == [PLACE]
    standings.resume(PLACE, "li")
    with pytest.raises(NotSuspended):
        standings.resume(PLACE, "li")


def test_a_case_that_is_read_again_leaves_no_score_of_the_wrong_pack(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    case = read_image(clinical, 1, 0.9)
    with clinical.database.transaction():
        clinical.reopen(case)
    assert Confirmations(clinical.database).load_images(PLACE, FINDING).films == ()


def test_a_killed_confirmation_leaves_nothing_half_done(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    case = read_image(clinical, 1, 0.9)
    clinical.database.connection.execute(
        "CREATE TEMP TRIGGER cut BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'cut'); END"
    )
    with pytest.raises(sqlite3.DatabaseError):
        Confirmations(clinical.database).confirm(case, FINDING, Truth.POSITIVE, Source.AFTER, "li")
    assert Confirmations(clinical.database).list_for_case(case) == ()
