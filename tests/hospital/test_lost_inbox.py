"""A receipt is signed only for what lies at the inbox's place, and an inbox that was lost is never passed over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from firmware_app.core.records import Priority
from hospital.inbox import copies
from hospital.inbox.inbox_db import Inbox
from tests.hospital.test_full_disk import Publisher, fill
from tests.small_disk import small_disk
from tests.wire.line_rig import HospitalRig, events, run_hospital, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HospitalRig]:
    with run_hospital(tmp_path) as made:
        yield made


def health(site: HospitalRig) -> dict[str, Any]:
    """What the page of the running `serve` answers, the last that was started."""
    page = [event["page"] for event in events(site.receiver.log) if event.get("event") == "listening"][-1]
    with urllib.request.urlopen(f"{page}healthz", timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def has_code(site: HospitalRig, code: str) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return code in health(site)["codes"]
        except OSError:  # it starts again
            return False

    return asked


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_no_receipt_without_its_row_at_the_inboxs_place(site: HospitalRig, ending: str) -> None:
    publisher = Publisher(site, site.box("clinic-7"))
    try:
        publisher.say(1)
        wait_for(lambda: publisher.taken == [1], because="the receipt of an ordinary day")
        with closing(Inbox(site.house.inbox_db)) as inbox:
            (first,) = inbox.list_cases()
        for copy in copies.list_copies(site.house):
            copy.unlink()
        copies.make_due_copy(site.house)
        site.house.inbox_db.with_name(f"inbox.db{ending}").unlink()
        case = publisher.say(2)
        wait_for(lambda: site.receiver.log.read_text().count('"listening"') == 2, because="serve has started again")
        wait_for(lambda: 2 in publisher.taken, because="the receipt of what the broker kept")
        with closing(Inbox(site.house.inbox_db)) as inbox:
            counted = {row.case for row in inbox.list_cases()}
        assert case in counted
        assert first.case in counted or ending  # a log that was deleted alone takes its rows along
    finally:
        publisher.close()
    assert "hospital.inbox_gone" in site.receiver.log.read_text()


def test_a_start_without_the_inbox_alarms_until_somebody_has_seen_it(site: HospitalRig) -> None:
    site.box("clinic-7")
    site.receiver.stop()
    for file in site.house.root.glob("inbox.db*"):
        file.unlink()
    words = [sys.executable, "-m", "hospital.cli", "summaries", "--dir", str(site.house.root)]
    listed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert "hospital.inbox_lost" in listed.stderr
    site.receiver.log.write_text("")
    site.receiver.start()
    wait_for(lambda: '"listening"' in site.receiver.log.read_text())
    wait_for(has_code(site, "hospital.inbox_lost"), because="the alarm")
    assert health(site)["status"] == "degraded"
    assert "a new one was begun" in site.receiver.log.read_text()
    seen = [sys.executable, "-m", "hospital.cli", "inbox", "--seen", "--dir", str(site.house.root)]
    subprocess.run(seen, check=True, timeout=60)
    wait_for(lambda: health(site) == {"status": "ok", "codes": []}, because="somebody has seen it")


def test_a_full_disk_is_named_at_once(tmp_path: Path) -> None:
    with small_disk(tmp_path / "hospital", "size=12m"), run_hospital(tmp_path) as site:
        wait_for(lambda: health(site)["status"] == "ok", because="an ordinary day")
        filler = tmp_path / "hospital" / "filler"
        fill(filler)
        wait_for(has_code(site, "hospital.disk_full"), 10, "the cause")
        assert health(site)["codes"] == ["hospital.disk_full"], "and nobody is sent to look after the broker"
        filler.unlink()
        wait_for(lambda: health(site)["status"] == "ok", 30, because="there is room again")


def test_a_disk_that_can_only_be_read_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "hospital", "size=12m") as mount, run_hospital(tmp_path) as site:
        wait_for(lambda: health(site)["status"] == "ok", because="an ordinary day")
        site.receiver.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        try:
            done = subprocess.run(site.receiver.command, capture_output=True, text=True, check=False, timeout=60)
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        assert (done.returncode, "hospital.disk_read_only" in done.stderr) == (1, True), done.stderr


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("harm", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_receiver_that_ends_or_hangs_is_replaced(site: HospitalRig, harm: signal.Signals) -> None:
    assert site.receiver.process is not None
    (hung,) = children(site.receiver.process.pid)
    os.kill(hung, harm)
    wait_for(lambda: children(site.receiver.process.pid) not in ([hung], []), 180, "another one")  # type: ignore[union-attr]
    box = site.box("clinic-7")
    box.add_image(1, Priority.URGENT)
    box.relay().step()
    site.uplink(box).start()
    wait_for(lambda: len(site.list_revisions()) == 1, because="it counts")
