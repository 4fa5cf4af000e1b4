"""Provisioning step by step, as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys

from firmware_app.appliance import box_identity
from firmware_app.appliance.errors import PROVISIONED_ALREADY
from hospital.hospital_site import HospitalSite
from tests.refusals import raises_refusal
from tests.shelf import Box
from tests.unit.appliance.test_provision_again import box as box
from tests.unit.appliance.test_provision_again import given, kept
from tests.unit.appliance.test_provision_again import other as other


def test_step_by_step_gives_no_other_hospital(house: HospitalSite, other: HospitalSite, box: Box) -> None:
    given(box, house.bundle())
    before = kept(box)
    with raises_refusal(PROVISIONED_ALREADY):
        box_identity.begin_identity(box.places.keys, "clinic-7", other.bundle_file)
    command = [sys.executable, "-m", "firmware_app", "provision", "--config", str(box.file)]
    asked = [*command, "--id", "clinic-7", "--hospital", str(other.bundle_file)]
    english = {**os.environ, "LANTERN_BOX__LANGUAGE": "en"}
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env=english)
    assert done.returncode == 1
    assert done.stderr.startswith("provision.already: ")
    assert "console" in done.stderr
    assert kept(box) == before
