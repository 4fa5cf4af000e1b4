"""A machine that the DICOM port did not let in is told of on the box: who, when, how often, and what to set."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import AE

from firmware_app.appliance.checks import refused_callers as doctor
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.association_log import MOST_CALLERS, AssociationLog, RejectedCaller, read_rejected
from tests.peers import peer
from tests.reading_rig import wait_until
from tests.wire.gateways import Running, configuration, running

CT = "1.2.840.10008.5.1.4.1.1.2"
CLOSED = {"allowed_calling": ["XRAY1"]}


def echo(port: int, calling: str, called: str = "STORE") -> bool:
    command = [peer("echoscu"), "-aet", calling, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_doctor(root: Path, **dicom: Any) -> list[str]:
    """The doctor's sentences."""
    config = configuration(root, dicom=dicom)
    return [check.reason.text("en") for check in doctor.examine(config, StateDir(root))]


def read_only_rejected(root: Path) -> RejectedCaller:
    (entry,) = read_rejected(StateDir(root))
    return entry


def test_a_machine_with_the_wrong_title_is_told_of_with_what_to_set(tmp_path: Path) -> None:
    with running(tmp_path, dicom=CLOSED) as gateway:
        assert not echo(gateway.port, "XRAY2")
        wait_until(lambda: bool(read_rejected(gateway.state)))
    with running(tmp_path, dicom=CLOSED) as gateway:  # the next start counts on
        assert not echo(gateway.port, "XRAY2")
    (sentence,) = run_doctor(tmp_path, **CLOSED)
    for part in ("“XRAY2” (127.0.0.1)", "count: 2,", "add “XRAY2” there", "one of these: XRAY1", "this box “STORE”"):
        assert part in sentence
    assert run_doctor(tmp_path, allowed_calling=["XRAY1", "XRAY2"]) == []


def test_a_machine_that_is_let_in_at_last_is_told_of_no_more(tmp_path: Path) -> None:
    with running(tmp_path / "state", dicom={"allowed_addresses": ["10.0.0.0/8"]}) as gateway:
        assert not echo(gateway.port, "XRAY1")
    assert "127.0.0.1" in run_doctor(tmp_path / "state", allowed_addresses=["10.0.0.0/8"])[0]
    with running(tmp_path / "state") as gateway:
        assert echo(gateway.port, "XRAY1")
    assert read_rejected(gateway.state) == []


@pytest.mark.parametrize(
    ("contexts", "said"),
    [
        ({CT: [str(DeflatedExplicitVRLittleEndian)]}, "CT Image Storage."),
        ({"1.2.840.10008.5.1.4.31": ["1.2.840.10008.1.2"]}, "Modality Worklist Information Model - FIND."),
    ],
    ids=["a transfer syntax", "a service"],
)
def test_what_is_refused_at_negotiation_is_told_of_by_its_name(
    gateway: Running, contexts: Mapping[str, list[str]], said: str
) -> None:
    machine = AE("US1")
    for abstract, syntaxes in contexts.items():
        machine.add_requested_context(abstract, syntaxes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine.associate("127.0.0.1", gateway.port)
    wait_until(lambda: bool(read_rejected(gateway.state)))
    assert said in run_doctor(gateway.state.root)[0]
    assert read_only_rejected(gateway.state.root).calling == "US1"


def test_a_stranger_without_end_crowds_out_no_machine_of_the_clinic(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    book = AssociationLog(state)
    book.record_rejection("XRAY2", "STORE", "192.168.1.7", "association.calling_ae")
    for number in range(500):
        book.record_rejection(
            f"\x1b[2J<b>{number}", "", "::ffff:192.168.1.66", "association.services", ("1" * 9000,) * 9
        )
    book.close()
    assert [entry.calling for entry in read_rejected(state)].count("XRAY2") == 1
    assert len(read_rejected(state)) == MOST_CALLERS
    assert (state.run / "turned_away.json").stat().st_size < 16_384
    assert all(text.isprintable() and len(text) < 600 for text in run_doctor(tmp_path, **CLOSED))
