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
from tests.wire.line_rig import Box, Place, place, wait_for

NAME = "clinic-7"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made


def replacement(site: Place, folder: Path, state: StateDir) -> Box:
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


def await_counted(site: Place, box: Box, cases: set[str]) -> None:
    relay = box.relay()

    def all_counted() -> bool:
        relay.step()
        return {case for case, _ in site.counted()} == cases and Outbox(box.clinical.database).count() == 0

    wait_for(all_counted, 60, "every case, and every receipt")


def test_a_restored_box_goes_on_and_the_hospital_refuses_the_old_one(site: Place, tmp_path: Path) -> None:
    old = site.box(NAME)
    state = StateDir(old.folder / "state")
    film, disk = state.images / "0", tmp_path / "disk"  # of study 0
    film.write_bytes(secrets.token_bytes(1000))
    disk.mkdir()
    code = locked_backup.make_recovery_code(state)
    uplink = site.uplink(old).start()
    cases = {old.show(number) for number in range(3)}
    await_counted(site, old, cases)
    not_sent_yet = old.show(3)
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    cases |= {not_sent_yet, old.show(4)}  # the last one is read after the backup: it lives at the hospital alone
    await_counted(site, old, cases)
    uplink.stop()

    other = tmp_path / "replacement"
    fresh = StateDir(other / "state")
    assert locked_restore.restore_backup(fresh, disk, code).images == 1
    assert (fresh.images / "0").read_bytes() == film.read_bytes()
    new = replacement(site, other, fresh)
    with raises_refusal(RESTORE_NOT_EMPTY):
        locked_restore.restore_backup(fresh, disk, code)
    assert new.exchange.line().stream != old.exchange.line().stream
    assert new.clinical.case(not_sent_yet).revision == 1
    site.uplink(new).start()
    cases |= {new.show(5)}
    await_counted(site, new, cases)
    assert len(site.counted()) == len(cases), "what both boxes have sent is counted once"

    refused = old.show(6)
    relay = old.relay()
    relay.step()
    site.uplink(old).start()

    def is_refused() -> bool:
        relay.step()
        return (reason := old.exchange.line().reason) is not None and reason.code != "uplink.open"

    wait_for(is_refused, 60, "the old box does not get in")
    assert refused not in {case for case, _ in site.counted()}
    assert Outbox(old.clinical.database).count() == 1, "and keeps what it could not deliver"
