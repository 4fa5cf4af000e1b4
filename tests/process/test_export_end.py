"""An export ends as one definite thing, and the audit never says of it what is not so."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from firmware_app.appliance import database_repair
from firmware_app.appliance.checks import databases
from firmware_app.cases import audit, exports
from firmware_app.cases.audit import Audit
from firmware_app.cases.errors import EXPORT_HELD
from firmware_app.cases.exports import DONE, ExportAudit, Exports
from firmware_app.core import console, locks
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import free_bytes, sync_directory
from firmware_app.results import deidentified_export as export
from firmware_app.results import sealed_case
from firmware_app.results.errors import ExportUnrecorded
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import Box
from tests.exporting_rig import house as house
from tests.small_disk import small_disk

BEGUN = ["export.begun"]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """Its state is a small disk of its own; the stick lies elsewhere."""
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LANTERN_BOX__LANGUAGE", "en")
    monkeypatch.setenv("LANTERN_EXPORT__ENABLED", "true")
    monkeypatch.setenv("LANTERN_RETENTION__HIGH_WATER_FREE_MB", "16")
    monkeypatch.setenv("LANTERN_RETENTION__BALLAST_MB", "1")
    with small_disk(tmp_path / "state", "size=24m"):
        made = Box(tmp_path)
        yield made
        made.clinical.database.close()
        gc.collect()  # a statement that failed lives in its traceback, and keeps the file open


def fill(box: Box) -> None:
    """Take every free byte."""
    with (box.state.root / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    os.write(filler.fileno(), bytes(size))
    assert free_bytes(box.state.root) == 0


def free(box: Box) -> None:
    (box.state.root / "filler").unlink()


def exported(box: Box, at_last: object = None) -> None:
    """Export the case; *at_last* is done when the last image is written, before the case has its name."""

    def tell(done: int, total: int) -> None:
        if done == total and callable(at_last):
            at_last()

    export.export_case(
        load_config(), Exports(box.clinical.database), box.case, box.stick, person="li", looked=True, on_progress=tell
    )


def start(box: Box) -> None:
    """As the box does at each start."""
    box.clinical.database.close()
    database_repair.prepare_database(box.state, box.state.clinical_db)


def doctor(box: Box) -> list[str | None]:
    """The cases of which the doctor says that nobody knows how their export ended."""
    checks = databases.check_databases(load_config(), box.state)
    return [check.case for check in checks if check.reason.code == "doctor.export_unknown"]


def test_a_disk_that_fills_before_the_last_line_of_the_audit_costs_the_ballast(box: Box) -> None:
    box.state.prepare_ballast(1)
    exported(box, lambda: fill(box))
    assert not box.state.ballast.exists()
    assert box.actions == ["export.begun", "export.done"]


def test_an_export_whose_end_finds_no_room_is_said_to_be_whole_and_unrecorded(
    box: Box, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        console.ProgressLine, "__call__", lambda _self, done, total: fill(box) if done == total else None
    )
    assert box.run() == 1
    said = capsys.readouterr().err
    assert f"export.unrecorded: 2 of 2 images were exported to {box.stick / box.case}" in said
    assert len(list((box.stick / box.case).iterdir())) == 3
    assert box.actions == BEGUN
    assert doctor(box) == [box.case], "shown before the next start too"


def test_an_export_without_an_end_is_closed_as_one_of_unknown_end_at_the_next_start(box: Box) -> None:
    with pytest.raises(ExportUnrecorded):
        exported(box, lambda: fill(box))
    Exports(box.clinical.database).close_left()
    assert box.actions == BEGUN, "the disk is still full, and that is no reason to fail"
    free(box)
    for _ in range(2):
        start(box)
        begun, ended = box.audited()
        assert (ended.actor, ended.action, ended.case) == ("box", "export.unknown", box.case)
        assert dict(ended.details) == {"account": "li", "begun": begun.sequence}
    assert Audit(box.clinical.database).verify()[0]
    assert doctor(box) == [box.case]


def test_the_next_export_closes_what_the_one_before_left_open(box: Box) -> None:
    Exports(box.clinical.database).telling(box.case, "li").begin(images=2, looked=1)  # and the power was cut
    exported(box)
    assert box.actions == ["export.begun", "export.unknown", "export.begun", "export.done"]


def test_an_export_that_is_under_way_is_left_alone(box: Box) -> None:
    exported(box, lambda: database_repair.prepare_database(box.state, box.state.clinical_db))
    assert box.actions == ["export.begun", "export.done"]
    seen: list[list[str | None]] = []
    (box.stick / box.case).rename(box.folder / "before")
    exported(box, lambda: seen.append(doctor(box)))
    assert seen == [[]]


def test_what_stopped_an_export_is_told_also_when_the_audit_takes_no_line(box: Box) -> None:
    def full_and_interrupted() -> None:
        fill(box)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(box, full_and_interrupted)
    assert list(box.stick.iterdir()) == []
    free(box)
    start(box)
    assert box.actions == ["export.begun", "export.unknown"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_at_the_last_line_of_the_audit_comes_too_late(
    box: Box, when: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end = ExportAudit.end

    def interrupted(telling: ExportAudit, action: str, **counts: int) -> None:
        if when == "before":
            signal.raise_signal(signal.SIGINT)
        end(telling, action, **counts)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ExportAudit, "end", interrupted)
    assert box.run() == 0
    assert "2 of 2 images exported to" in capsys.readouterr().out
    assert box.actions == ["export.begun", "export.done"]
    assert doctor(box) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_right_after_the_first_line_of_the_audit_leaves_no_open_beginning(
    box: Box, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = ExportAudit.begin

    def interrupted(telling: ExportAudit, **counts: int) -> None:
        if when == "after":
            begin(telling, **counts)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ExportAudit, "begin", interrupted)
    assert box.run() == 130
    assert box.actions == ([] if when == "before" else ["export.begun", "export.stopped"])
    assert doctor(box) == []
    assert list(box.stick.iterdir()) == []


@pytest.mark.parametrize(("number", "way"), [(signal.SIGHUP, "--stick"), (signal.SIGTERM, "--to")])
def test_a_signal_stops_an_export_as_ctrl_c_does(
    box: Box, house: HospitalSite, number: signal.Signals, way: str
) -> None:
    words = [sys.executable, "-m", "firmware_app", "case", "export", box.case, way, str(box.stick)]
    stopped = subprocess.Popen(
        [*words, "--person", "li", "--looked"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    await_begun(box, stopped)
    stopped.send_signal(number)
    _, said = stopped.communicate()
    assert (stopped.returncode, said) == (130, b"Stopped.\n")
    nothing_is_left(box)


def test_an_ssh_line_that_is_lost_stops_an_export_as_ctrl_c_does(box: Box, house: HospitalSite) -> None:
    words = ["case", "export", box.case, "--stick", str(box.stick), "--person", "li", "--looked"]
    pid, terminal = pty.fork()
    if not pid:
        try:
            os.execv(sys.executable, [sys.executable, "-m", "firmware_app", *words])
        finally:
            os._exit(127)
    try:
        await_begun(box)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    nothing_is_left(box)


def await_begun(box: Box, exporting: subprocess.Popen[bytes] | None = None) -> None:
    """Return when something is on the stick: the child that writes the first object is only starting by then."""
    until = time.monotonic() + 60
    while not list(box.stick.iterdir()):
        assert exporting is None or exporting.poll() is None
        assert time.monotonic() < until


def nothing_is_left(box: Box) -> None:
    assert list(box.stick.iterdir()) == list(box.state.root.glob(".exporting-*")) == []
    assert box.actions == ["export.begun", "export.stopped"]


@pytest.mark.parametrize("way", ["--stick", "--to"])
@pytest.mark.parametrize("what", ["the disk fails", "Ctrl-C"])
def test_what_happens_when_the_case_has_got_its_name_leaves_nobody_sure(
    box: Box,
    house: HospitalSite,
    way: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ended(folder: Path) -> None:
        if what == "the disk fails" and folder == box.stick:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync_directory(folder)
        if what == "Ctrl-C" and list(folder.glob("c-*")):
            signal.raise_signal(signal.SIGINT)

    for module in (export, sealed_case):
        monkeypatch.setattr(module, "sync_directory", ended)
    assert box.run(way=way) == 1
    (there,) = box.stick.iterdir()
    assert f"export.unsure: The case may or may not be at {there}: " in capsys.readouterr().err
    assert box.actions == ["export.begun", "export.unknown"]
    assert doctor(box) == [box.case]


def test_a_stick_that_is_out_before_the_last_word_costs_that_word(
    box: Box, house: HospitalSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = sealed_case.describe_sealed_file

    def out(path: Path, config: Config) -> str:
        path.unlink()
        return message(path, config)

    monkeypatch.setattr(sealed_case, "describe_sealed_file", out)
    assert box.run(way="--stick") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("It is sealed; only the hospital opens it: ")
    assert box.actions == ["export.begun", "export.done"]


def test_what_an_earlier_version_wrote_has_ended(box: Box) -> None:
    """Its last lines name no beginning."""
    log = Audit(box.clinical.database)
    log.record(audit.CONSOLE, "export.begun", box.case, account="li", images=2, looked=1)
    log.record(audit.CONSOLE, DONE, box.case, account="li", exported=2, refused=0)
    start(box)
    assert box.actions == ["export.begun", "export.done"]
    assert doctor(box) == []


def test_where_the_lock_cannot_be_had_nothing_leaves_and_that_is_said(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(lock_of(box), "size=1m"):  # nobody moves that out of the way
        assert box.run() == 1
    assert "store.unusable: " in capsys.readouterr().err
    assert list(box.stick.iterdir()) == []
    assert box.actions == []


def lock_of(box: Box) -> Path:
    return box.state.clinical_db.with_name("clinical.db-export")


@pytest.mark.parametrize("kind", ["full folder", "link"])
def test_what_was_planted_in_the_place_of_the_lock_ends_no_export(box: Box, kind: str) -> None:
    if kind == "link":
        lock_of(box).symlink_to(box.folder / "nowhere")
    else:
        lock_of(box).mkdir()
        (lock_of(box) / "file").touch()
    assert box.run() == 0
    assert lock_of(box).is_file()
    assert not (box.folder / "nowhere").exists()


def test_who_keeps_the_lock_keeps_no_export_waiting_for_ever(
    box: Box, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exports, "_PATIENCE_S", 0.5, raising=False)
    script = "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, 2); print(flush=True); "
    holder = subprocess.Popen(
        [sys.executable, "-c", script + "time.sleep(20)", str(lock_of(box))], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        began = time.monotonic()
        assert box.run() == 1
        assert time.monotonic() - began < 10
    finally:
        holder.kill()
        holder.communicate()
    assert f"{EXPORT_HELD.code}: Another process of the box has held the file clinical.db-export" in (
        capsys.readouterr().err
    )
    assert list(box.stick.iterdir()) == []
    assert box.actions == []
    assert box.run() == 0


def test_a_disk_that_knows_no_locks_keeps_no_case_in(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network disks do; the kernel's answer is made up, since no such disk is to be had in a test."""

    def unsupported(_descriptor: int, _kind: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with Exports(box.clinical.database).under_way():
        assert doctor(box) == []
    exported(box)
    assert box.actions == ["export.begun", "export.done"]


def test_an_old_lock_on_a_disk_that_became_read_only_is_no_obstacle(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        lock = disk / "clinical.db-export"
        lock.touch()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert locks.open_lock_file(lock) is None
        with exports._lock(disk / "clinical.db", fcntl.LOCK_SH) as taken:
            assert taken
        with exports._lock(disk / "clinical.db", fcntl.LOCK_EX) as alone:
            assert not alone


def test_the_console_lists_what_was_exported_as_before(box: Box) -> None:
    assert box.run(way="--to") == 0
    assert doctor(box) == []
