"""A hospital's backup: one file, made while it serves, out of which the line goes on; and an inbox that was damaged."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from firmware_app.appliance import box_identity
from hospital import backup, certificate_authority, cli, keyring
from hospital.errors import COPY_UNUSABLE, RestoreOccupied
from hospital.hospital_site import HospitalSite
from hospital.inbox import copies, inbox_tables, rescue
from hospital.inbox.inbox_db import Inbox
from hospital.receiver import Receiver
from tests import line
from tests.refusals import raises_refusal

BOXES, CASES = 3, 1000


@pytest.fixture
def house(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "hospital")
    made.set_up("127.0.0.1", 8883)
    for number in range(BOXES):
        box_identity.begin_identity(tmp_path / f"box-{number}", f"clinic-{number}", made.bundle_file)
        made.enrol(tmp_path / f"box-{number}" / "box.json")
    return made


def fill(house: HospitalSite) -> None:
    inbox = Inbox(house.inbox_db)
    with inbox.transaction():
        for seq in range(1, CASES + 1):
            message = line.summary(seq, seq, box="clinic-1")
            inbox.count(message, message.encode(), b"envelope %d" % seq)
    inbox.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    inbox.close()


def read_counted_cases(house: HospitalSite) -> set[str]:
    inbox = Inbox(house.inbox_db)
    cases = {row.case for row in inbox.list_cases()}
    inbox.close()
    return cases


def test_a_backup_restored_elsewhere_is_the_hospital_with_a_key_that_boxes_take(
    house: HospitalSite, tmp_path: Path
) -> None:
    fill(house)
    file = backup.write_backup(house, tmp_path)
    for _ in range(3):  # the boxes learn of keys number 2 to 4 after the backup
        highest = house.rotate().serial
    other = HospitalSite(tmp_path / "new" / "hospital")
    done = backup.restore_backup(other, file)

    assert (done.boxes, done.cases) == (BOXES, CASES)
    assert done.serial == other.load_bundle().serial == keyring.load_keys(other.keys).serial > highest
    assert other.load_bundle().verify == house.load_bundle().verify
    assert read_counted_cases(other) == read_counted_cases(house)
    assert other.enrolment_path("clinic-1").read_bytes() == house.enrolment_path("clinic-1").read_bytes()
    assert str(other.tls) in (other.broker / "mosquitto.conf").read_text()


def test_a_backup_is_for_its_owner_alone_and_holds_no_sealing_key(house: HospitalSite, tmp_path: Path) -> None:
    file = backup.write_backup(house, tmp_path / "copy.tar")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (seal,) = house.keys.glob("seal-*.pem")
    assert seal.read_bytes() not in file.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "copy.tar" in path.name] == ["copy.tar"]


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_a_backup_that_is_not_whole_is_refused(house: HospitalSite, tmp_path: Path, damage: str) -> None:
    file = backup.write_backup(house, tmp_path / "copy.tar")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage == "changed" else content[: len(content) // 2])
    other = HospitalSite(tmp_path / "other")
    with raises_refusal(COPY_UNUSABLE):
        backup.restore_backup(other, file)
    assert not other.bundle_file.exists()


def test_a_hospital_that_is_there_is_not_overwritten(house: HospitalSite, tmp_path: Path) -> None:
    file = backup.write_backup(house, tmp_path)
    with pytest.raises(RestoreOccupied):
        backup.restore_backup(house, file)


EVERY = pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
"""Of how many steps one is the last of a process that is killed."""


def losses(house: HospitalSite) -> list[str]:
    with closing(house.open_inbox()) as inbox:
        return [loss.code for loss in inbox_tables.list_unseen_losses(inbox.connection)]


def test_a_damaged_inbox_goes_on_with_its_newest_whole_copy(house: HospitalSite) -> None:
    fill(house)
    assert copies.make_due_copy(house) is not None
    assert copies.make_due_copy(house) is None, "the next one is due in an hour"
    bad = copies.list_copies(house)[0].with_name("inbox-000002.db")
    bad.write_bytes(b"\xa5" * 40_000)
    wanted = read_counted_cases(house)
    count_later(house)
    house.inbox_db.write_bytes(torn := b"\xa5" * 40_000)

    kept = rescue.rescue_inbox(house)

    assert kept is not None
    assert kept.read_bytes() == torn
    assert read_counted_cases(house) == wanted
    assert losses(house) == ["hospital.inbox_rebuilt"]
    assert rescue.rescue_inbox(house) is None, "it is sound now"


def count_later(house: HospitalSite) -> None:
    with closing(Inbox(house.inbox_db)) as inbox, inbox.transaction() as connection:
        connection.execute(
            "INSERT INTO cases SELECT box, 'c-later', revision, priority, hour, brief, received_at FROM cases LIMIT 1"
        )


def test_what_was_revoked_or_enrolled_after_the_copy_is_known(house: HospitalSite, tmp_path: Path) -> None:
    copies.make_due_copy(house)
    certificate_authority.revoke_certificates(
        house.tls,
        certificate_authority.list_issued_certificates(house.tls, "clinic-1", house.enrolment_path("clinic-1")),
    )
    box_identity.begin_identity(tmp_path / "later", "clinic-later", house.bundle_file)
    house.enrol(tmp_path / "later" / "box.json")
    house.inbox_db.write_bytes(b"\xa5" * 40_000)
    assert rescue.rescue_inbox(house) is not None
    with closing(house.open_inbox()) as inbox:
        keys = inbox.load_verify_keys()
    assert keys["clinic-later"] is not None
    assert [box for box, key in keys.items() if key is None] == ["clinic-1"]


def killed_before(call: int, work: Callable[[], object]) -> bool:
    """Run *work* in a process that dies before its *call*-th rename, write, sync or copied file; whether it died."""
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1] != 0
    calls = itertools.count()

    def dying(inner: Callable[..., object]) -> Callable[..., object]:
        def outer(*arguments: object) -> object:
            if next(calls) == call:
                os._exit(9)
            return inner(*arguments)

        return outer

    for owner, name in (
        (shutil, "copyfile"),
        (keyring, "sync"),
        (keyring, "write_file"),
        (Path, "rename"),
        (Path, "replace"),
    ):
        setattr(owner, name, dying(getattr(owner, name)))
    try:
        work()
    finally:
        os._exit(0)


@EVERY
def test_a_rescue_that_is_killed_anywhere_loses_nothing_of_the_copy(house: HospitalSite, every: int) -> None:
    fill(house)
    copies.make_due_copy(house)
    torn = bytearray(house.inbox_db.read_bytes())
    torn[-4096 * 3 : -4096 * 2] = b"\xa5" * 4096
    house.inbox_db.write_bytes(torn)
    rescue.rescue_inbox(house)
    wanted = read_counted_cases(house)
    for call in itertools.count(0, every):
        house.inbox_db.write_bytes(torn)
        died = killed_before(call, lambda: rescue.rescue_inbox(house))
        rescue.rescue_inbox(house)
        assert (call, read_counted_cases(house)) == (call, wanted)
        with closing(house.open_inbox()) as inbox:
            assert len(inbox.load_verify_keys()) == BOXES
        assert not list(house.root.glob("inbox.db.new*"))
        if not died:
            break
    assert call > 10, "it died at every step"


def test_an_inbox_that_is_lost_knows_the_boxes_again_but_takes_no_revoked_one_back(house: HospitalSite) -> None:
    certificate_authority.revoke_certificates(
        house.tls,
        certificate_authority.list_issued_certificates(house.tls, "clinic-1", house.enrolment_path("clinic-1")),
    )
    for file in house.root.glob("inbox.db*"):
        file.unlink()
    with closing(house.open_inbox()) as inbox:
        keys = inbox.load_verify_keys()
    assert len(keys) == BOXES
    assert [box for box, key in keys.items() if key is None] == ["clinic-1"]


def test_an_inbox_that_turns_out_damaged_ends_serve_with_a_sentence(
    house: HospitalSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def met(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Receiver, "serve", met)  # the instant at which SQLite reads a torn page is not ours to choose
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert cli.main(["serve", "--no-page", "--dir", str(house.root)]) == 1
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert "goes on with the newest whole copy" in capsys.readouterr().err
