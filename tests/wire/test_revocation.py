"""A box that was lost or stolen is cut off at a running mosquitto, and one that comes back is taken in again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_app.core.records import Priority
from hospital.errors import BOX_REVOKED
from tests.refusals import raises_refusal
from tests.wire.line_rig import HospitalRig, ManagedProcess, run_hospital, wait_for


def hospital(site: HospitalRig, *words: str) -> tuple[int, dict[str, Any]]:
    """A command of the hospital in its own process: its status, and what it printed."""
    command = [sys.executable, "-m", "hospital.cli", *words, "--dir", str(site.house.root), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, json.loads(done.stdout or "{}")


def is_open(uplink: ManagedProcess) -> bool:
    return uplink.log.read_text().count("the line is open") > uplink.log.read_text().count("was interrupted")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HospitalRig]:
    with run_hospital(tmp_path) as made:
        yield made


def test_a_stolen_box_is_cut_off_and_the_others_go_on(site: HospitalRig) -> None:
    stolen, other = site.box("clinic-s"), site.box("clinic-o")
    uplinks = [site.uplink(box).start() for box in (stolen, other)]
    wait_for(lambda: all(map(is_open, uplinks)), because="both boxes are connected")

    assert hospital(site, "revoke", "clinic-s") == (0, {"box": "clinic-s", "certificates": 1, "broker": "in force"})

    wait_for(lambda: "uplink" in uplinks[0].log.read_text() and not is_open(uplinks[0]), because="its line is ended")
    wait_for(lambda: "closed the line before it answered" in uplinks[0].log.read_text(), because="it is refused")
    other.add_image(1, Priority.URGENT)
    other.relay().step()
    wait_for(lambda: len(site.list_revisions()) == 1, because="the other box is counted")
    assert is_open(uplinks[1])
    assert [row.box for row in site.inbox.list_boxes()] == ["clinic-o"]

    with raises_refusal(BOX_REVOKED):
        site.house.enrol(stolen.folder / "state/line/box.json")
    _, enrolment = site.house.enrol(stolen.folder / "state/line/box.json", replace=True)
    assert stolen.config.uplink.tls_cert is not None
    stolen.config.uplink.tls_cert.write_text(json.loads(enrolment.read_text())["certificate"])
    wait_for(lambda: is_open(uplinks[0]), 40, "it is taken back")


def test_a_box_revoked_while_the_broker_is_down_is_refused_when_it_starts(site: HospitalRig) -> None:
    box = site.box("clinic-s")
    shutil.rmtree(site.house.tls / "issued")  # as the last version left it: the enrolment file alone tells
    site.broker.stop()
    assert hospital(site, "revoke", "clinic-s")[1] == {"box": "clinic-s", "certificates": 1, "broker": "no broker"}
    site.start_broker()
    uplink = site.uplink(box).start()
    wait_for(lambda: "closed the line before it answered" in uplink.log.read_text(), because="it is refused")


def test_a_revoked_box_whose_certificate_this_hospital_does_not_know_may_say_nothing(site: HospitalRig) -> None:
    box = site.box("clinic-s")
    shutil.rmtree(site.house.tls / "issued")  # as after a restore from before the box was enrolled again
    site.house.enrolment_path("clinic-s").unlink()
    assert hospital(site, "revoke", "clinic-s") == (0, {"box": "clinic-s", "certificates": 0, "broker": "in force"})
    box.add_image(1, Priority.URGENT)
    box.relay().step()
    site.uplink(box).start()
    wait_for(lambda: box.exchange.read_status().quarantined == 1, because="the broker refuses what it sends")
    assert site.list_quarantine_codes() == []


def test_a_broker_that_has_not_read_the_list_is_told_of(site: HospitalRig) -> None:
    box = site.box("clinic-s")
    uplink = site.uplink(box).start()
    wait_for(lambda: is_open(uplink), because="the box is connected")
    (site.house.broker / "mosquitto.pid").unlink()
    assert hospital(site, "revoke", "clinic-s") == (1, {"box": "clinic-s", "certificates": 1, "broker": "not read"})


def test_a_second_receiver_on_one_folder_says_so_and_ends(site: HospitalRig) -> None:
    second = [*site.receiver.command, "--no-page"]
    done = subprocess.run(second, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "works in" in done.stderr) == (1, True), done.stderr
