"""A box that replaces a lost one: the hospital counts each case once, and refuses the old box."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import backup_ring, box_identity, locked_backup, locked_restore
from firmware_app.appliance.errors import RESTORE_NOT_EMPTY
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config, describe_config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.outbox import Outbox
from tests.refusals import raises_refusal
from tests.wire.line_rig import Box, HospitalRig, run_hospital, wait_for

NAME = "clinic-7"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HospitalRig]:
    with run_hospital(tmp_path) as made:
        yield made


def replacement(site: HospitalRig, folder: Path, state: StateDir) -> Box:
    """The restored box with an identity of its own, enrolled in the old one's place."""
    box_identity.begin_identity(state.line_keys, NAME, site.house.bundle_file)
    _, enrolment = site.house.enrol(state.line_keys / "box.json", replace=True)
    box_identity.complete_identity(state.line_keys, enrolment)
    tree: dict[str, Any] = {"state": {"dir": str(state.root)}, **box_identity.make_settings(state.line_keys)}
    config_file = folder / "lantern.toml"
    config_file.write_text(describe_config(Config.model_validate(tree)), "utf-8")
    clinical, exchange = ClinicalDatabase(state.clinical_db), Exchange(state.exchange_db)
    clinical.create()
    exchange.create()
    site.boxes.append(Box(folder, NAME, config_file, clinical, exchange))
    return site.boxes[-1]


def await_counted(site: HospitalRig, box: Box, cases: set[str]) -> None:
    relay = box.relay()

    def all_counted() -> bool:
        relay.step()
        return {case for case, _ in site.list_revisions()} == cases and Outbox(box.clinical.database).count() == 0

    wait_for(all_counted, 60, "every case, and every receipt")


def test_a_restored_box_goes_on_and_the_hospital_refuses_the_old_one(site: HospitalRig, tmp_path: Path) -> None:
    old = site.box(NAME)
    state = StateDir(old.folder / "state")
    film, disk = state.images / "0", tmp_path / "disk"  # of study 0
    film.write_bytes(secrets.token_bytes(1000))
    disk.mkdir()
    code = locked_backup.make_recovery_code(state)
    uplink = site.uplink(old).start()
    cases = {old.add_image(number) for number in range(3)}
    await_counted(site, old, cases)
    not_sent_yet = old.add_image(3)
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    cases |= {not_sent_yet, old.add_image(4)}  # the last one is read after the backup: it lives at the hospital alone
    await_counted(site, old, cases)
    uplink.stop()

    other = tmp_path / "replacement"
    fresh = StateDir(other / "state")
    assert locked_restore.restore_backup(fresh, disk, code).images == 1
    assert (fresh.images / "0").read_bytes() == film.read_bytes()
    new = replacement(site, other, fresh)
    with raises_refusal(RESTORE_NOT_EMPTY):
        locked_restore.restore_backup(fresh, disk, code)
    assert new.exchange.read_status().stream != old.exchange.read_status().stream
    assert new.clinical.load_case(not_sent_yet).revision == 1
    site.uplink(new).start()
    cases |= {new.add_image(5)}
    await_counted(site, new, cases)
    assert len(site.list_revisions()) == len(cases), "what both boxes have sent is counted once"

    refused = old.add_image(6)
    relay = old.relay()
    relay.step()
    site.uplink(old).start()

    def is_refused() -> bool:
        relay.step()
        return (reason := old.exchange.read_status().reason) is not None and reason.code != "uplink.open"

    wait_for(is_refused, 60, "the old box does not get in")
    assert refused not in {case for case, _ in site.list_revisions()}
    assert Outbox(old.clinical.database).count() == 1, "and keeps what it could not deliver"
