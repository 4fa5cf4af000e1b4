"""The order in which the disk is asked and people are told: what a journalling file system forgives is seen here.

Every call is carried out; it is only written down as well.  So a missing fsync shows on any disk, also on one that
would have kept the bytes by luck.
"""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import box_identity
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import InstanceConflict
from firmware_app.core.records import Priority, Reading, ReadingStatus, Reason, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import NotKept, SpaceShort
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest.intake import ImageIntake
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests.objects import DX, EXPLICIT, file_of, film
from tests.reading_rig import wait_until
from tests.wire.gateways import running
from tests.wire.raw import RawClient

Event = tuple[str, str]


class Diary:
    """What this process asked of the disk below *root* and sent to its peers, in order."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self._root = root
        for name in ("fsync", "link", "replace", "unlink"):
            monkeypatch.setattr(os, name, self._told(name, getattr(os, name)))
        monkeypatch.setattr(sqlite3, "connect", self._traced(sqlite3.connect))
        monkeypatch.setattr(socket.socket, "sendall", self._sent(socket.socket.sendall))

    def in_order(self, *wanted: Event) -> bool:
        """Whether *wanted* happened one after the other, whatever else lay between."""
        rest = iter(self.events)
        return all(one in rest for one in wanted)

    def named(self, what: str, folder: str) -> str:
        """The one name in *folder* that *what* was done to."""
        [name] = {path for did, path in self.events if did == what and path.startswith(folder + "/")}
        return name

    def _told(self, name: str, call: Any) -> Any:
        def told(*arguments: Any, **named: Any) -> Any:
            last = arguments[-1]  # of a link or a replacement the new name
            path = Path(f"/proc/self/fd/{last}").readlink() if isinstance(last, int) else Path(last)
            done = call(*arguments, **named)
            if path.is_relative_to(self._root):
                self.events.append((name, str(path.relative_to(self._root))))
            return done

        return told

    def _traced(self, connect: Any) -> Any:
        def traced(database: Any, *arguments: Any, **named: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = connect(database, *arguments, **named)

            def trace(statement: str) -> None:
                if statement == "COMMIT":
                    self.events.append(("commit", Path(database).name))

            made.set_trace_callback(trace)
            return made

        return traced

    def _sent(self, sendall: Any) -> Any:
        def sent(connection: socket.socket, data: bytes) -> None:
            if threading.current_thread() is not threading.main_thread():  # where the test's own client is
                self.events.append(("send", f"PDU {data[0]}"))
            sendall(connection, data)

        return sent


COMMIT: Event = ("commit", "clinical.db")


@pytest.fixture
def diary(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> Diary:
    return Diary(state.root, monkeypatch)


@pytest.fixture
def door(state: StateDir, diary: Diary) -> Iterator[ImageIntake]:
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    diary.events.clear()
    yield ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=8)
    clinical.database.close()


@pytest.fixture
def at(tmp_path: Path) -> Path:
    path = tmp_path / "given"
    path.write_bytes(file_of(film()))
    return path


def test_bytes_then_name_then_folder_then_row(door: ImageIntake, diary: Diary, at: Path) -> None:
    door.accept_file(at)
    file = diary.named("link", "images")
    folder = str(Path(file).parent)
    [part] = [path for did, path in diary.events if did == "fsync" and path.startswith("incoming/")]
    assert diary.in_order(("fsync", part), ("link", file), ("fsync", folder), COMMIT)
    assert diary.in_order(("fsync", "images"), COMMIT)  # the folder itself is new


def test_a_conflicting_object_is_as_durable_before_its_line_in_the_journal(
    door: ImageIntake, diary: Diary, at: Path
) -> None:
    at.write_bytes(file_of(film(sop_instance="2.25.5")))
    door.accept_file(at)
    diary.events.clear()
    at.write_bytes(file_of(film(sop_instance="2.25.5")))
    with pytest.raises(InstanceConflict):
        door.accept_file(at)
    kept = diary.named("link", "set_aside")
    [part] = [path for did, path in diary.events if did == "fsync" and path.startswith("incoming/")]
    assert diary.in_order(("fsync", part), ("link", kept), ("fsync", "set_aside"), COMMIT)


def test_no_answer_is_sent_before_the_row_and_no_row_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "state"
    diary = Diary(root, monkeypatch)
    with running(root) as gateway:
        wait_until(lambda: ("fsync", "images") in diary.events)  # the 256 folders, made behind the open port
        with RawClient(gateway.port, [(DX, [EXPLICIT])]) as client:
            diary.events.clear()
            assert client.store(DX, "2.25.5", film(sop_instance="2.25.5")).status == 0
    file = diary.named("link", "images")
    assert diary.in_order(("link", file), ("fsync", str(Path(file).parent)), COMMIT, ("send", "PDU 4"))
    assert diary.events.count(("send", "PDU 4")) == 1


def test_the_folder_of_a_new_database_is_on_the_disk_before_its_first_row(state: StateDir, diary: Diary) -> None:
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    clinical.database.close()
    assert diary.in_order(("fsync", "clinical"), COMMIT)


def test_a_folder_whose_sync_failed_is_not_trusted(
    door: ImageIntake, diary: Diary, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == door.state.images:
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", fail)
        with pytest.raises(NotKept):
            door.accept_file(at)
    diary.events.clear()
    door.accept_file(at)
    assert diary.in_order(("fsync", "images"), COMMIT)


def test_a_file_is_not_taken_away_under_another_association_that_relies_on_it(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit, unlink = door.clinical.admit, os.unlink
    second = threading.Thread(target=door.accept_file, args=(at,))

    def fail(**_named: object) -> None:
        monkeypatch.setattr(door.clinical, "admit", admit)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    def unlink_late(path: Path, **how: Any) -> None:
        """The second association comes after the first has found no row, and before it removes its file."""
        if door.state.images in Path(path).parents:
            second.start()
            second.join(0.2)  # it has to wait for the first, so this time passes
        unlink(path, **how)

    monkeypatch.setattr(door.clinical, "admit", fail)
    monkeypatch.setattr(os, "unlink", unlink_late)
    with pytest.raises(SpaceShort):
        door.accept_file(at)
    second.join()
    [row] = door.clinical.database.connection.execute("SELECT file FROM instances").fetchall()
    assert (door.state.root / row[0]).read_bytes() == at.read_bytes()


# --- a lost file comes back -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def judged_without_its_file(door: ImageIntake, at: Path) -> str:
    """An instance whose file was lost and which a reader then could not judge."""
    admission = door.accept_file(at)
    [row] = door.clinical.database.connection.execute("SELECT file FROM instances").fetchall()
    (door.state.root / row[0]).unlink()
    give_up(door.clinical)
    return admission.instance


def give_up(clinical: ClinicalDatabase) -> None:
    claim = clinical.claim()
    assert claim is not None
    reason = Reason("imaging.unreadable", {})
    reading = Reading(
        Scope.INSTANCE, (claim.instance.reference,), ReadingStatus.CANNOT_JUDGE, reason, None, Timing(1, 0, 1)
    )
    clinical.finish(claim.instance, reading, Priority.CANNOT_JUDGE)


def test_a_power_cut_right_behind_the_returning_file_has_it_read_again(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = judged_without_its_file(door, at)
    replace = os.replace

    def replaced_and_killed(source: Path, target: Path) -> None:
        replace(source, target)
        raise Killed

    monkeypatch.setattr(os, "replace", replaced_and_killed)
    with pytest.raises(Killed):
        door.accept_file(at)
    claim = door.clinical.claim()
    assert claim is not None
    assert claim.instance.reference == instance


def test_a_reader_that_was_quicker_than_the_returning_file_does_not_have_the_last_word(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = judged_without_its_file(door, at)
    replace = os.replace

    def read_before(source: Path, target: Path) -> None:
        give_up(door.clinical)
        replace(source, target)

    monkeypatch.setattr(os, "replace", read_before)
    assert door.accept_file(at).outcome is Outcome.DUPLICATE
    claim = door.clinical.claim()
    assert claim is not None
    assert claim.instance.reference == instance


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_boxs_keys_are_on_the_disk_before_they_have_names_and_before_anyone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, folder = HospitalSite(tmp_path / "hospital"), tmp_path / "line"
    house.set_up("127.0.0.1", 8883)
    diary = Diary(tmp_path, monkeypatch)
    box_identity.begin_identity(folder, "clinic-7", house.bundle_file)
    for name in ("identity.pem", "tls.key", "box.json", "authority.crt", "hospital.json"):
        assert diary.in_order(("fsync", f"line/.{name}.new"), ("replace", f"line/{name}"), ("fsync", "line"))


def test_the_old_sealing_key_is_destroyed_only_when_the_new_one_is_on_the_disk_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    before = keyring.make_keys(keys)
    diary = Diary(tmp_path, monkeypatch)
    after = keyring.rotate(keys)
    fresh, gone = f"keys/seal-{after.current.hex()}.pem", f"keys/seal-{before.current.hex()}.pem"
    assert diary.in_order(
        ("fsync", fresh), ("fsync", "keys/keys.new"), ("replace", "keys/keys.json"), ("fsync", "keys"), ("unlink", gone)
    )
    assert diary.in_order(("unlink", gone), ("fsync", "keys")), "its end is on the disk"
