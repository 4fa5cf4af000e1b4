"""The hospital's own worklist, dcmtk's wlmscpfs: its patients are among the registered ones and reach the machines."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from firmware_app.appliance.checks.archives import examine
from firmware_app.cases.registrations import Registrations
from firmware_app.cases.worklist_import import MODEL, WorklistImporter, find_worklist_peer
from tests.orthanc import free_port
from tests.peers import peer
from tests.wire.gateways import configuration, running
from tests.wire.test_worklist import ALL, STATIONS, STEP, findscu, register

_START_S = 20.0
TITLE = "RIS"
LEFT_OUT = ("accession", "modality", "patient_id", "twice")
KEYS = (*ALL, f"{STEP}0040,0009")


def entry(folder: Path, number: str, modality: str = "DX", **said: str) -> Path:
    """An entry of the hospital's list, as its information system writes it."""
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = modality, "ANY"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = f"{datetime.now():%Y%m%d}", "0930"
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = "胸部正位", f"S-{number}"
    made = Dataset()
    made.SpecificCharacterSet = "GB18030"
    made.AccessionNumber, made.PatientID, made.RequestedProcedureID = f"A-{number}", f"H-{number}", f"R-{number}"
    made.PatientName, made.PatientBirthDate, made.PatientSex = "LI^NA=李^娜", "19800102", "F"
    made.StudyInstanceUID, made.RequestedProcedureDescription = generate_uid(), "胸部"
    for keyword, value in said.items():
        made.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE))
    made.ScheduledProcedureStepSequence = [step]
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = UID(MODEL)
    made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / TITLE / f"{number}.wl"
    made.save_as(path, enforce_file_format=True)
    return path


@contextmanager
def hospital(folder: Path) -> Iterator[int]:
    """dcmtk's worklist server on a port of its own."""
    (folder / TITLE).mkdir(parents=True)
    (folder / TITLE / "lockfile").touch()
    port = free_port()
    with subprocess.Popen(
        [peer("wlmscpfs"), "-csk", "-dfp", folder, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + _START_S
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.02)  # nothing tells when it listens
            yield port
        finally:
            process.terminate()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves its socket open
def test_the_hospitals_patients_reach_the_machine_with_the_hospitals_numbers(tmp_path: Path) -> None:
    with hospital(tmp_path / "hospital") as port:
        listed = {"stations": STATIONS, "hospital": {"host": "127.0.0.1", "port": port, "ae_title": TITLE}}
        first = entry(tmp_path / "hospital", "1")
        entry(tmp_path / "hospital", "2", "US")
        entry(tmp_path / "hospital", "3", PatientID="")  # nobody could tell whose images came of it
        entry(tmp_path / "hospital", "5", AccessionNumber="A-1234567890123456")  # 18 characters; SH has 16
        entry(tmp_path / "hospital", "6", "ECG")
        entry(tmp_path / "hospital", "9", PatientID="H" * 65)  # LO has 64
        entry(tmp_path / "hospital", "7")
        entry(tmp_path / "hospital", "8", AccessionNumber="A-7")  # another examination under the same number
        entry(tmp_path / "hospital", "4", PatientName="王^小明")  # no Latin letters: an old console gets pinyin
        with running(tmp_path / "state", worklist=listed) as gateway:
            config = configuration(tmp_path / "state", worklist=listed)
            own = register(gateway)
            server = find_worklist_peer(config)
            assert server is not None
            line = WorklistImporter(config, server, gateway.clinical.database, threading.Event())
            line.poll()
            told = {one.AccessionNumber: one for one in findscu(gateway, tmp_path / "all", returned=KEYS)}
            assert set(told) == {own.accession, "A-1", "A-4", "A-7"}
            one = told["A-1"]
            step = one.ScheduledProcedureStepSequence[0]
            assert str(one.PatientName) == "LI^NA=李^娜"
            assert str(told["A-4"].PatientName) == "WANG^XIAOMING=王^小明"
            assert (one.PatientID, one.PatientBirthDate, one.PatientSex) == ("H-1", "19800102", "F")
            assert (one.RequestedProcedureID, step.ScheduledProcedureStepID) == ("R-1", "S-1")
            assert step.ScheduledProcedureStepDescription == "胸部正位"
            assert (step.Modality, step.ScheduledStationAETitle) == ("DX", "XRAY1")
            told_of = [
                (check.reason.code, check.reason.details.get("cause")) for check in examine(config, gateway.state)
            ]
            assert told_of == [("worklist.tells", None), *(("worklist.left_out", one) for one in LEFT_OUT)]
            first.unlink()  # the hospital has cancelled it
            line.poll()
            known = Registrations(gateway.clinical.database)
            assert {one.registered.accession for one in known.list_latest(9) if one.cancelled} == {"A-1"}
    line.poll()  # the hospital's server is gone: what it said last stays
    left = {one.registered.accession for one in known.list_latest(9) if not one.cancelled}
    assert left == {own.accession, "A-2", "A-4", "A-7"}
    assert [check.reason.code for check in examine(config, gateway.state)] == ["worklist.unanswered"]
