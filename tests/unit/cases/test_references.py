"""The secret behind the names of the cases: two copies, either restores the other, and no second one is ever drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.appliance import rescue
from firmware_app.cases import references
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import REFERENCES_LOST
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import NotKept
from firmware_app.ingest.intake import ImageIntake
from tests.objects import file_of, film
from tests.refusals import raises_refusal


def key_file(state: StateDir) -> Path:
    return state.clinical_db.parent / references.KEY_FILE


def accept_image(state: StateDir, clinical: ClinicalDatabase, at: Path, number: int) -> str:
    if not at.exists():  # no film is drawn twice
        at.write_bytes(file_of(film(study=f"2.25.{number}", sop_instance=f"2.25.{number}.1")))
    return ImageIntake(state, clinical, 1, 64).accept_file(at).case


def forget_row(clinical: ClinicalDatabase) -> None:
    clinical.database.connection.execute("DELETE FROM secrets")


def test_the_secret_is_made_before_the_first_image(state: StateDir, clinical: ClinicalDatabase) -> None:
    assert len(key_file(state).read_bytes()) == 32


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_restored_from_the_database(
    state: StateDir, clinical: ClinicalDatabase, tmp_path: Path, damage: bytes | None
) -> None:
    before = key_file(state).read_bytes()
    accept_image(state, clinical, tmp_path / "a.dcm", 1)
    key_file(state).unlink()
    if damage is not None:
        key_file(state).write_bytes(damage)
    again = ClinicalDatabase(state.clinical_db)
    again.create()
    again.database.close()
    assert key_file(state).read_bytes() == before


def test_a_changed_file_of_the_right_length_does_not_outweigh_the_proved_copy(
    state: StateDir, clinical: ClinicalDatabase
) -> None:
    before = key_file(state).read_bytes()
    key_file(state).write_bytes(bytes(32))
    clinical.create()
    assert key_file(state).read_bytes() == before


def test_a_lost_row_is_restored_from_the_file(state: StateDir, clinical: ClinicalDatabase, tmp_path: Path) -> None:
    accept_image(state, clinical, tmp_path / "a.dcm", 1)
    forget_row(clinical)
    clinical.create()
    assert clinical.database.connection.execute("SELECT COUNT(*) FROM secrets").fetchone()[0] == 1


def test_no_second_secret_is_drawn_and_the_sender_is_told(
    state: StateDir, clinical: ClinicalDatabase, tmp_path: Path
) -> None:
    accept_image(state, clinical, tmp_path / "a.dcm", 1)
    forget_row(clinical)
    key_file(state).unlink()
    clinical.database.close()
    later = ClinicalDatabase(state.clinical_db)
    with raises_refusal(REFERENCES_LOST):
        later.create()
    with pytest.raises(NotKept) as refused:
        accept_image(state, later, tmp_path / "b.dcm", 2)
    assert refused.value.detail == REFERENCES_LOST.code
    assert len(list(state.images.glob("*/*.dcm"))) == 1
    assert later.count_queue().refused == 1
    assert list(state.incoming.iterdir()) == []
    assert not key_file(state).exists()
    later.database.close()


def test_a_rescue_without_any_copy_of_the_secret_is_refused(
    state: StateDir, clinical: ClinicalDatabase, tmp_path: Path
) -> None:
    accept_image(state, clinical, tmp_path / "a.dcm", 1)
    clinical.database.close()
    state.clinical_db.write_bytes(b"\xff" * 30000)
    key_file(state).unlink()
    with raises_refusal(REFERENCES_LOST):
        rescue.rescue_database(state, state.clinical_db)
    assert state.clinical_db.read_bytes() == b"\xff" * 30000
