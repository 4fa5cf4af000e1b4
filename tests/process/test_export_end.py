"""An export ends as one definite thing, and the audit never says of it what is not so."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_app.appliance.checks import databases
from firmware_app.cases.exports import Exports
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import sync_directory
from firmware_app.results import export_session
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import Box
from tests.exporting_rig import house as house
from tests.small_disk import small_disk


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


def export_case(box: Box, at_last: Callable[[], object] = lambda: None) -> None:
    """Export the case; *at_last* is done when the last image is written, before the case has its name."""
    box.export(on_progress=lambda done, total: done == total and at_last())


def doctor(box: Box) -> list[str | None]:
    """The cases of which the doctor says that nobody knows how their export ended."""
    checks = databases.examine(load_config(), box.state)
    return [check.case for check in checks if check.reason.code == "doctor.export_unknown"]


def test_the_next_export_closes_what_the_one_before_left_open(box: Box) -> None:
    Exports(box.clinical.database).create_audit(box.case, "li").begin(images=2, looked=1)  # and the power was cut
    export_case(box)
    assert box.actions == ["export.begun", "export.unknown", "export.begun", "export.done"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_an_export(box: Box, house: HospitalSite, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "firmware_app", "case", "export", box.case, "--stick", str(box.stick)]
    stopped = subprocess.Popen([*words, "--person", "li", "--looked"], stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not list(box.stick.iterdir()):
        assert stopped.poll() is None
        assert time.monotonic() < until
    stopped.send_signal(number)
    _, said = stopped.communicate()
    assert (stopped.returncode, b"Traceback" in said) == (128 + number, False)
    assert list(box.stick.iterdir()) == list(box.state.root.glob(".exporting-*")) == []
    assert box.actions == ["export.begun", "export.stopped"]


@pytest.mark.parametrize(("way", "what"), [("--stick", "the disk fails"), ("--to", "Ctrl-C")])
def test_what_happens_when_the_case_has_got_its_name_leaves_nobody_sure(
    box: Box,
    house: HospitalSite,
    way: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ended(folder: Path) -> None:
        if list(folder.glob("c-*")):
            if what == "the disk fails":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            signal.raise_signal(signal.SIGINT)
        sync_directory(folder)

    monkeypatch.setattr(export_session, "sync_directory", ended)
    assert box.run(way=way) == 1
    (there,) = box.stick.iterdir()
    said = capsys.readouterr().err
    assert said.startswith("export.unsure: ")
    assert str(there) in said
    assert box.actions == ["export.begun", "export.unknown"]
    assert doctor(box) == [box.case]
