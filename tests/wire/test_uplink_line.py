"""The sealed line end to end, against a real mosquitto with TLS, client certificates and an ACL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.records import LocalState, Priority
from firmware_app.uplink.exchange.exchange_db import BoxHealth
from firmware_app.uplink.messages.box_reports import (
    ClinicFigures,
    DiskSlot,
    DriftWatch,
    LeftSlot,
    MeasureDrift,
    MeasureTrend,
    RunningSoftware,
    SiteDrift,
    SiteFigures,
    SlotLeftReason,
    SoftwareState,
)
from firmware_app.uplink.messages.summary import PackBrief
from firmware_app.uplink.outbox import Outbox
from hospital.inbox import inbox_tables
from tests.wire.line_rig import Box, HospitalRig, run_hospital, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HospitalRig]:
    with run_hospital(tmp_path) as made:
        yield made


def settle(box: Box, seconds: float = 30) -> None:
    """Relay until the hospital's receipts have emptied the box."""
    relay = box.relay()

    def empty() -> bool:
        relay.step()
        return box.exchange.read_status().outgoing == 0 and Outbox(box.clinical.database).count() == 0

    wait_for(empty, seconds, "the receipts come back")


def code(box: Box) -> str | None:
    reason = box.exchange.read_status().reason
    return reason.code if reason else None


def test_a_case_reaches_the_hospital_once_and_leaves_the_box_on_the_receipt(site: HospitalRig) -> None:
    box = site.box("clinic-7")
    case = box.add_image(1, Priority.URGENT)
    uplink = site.uplink(box).start()
    settle(box)
    (row,) = site.inbox.list_cases()
    assert (row.box, row.case, row.revision, row.priority) == ("clinic-7", case, 1, "urgent")
    assert row.brief is not None
    assert row.brief["findings"] == [{"code": "pneumonia", "hundredths": 93}]
    wait_for(lambda: [one.state for one in site.inbox.list_boxes()] == ["birth"])
    assert code(box) == "uplink.open"
    uplink.stop()
    wait_for(lambda: [one.state for one in site.inbox.list_boxes()] == ["death"], because="an orderly goodbye")
    assert site.list_quarantine_codes() == []


def test_a_box_that_is_cut_off_is_declared_dead_by_its_last_will(site: HospitalRig) -> None:
    box = site.box("clinic-7", health_seconds=1)
    uplink = site.uplink(box).start()
    wait_for(lambda: [one.state for one in site.inbox.list_boxes()] == ["health"])
    uplink.kill()
    wait_for(lambda: [one.state for one in site.inbox.list_boxes()] == ["death"], because="the last will")
    uplink.start()
    wait_for(lambda: site.inbox.list_boxes()[0].state in ("birth", "health"), because="the next birth")
    assert set(site.list_quarantine_codes()) <= {"hospital.outdated"}


def test_without_a_broker_the_clinic_works_on_and_then_the_urgent_go_first(site: HospitalRig) -> None:
    box = site.box("clinic-7")
    site.receiver.stop()
    site.broker.kill()
    site.uplink(box).start()
    wait_for(lambda: code(box) == "uplink.no_broker", because="the box says why")
    relay = box.relay()
    for number in range(150):
        box.add_image(number)
    urgent = {box.add_image(number, Priority.URGENT) for number in range(150, 155)}
    relay.step()
    assert box.exchange.read_status().outgoing == 155
    site.start_broker()
    site.receiver.log.write_text("")
    site.receiver.start()
    wait_for(lambda: '"listening"' in site.receiver.log.read_text())
    settle(box)
    arrived = [case for case, _ in site.list_revisions()]
    assert len(arrived) == 155
    assert set(arrived[:5]) == urgent


def test_what_the_broker_refuses_is_set_aside_and_the_next_one_flows(site: HospitalRig) -> None:
    box = site.box("clinic-7")  # enrolling it writes the acl anew
    (site.house.broker / "acl").write_text(
        "pattern write lantern/v1/up/%u/alert\npattern read lantern/v1/down/%u/+\n"
        "user HOSPITAL\ntopic read lantern/v1/up/#\ntopic write lantern/v1/down/#\n"
    )
    site.broker.kill()
    site.start_broker()
    box.add_image(1)
    relay = box.relay()
    relay.step()
    uplink = site.uplink(box).start()
    wait_for(lambda: box.exchange.read_status().quarantined == 1, because="the digest is refused")
    alert = box.add_image(2, Priority.URGENT)
    relay.step()
    wait_for(lambda: site.list_revisions() == [(alert, 1)], because="the alert flows")
    uplink.stop()
    row = box.exchange.database.connection.execute("SELECT code, details FROM outgoing WHERE urgent = 0").fetchone()
    assert (row["code"], json.loads(row["details"])) == ("uplink.broker_refused", {"reason": "Not authorized"})
    assert box.exchange.release("uplink.broker_refused") == 1


def test_a_rotated_key_reaches_the_box_and_the_old_one_is_never_used_again(site: HospitalRig) -> None:
    box = site.box("clinic-7")
    site.uplink(box).start()
    box.add_image(1)
    settle(box)
    before = site.house.load_bundle()
    after = site.house.rotate()
    assert (after.serial, after.verify) == (before.serial + 1, before.verify)
    relay = box.relay()

    def told() -> bool:
        relay.step()
        return b'"serial":2' in (box.exchange.read_keys(after.verify) or b"")

    wait_for(told, because="the signed keys message")
    site.receiver.log.write_text("")
    box.add_image(2)
    settle(box)
    assert "uplink.key_retired" not in site.list_quarantine_codes()
    assert len(list(site.house.keys.glob("seal-*.pem"))) == 1


def test_a_broker_that_the_hospital_does_not_vouch_for_gets_nothing(tmp_path: Path) -> None:
    with (
        run_hospital(tmp_path / "a", with_receiver=False) as ours,
        run_hospital(tmp_path / "b", with_receiver=False) as other,
    ):
        box = ours.box("clinic-7", port=other.port)
        box.add_image(1, Priority.URGENT)
        box.relay().step()
        uplink = ours.uplink(box).start()
        wait_for(lambda: code(box) == "uplink.broker_untrusted")
        uplink.stop()
        assert box.exchange.read_status().outgoing == 1, "the row still waits"


def test_the_hospital_hears_of_what_needs_a_hand_and_of_the_packs(site: HospitalRig) -> None:
    box = site.box("clinic-7", health_seconds=1)
    figures = SiteFigures(
        "chest-xray-child",
        "1.2.0",
        "m-" + "0" * 20,
        "pneumonia",
        LocalState.PROVISIONAL,
        5000,
        120,
        40,
        15,
        (87, 76, 94),
        (90, 60, 100),
        (),
    )
    watched = SiteDrift(
        "chest-xray-child",
        "1.2.0",
        "m-" + "0" * 20,
        700,
        (MeasureDrift("blur", 41234, 52345, 81, MeasureTrend.CHANGED),),
    )
    running = RunningSoftware(
        "lantern-x86_64", "0.3.0", DiskSlot.A, LeftSlot(DiskSlot.B, "0.4.0", SlotLeftReason.UNFIT, ("gateway",))
    )
    relay, health = (
        box.relay(),
        BoxHealth(
            ("backup.failed",),
            (PackBrief("chest-xray-child", "1.2.0"),),
            (ClinicFigures.draft([figures]), DriftWatch.draft(watched), SoftwareState.draft(running)),
        ),
    )
    relay.step(health)
    site.uplink(box).start()

    def heard() -> bool:
        relay.step(health)
        (answer,) = site.inbox.list_boxes()
        packs = [{"pack": "chest-xray-child", "version": "1.2.0"}]
        said = answer.presence or {}
        return (said.get("faults"), said.get("packs")) == (["backup.failed"], packs)

    wait_for(heard, because="presence with faults and packs")
    wait_for(lambda: len(site.inbox.list_figures()) == 1, because="figures of the clinic's own films")
    (row,) = site.inbox.list_figures()
    assert (row["box"], row["state"], row["auc"]) == ("clinic-7", "provisional", [87, 76, 94])
    wait_for(
        lambda: len(inbox_tables.list_latest_drift(site.inbox.connection)) == 1,
        because="the films of a machine have changed",
    )
    (drifting,) = inbox_tables.list_latest_drift(site.inbox.connection)
    assert (drifting["box"], drifting["machine"], drifting["changed"]) == ("clinic-7", watched.machine, ["blur"])
    wait_for(
        lambda: len(inbox_tables.list_latest_software(site.inbox.connection)) == 1, because="the software of the box"
    )
    (said,) = inbox_tables.list_latest_software(site.inbox.connection)
    assert (said["box"], said["version"], said["slot"]) == ("clinic-7", "0.3.0", "A")
    assert said["left"] == {"slot": "B", "version": "0.4.0", "code": "slot.unfit", "parts": ["gateway"]}
