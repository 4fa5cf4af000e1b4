"""What a box was told in the environment ends with it: the configuration that provisioning writes does not keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_app.appliance import provisioning_request, provisioning_service
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.cli import command_line
from firmware_app.core.settings import Config
from hospital.hospital_site import HospitalSite
from tests.shelf import CLINIC, Box, prepared

ANSWERS = {"box": "clinic-7", "clinic": "X", "language": "en", "zone": "Asia/Shanghai", "ae_title": "LANTERN"}


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """Its file says one thing, and the environment of whoever provisions it three others."""
    made = Box(tmp_path / "box")
    made.state.provision.mkdir()
    made.file.write_text(f"{made.file.read_text()}[viewer]\nport = 8443\n")
    monkeypatch.setenv("LANTERN_VIEWER__PORT", "9999")
    monkeypatch.setenv("LANTERN_RETENTION__DAYS", "700")
    monkeypatch.setenv("LANTERN_READER__PREVALENCE", "pneumonia=0.02")
    return made


def by_file(box: Box, house: HospitalSite) -> None:
    made = prepared(house, box.root / "out")
    asked = ["--file", str(made.file), "--code", made.code, "--no-tpm", "--config", str(box.file)]
    assert command_line.main(["provision", *asked]) == 0


def step_by_step(box: Box, house: HospitalSite) -> None:
    common = ["--no-tpm", "--write", str(box.file)]
    assert command_line.main(["provision", "--id", CLINIC["box"], "--hospital", str(house.bundle_file), *common]) == 0
    _, answer = house.enrol(box.places.keys / "box.json")
    assert command_line.main(["provision", "--enrolment", str(answer), *common]) == 0


def by_the_first_page(box: Box, house: HospitalSite) -> None:
    provisioning_request.ask(box.state, FirstRequest(answers=ANSWERS))
    assert provisioning_service.main(["--config", str(box.file)]) == 0


@pytest.mark.parametrize("way", [by_file, step_by_step, by_the_first_page])
def test_what_stands_in_the_environment_alone_is_not_written(
    box: Box, house: HospitalSite, way: Callable[[Box, HospitalSite], None]
) -> None:
    way(box, house)
    assert box.config.box.id == "clinic-7"
    assert box.config.viewer.port == 8443, "what the file said stays"
    assert box.config.retention == Config().retention
    assert box.config.reader.prevalence == {}
