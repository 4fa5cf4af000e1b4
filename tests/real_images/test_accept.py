"""Every real file at the one door of all images."""

from __future__ import annotations

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from tests.peers import dicom_files, find_shared_data
from tests.unit.ingest.test_accept import accept_files


def test_every_real_file_is_taken_or_refused_with_a_code(state: StateDir, clinical: ClinicalDatabase) -> None:
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=512)
    verdicts = accept_files(door, dicom_files(find_shared_data("data", "dicom")))
    assert (
        sum(
            verdict in ("accepted", "duplicate", "intake.conflict", "intake.header_conflict")
            for verdict in verdicts.values()
        )
        >= 98
    )
    assert list(state.incoming.iterdir()) == []
