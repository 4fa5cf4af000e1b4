"""The line to a machine, tested from the page by the gateway: reached, refused with the reason, or no answer."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt

from firmware_app.cases.audit import Audit
from firmware_app.cases.imaging_devices import Modalities, ModalityAddress
from firmware_app.core.settings import Config
from firmware_app.ingest.connection_test import ConnectionTests
from tests.archive_rig import await_true
from tests.finished import open_state
from tests.peers import peer

# pynetdicom leaves the socket of a failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
VERIFICATION, CT_STORAGE = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[tuple[ConnectionTests, Modalities]]:
    _, clinical, _ = open_state(tmp_path / "state")
    config = Config.model_validate({"dicom": {"ae_title": "QINGHE"}})
    yield ConnectionTests(config, clinical.database), Modalities(clinical.database)
    clinical.database.close()


def run_test(lines: tuple[ConnectionTests, Modalities], port: int, title: str = "CT1", host: str = "127.0.0.1") -> str:
    tests, machines = lines
    number = machines.add(ModalityAddress(title, host, port), "zhou")
    begun = time.monotonic()
    tests.run_pending()
    assert time.monotonic() - begun < 12
    [one] = [one for one in machines.all() if one.sequence == number]
    assert one.asked_at is None
    assert one.reason is not None
    assert one.tested_at is not None
    assert one.reached == (one.reason.code == "modality.answers")
    assert one.reason.text("zh_CN")
    return one.reason.code


def test_a_machine_of_another_maker_that_listens_is_reached(
    lines: tuple[ConnectionTests, Modalities], tmp_path: Path
) -> None:
    port = free_port()
    with subprocess.Popen([peer("storescp"), "-od", str(tmp_path), str(port)]) as machine:
        try:
            await_true(lambda: run_test(lines, port) == "modality.answers", "dcmtk's storescp answers")
        finally:
            machine.terminate()
    assert [one.action for one in Audit(lines[1]._database).latest(99)][-2:] == ["modality.tested", "modality.added"]


@pytest.mark.parametrize(
    ("settings", "offered", "code"),
    [
        ({"require_called_aet": True}, VERIFICATION, "modality.called_unknown"),
        ({"require_calling_aet": ["OTHER"]}, VERIFICATION, "modality.calling_unknown"),
        ({}, CT_STORAGE, "modality.no_echo"),
    ],
)
def test_a_machine_that_refuses_is_told_with_its_reason(
    lines: tuple[ConnectionTests, Modalities], settings: dict[str, Any], offered: str, code: str
) -> None:
    machine = AE("US2")
    for name, value in settings.items():
        setattr(machine, name, value)
    machine.add_supported_context(offered)
    server = machine.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda _: 0)])
    try:
        assert run_test(lines, server.server_address[1]) == code
    finally:
        server.shutdown()
