"""Provisioning of many, typed at a console."""

from __future__ import annotations

import json
import subprocess
import sys

from hospital.new_boxes import PreparedBox
from tests.shelf import Box
from tests.unit.appliance.test_provision_many import box as box
from tests.unit.appliance.test_provision_many import stick as stick


def test_at_the_console_a_folder_is_given_as_a_person_would(stick: list[PreparedBox], box: Box) -> None:
    def say(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "firmware_app", "provision", "--config", str(box.file), "--json"]
        return subprocess.run(
            [*command, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    folder = str(stick[0].file.parent)
    refused = say("--file", folder)
    assert refused.returncode == 1
    assert refused.stderr.startswith("provision.which: ")
    assert "--code" in refused.stderr
    assert box.config.box.id == "unprovisioned"
    done = say("--file", folder, "--code", stick[1].code)
    assert json.loads(done.stdout)["box"] == "clinic-8", done.stderr
    again = say("--file", folder)  # from now on its own id decides
    assert json.loads(again.stdout) == {**json.loads(done.stdout), "code": None, "changed": False}
