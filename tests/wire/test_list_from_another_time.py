"""A start of `serve` under a clock that was ahead, with the right clock back: the line opens again by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from firmware_app.core.records import Priority
from tests.faults.shifted_clock import ShiftedClock
from tests.wire.line_rig import HospitalRig, run_hospital, wait_for

AHEAD = "+400d"


def starts(site: HospitalRig) -> datetime:
    return x509.load_pem_x509_crl((site.house.tls / "revoked.pem").read_bytes()).last_update_utc


def run_hospital_at(site: HospitalRig, log: Path, time: dict[str, str]) -> None:
    serve = site.start_process(site.receiver.command, log, **time).start()
    wait_for(lambda: starts(site) > datetime.now(UTC), because="the list as the wrong clock writes it")
    serve.stop()


def revoke_at(site: HospitalRig, log: Path, time: dict[str, str]) -> None:
    command = [*site.receiver.command[:3], "revoke", "clinic-s", "--dir", str(site.house.root)]
    site.start_process(command, log, **time).start()
    wait_for(lambda: starts(site) > datetime.now(UTC), because="the list as the wrong clock writes it")


@pytest.mark.parametrize("harm", [run_hospital_at, pytest.param(revoke_at, marks=pytest.mark.slow)])
def test_a_clock_that_was_ahead_locks_nobody_out(
    tmp_path: Path, harm: Callable[[HospitalRig, Path, dict[str, str]], None]
) -> None:
    with run_hospital(tmp_path, with_receiver=False) as site:
        site.box("clinic-s")
        box = site.box("clinic-7")
        harm(site, tmp_path / "ahead.log", ShiftedClock(tmp_path, AHEAD).environment)
        site.broker.kill()
        site.start_broker()
        uplink = site.uplink(box).start()
        wait_for(lambda: "uplink.refused_dates" in uplink.log.read_text(), because="the box says what is the matter")
        site.receiver.start()
        wait_for(lambda: '"listening"' in site.receiver.log.read_text(), 60, "serve is let in again")
        assert "hospital.list_early" in site.receiver.log.read_text()
        box.add_image(1, Priority.URGENT)
        box.relay().step()
        wait_for(lambda: len(site.list_revisions()) == 1, 60, "and the box")
