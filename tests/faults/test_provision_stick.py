"""Provisioning files on real sticks: what damage hides may be this box's file, and what it leaves another's."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import provisioning_files, provisioning_request
from firmware_app.appliance.processes import importer
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.stick_handover import ReceivedStick, Word
from hospital.hospital_site import HospitalSite
from tests.faults import sticks
from tests.faults.sticks import Stick
from tests.shelf import prepared


@pytest.fixture
def box(tmp_path: Path) -> tuple[Config, StateDir]:
    """A new box that trusts the hospital already, so that one file of it would be taken by itself."""
    house = HospitalSite(tmp_path / "hospital")
    house.establish("mqtt.hospital.example", 8883)
    config, state, clinical = sticks.box(tmp_path / "state")
    clinical.database.close()
    state.provision.mkdir()
    state.line_keys.mkdir()
    KeyFiles(state.line_keys).hospital.write_bytes(house.bundle_file.read_bytes())
    content = tmp_path / "content"
    for folder, number in ((content, 7), (content / "MORE", 8), (content / "MORE", 9)):
        prepared(house, folder, box=f"clinic-{number}")
        (folder / "labels.html").unlink()
    return config, state


def imported(config: Config, made: Stick, word: Word | None = None) -> None:
    with made.handed() as handed:
        importer.run(config, ReceivedStick(word or handed.word, handed.root), threading.Event())


def without(image: Path, folder: bytes) -> None:
    """Let the first block of a FAT folder be nothing but zeros, as worn flash gives it: the driver shows no file."""
    data = bytearray(image.read_bytes())
    entry = data.index(folder.ljust(11))
    data_at = data.index(b".          ", entry)
    data[data_at : data_at + 2048] = bytes(2048)
    image.write_bytes(data)


def test_the_one_file_that_damage_has_left_is_not_taken_for_this_box_s(
    box: tuple[Config, StateDir], tmp_path: Path
) -> None:
    config, state = box
    image = sticks.fat(tmp_path / "image", tmp_path / "content")
    without(image, b"MORE")
    with sticks.stick(image, tmp_path / "usb") as made:
        made.plug()
        imported(config, made)
    assert provisioning_files.list_offers(state) == ["clinic-7"]  # the code of its label decides
    assert not provisioning_request.is_waiting(state)


def test_the_only_file_of_a_whole_stick_is_taken_and_of_one_that_cannot_be_judged_it_is_not(
    box: tuple[Config, StateDir], tmp_path: Path
) -> None:
    config, state = box
    for file in (tmp_path / "content/MORE").iterdir():
        file.unlink()
    image = sticks.fat(tmp_path / "image", tmp_path / "content")
    with sticks.stick(image, tmp_path / "usb") as made:
        made.plug()
        with made.handed() as handed:
            imported(config, made, replace(handed.word, kind=""))
        assert not provisioning_request.is_waiting(state)
        imported(config, made)
    assert provisioning_request.is_waiting(state)
