"""The quarantine as `lantern doctor` tells of it."""

from __future__ import annotations

import json

from firmware_app.appliance import doctor as health
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.errors import Undecodable
from firmware_app.core.settings import Config
from firmware_app.dicom.errors import Truncated
from tests.unit.reading.test_quarantine import NAME, admit_image, cannot


def test_the_doctor_lists_the_newest_and_counts_every_reason(clinical: ClinicalDatabase) -> None:
    for _ in range(14):
        clinical.record_refusal(NAME, Truncated(where="(7FE0,0010)"))
    broken = admit_image(clinical)
    cannot(clinical, broken, Undecodable(detail="cut"))
    config = Config.model_validate({"state": {"dir": clinical.database.path.parent.parent}})
    checks = [check for check in health.run_checks(config) if check.name == "refused"]
    rows = [(check.reason.code, check.case) for check in checks]
    assert rows[0] == ("doctor.refused", None)
    assert rows[1] == ("imaging.undecodable", broken.case)
    assert [code for code, _ in rows].count("intake.truncated") == 9
    assert [code for code, _ in rows].count("doctor.refused_of") == 2
    assert checks[-2].reason.text("en").startswith("Reason intake.truncated: 14 ×")
    assert NAME not in json.dumps([check.reason.text("en") for check in checks])
