"""No pixel and no name leaves the box: canaries in every place a patient could stand, searched for in every byte that
passes between box and broker, in what the hospital opened, and in every log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.records import Priority
from firmware_app.core.state_dir import StateDir
from tests.peers import need_root
from tests.wire.eavesdropper import Eavesdropper
from tests.wire.line_rig import Box, run_hospital, wait_for
from tests.wire.test_uplink_line import settle

CANARIES = {
    "modality": "CANARYMOD",
    "body_part": "CANARYBODY",
    "study_description": "Canary Wang 王小明",
    "series_description": "CANARYSERIES",
    "patient_age": "077Y",
    "birth_date": "19490213",
    "study_date": "20251103",
    "series_instance_uid": "1.2.826.0.1.3680043.424242.9",
}
PIXELS = bytes(range(7, 250, 3)) * 40
FORBIDDEN = [
    *(value.encode() for key, value in CANARIES.items() if key != "patient_age"),
    "王小明".encode("gb18030"),
    b"CANARY",
    b"Canary",
    b"424242",
    b"1.2.3.77",
    PIXELS[:64],
    b'"age"',
    b"sex",
    b"dicom:CR1",
    b"images/",
]


def check_forbidden(what: bytes, where: str) -> None:
    for canary in FORBIDDEN:
        assert canary not in what, f"{canary!r} in {where}"


@pytest.mark.parametrize("tls", [False, True], ids=["in the clear", "TLS"])
def test_no_canary_passes_the_line_or_stands_in_a_log(tmp_path: Path, tls: bool) -> None:
    with run_hospital(tmp_path, tls=tls) as site:
        ear = Eavesdropper(site.port)
        settings: dict[str, object] = {"port": ear.port, "health_seconds": 1}
        box = site.box("clinic-7", **settings if tls else {**settings, "tls_ca": None})
        image = box.config.state.dir / "images" / "77"
        image.write_bytes(PIXELS)
        for number, priority in ((77, Priority.URGENT), (771, Priority.ROUTINE)):
            box.add_image(number, priority, **CANARIES)
        uplink = site.uplink(box, LANTERN_LOG="DEBUG").start()
        settle(box)
        wait_for(lambda: [one.state for one in site.inbox.list_boxes()] == ["health"])
        uplink.stop()
        ear.close()
        if not tls:
            assert b"lantern/v1/up/clinic-7/alert" in ear.heard, "the eavesdropper hears what passes"
        assert len(ear.heard) > 2000
        check_forbidden(ear.heard, "what passed the line")
        for row in site.inbox.connection.execute("SELECT brief FROM cases"):
            check_forbidden(str(row[0]).encode(), "what the hospital opened")
        check_forbidden(repr([one.presence for one in site.inbox.list_boxes()]).encode(), "what the box says of itself")
        for log in (uplink.log, site.receiver.log, site.broker.log):
            check_forbidden(log.read_bytes(), log.name)


# --- two Unix users -------------------------------------------------------------------------------------------------

READER, UPLINK, CLINICAL, EXCHANGE = 64001, 64002, 64011, 64012


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may pass through, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def set_owners(box: Box) -> None:
    """What systemd's users and groups will be: the clinic's side and the uplink share exchange/ and nothing else."""
    state = StateDir(box.config.state.dir)
    box.clinical.database.close()
    box.exchange.database.close()
    for path in [state.root, *state.root.rglob("*")]:
        shared = path.is_relative_to(state.exchange_db.parent)
        os.chown(path, READER, EXCHANGE if shared else CLINICAL)
    for secret in ("identity.pem", "tls.key"):
        os.chown(state.line_keys / secret, UPLINK, EXCHANGE)
    for folder in (state.root, *(path for path in state.root.iterdir() if path.is_dir() and path != state.line_keys)):
        folder.chmod(0o751 if folder == state.root else 0o2770)  # chown clears setgid
    for log in ("uplink.log", "reader.log"):
        (box.folder / log).touch()
        (box.folder / log).chmod(0o666)


def as_user(user: int, groups: list[int], *what: str) -> list[str]:
    return [sys.executable, "-m", "tests.wire.as_user", str(user), ",".join(map(str, groups)), *what]


def test_the_uplinks_user_cannot_open_the_clinics_side(open_folder: Path) -> None:
    need_root()
    with run_hospital(open_folder, with_receiver=False) as site:
        box = site.box("clinic-7")
        (box.config.state.dir / "images" / "77").write_bytes(PIXELS)
        set_owners(box)
        state = StateDir(box.config.state.dir)
        for forbidden in (
            state.clinical_db,
            state.images,
            state.images / "77",
            state.root,
            state.display,
            state.incoming,
            state.run,
        ):
            call = "os.listdir" if forbidden.is_dir() else "open"
            program = f"import os; {call}({str(forbidden)!r})"
            done = subprocess.run(
                as_user(UPLINK, [EXCHANGE], "code", program), capture_output=True, text=True, check=False
            )
            assert "PermissionError" in done.stderr, (forbidden, done.stderr)
        program = f"import os; os.listdir({str(state.exchange_db.parent)!r}); open({str(state.exchange_db)!r}, 'r+b')"
        subprocess.run(as_user(UPLINK, [EXCHANGE], "code", program), check=True)


@pytest.mark.parametrize("first", ["reader", "uplink"])
def test_two_users_share_the_exchange_across_kills_in_either_order(open_folder: Path, first: str) -> None:
    need_root()
    with run_hospital(open_folder) as site:
        box = site.box("clinic-7")
        set_owners(box)
        processes = {"reader": site.reader(box, 40, 1), "uplink": site.uplink(box)}
        config = str(box.config_file)
        processes["reader"].command = as_user(READER, [CLINICAL, EXCHANGE], "reader", config, "40", "1")
        processes["uplink"].command = as_user(
            UPLINK, [EXCHANGE], "lantern", "serve", "--only", "uplink", "--config", config
        )
        order = sorted(processes, key=lambda name: name != first)
        for name in order:
            processes[name].start()
            wait_for(processes[name].alive)
        wait_for(lambda: len(site.list_revisions()) >= 5, because=processes["uplink"].log.read_text())
        for name in order:
            processes[name].kill()
        for name in reversed(order):
            processes[name].start()
        wait_for(lambda: "all made" in processes["reader"].log.read_text(), because="the reader's side carries on")
        wait_for(lambda: box.exchange.read_status().outgoing == 0, 30, processes["uplink"].log.read_text())
        assert set(site.list_revisions()) == box.list_closed_revisions()
        assert len(site.list_revisions()) == len(box.list_closed_revisions())
        for name in order:
            process = processes[name].process
            assert process is not None
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert "readonly" not in processes[name].log.read_text()
