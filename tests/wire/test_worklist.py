"""The worklist, asked for with dcmtk's findscu as an imaging machine does, and by peers that want more than theirs."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path
from struct import pack

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pynetdicom import AE
from pynetdicom.dsutils import encode

from firmware_app.appliance.checks.refused_callers import examine
from firmware_app.cases.patients import Patients
from firmware_app.cases.registration_entry import check_registration
from firmware_app.cases.registrations import Registrations
from firmware_app.dicom.scp.worklist_scp import MODALITY_WORKLIST, MOST_ANSWERS
from firmware_app.dicom.worklist import WorklistEntry
from tests.films import film, save
from tests.objects import IMPLICIT
from tests.peers import peer
from tests.wire.gateways import Running, configuration, running
from tests.wire.raw import RawClient

STATIONS = {"XRAY1": "DX", "US1": "US"}
STEP = "(0040,0100)[0]."
ALL = (
    "0008,0005",
    "0008,0050",
    "0010,0010",
    "0010,0020",
    "0010,0030",
    "0010,0040",
    "0010,1030",
    "0020,000d",
    "0032,1060",
    "0040,1001",
    *(STEP + tag for tag in ("0008,0060", "0040,0001", "0040,0002", "0040,0003", "0040,0007")),
)


def register(gateway: Running, number: int = 1, **more: str) -> WorklistEntry:
    """Register a patient as the page does."""
    form = {
        "patient_id": f"QH-{number}",
        "name": "王小明",
        "birth_date": "2023-08-01",
        "sex": "M",
        "examination": "chest",
    }
    new = check_registration({**form, **more}, datetime.now().astimezone())
    return Registrations(gateway.clinical.database).add(new, "li").registered


def findscu(
    gateway: Running, out: Path, *keys: str, ae: str = "XRAY1", returned: tuple[str, ...] = ALL
) -> list[Dataset]:
    """What dcmtk is answered: with *keys* as ``0010,0010=WANG*``, and the keys of *returned* asked for."""
    out.mkdir(exist_ok=True)
    asked = [part for key in (*returned, *keys) for part in ("-k", key)]
    done = subprocess.run(
        [peer("findscu"), "-v", "-W", "-aet", ae, "-X", "-od", out, *asked, "127.0.0.1", str(gateway.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Success" in done.stdout + done.stderr, done.stdout + done.stderr
    return [dcmread(path, force=True) for path in sorted(out.glob("rsp*.dcm"))]


@pytest.mark.parametrize(
    ("charset", "name", "examination"),
    [
        ("ISO_IR 192", "GONG^YUE=龚^𬸚", "胸部 X 线"),
        ("GB18030", "GONG^YUE=龚^𬸚", "胸部 X 线"),
        ("ISO_IR 6", "GONG^YUE", "Chest X-ray"),
    ],
)
def test_findscu_gets_the_registered_patient_whole(tmp_path: Path, charset: str, name: str, examination: str) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS, "character_set": charset}) as gateway:
        rare = register(gateway, 1, name="龚𬸚")
        register(gateway, 2, examination="breast_us")
        [told] = findscu(gateway, tmp_path / "out", f"{STEP}0040,0001=XRAY1", f"{STEP}0008,0060=DX")
        step = told.ScheduledProcedureStepSequence[0]
        assert told.get("SpecificCharacterSet") == (None if charset == "ISO_IR 6" else charset)
        assert str(told.PatientName) == name
        assert (told.PatientID, told.PatientBirthDate, told.PatientSex, told.PatientWeight) == (
            "QH-1",
            "20230801",
            "M",
            None,
        )
        assert (told.StudyInstanceUID, told.AccessionNumber) == (rare.study_uid, rare.accession)
        assert told.RequestedProcedureDescription == step.ScheduledProcedureStepDescription == examination
        assert (step.Modality, step.ScheduledStationAETitle) == ("DX", "XRAY1")
        assert step.ScheduledProcedureStepStartDate + step.ScheduledProcedureStepStartTime == rare.scheduled


@pytest.mark.parametrize(
    ("key", "count"),
    [
        ("0010,0010=wang*", 2),
        ("0010,0010=王*", 2),
        ("0010,0010=WANG^XIAOMING", 2),
        ("0010,0010=?ANG*=王^小?", 2),
        ("0010,0010=OUYANG^FENG", 1),
        ("0010,0010=*", 3),
        ("0010,0010=XIAOMING", 0),
        ("0010,0020=QH-2", 1),
        ("0010,0020=[QH]*", 0),
        ("0010,0030=20230801", 2),
        ("0010,0030=-20000101", 1),
        ("0010,0030=20200101-", 2),
        (f"{STEP}0040,0002=19990101-20200101", 0),
        (f"{STEP}0008,0060=CT", 0),
        (f"{STEP}0040,0001=US1", 0),
        (f"{STEP}0008,0060=CR\\DX", 3),
        (f"{STEP}0008,0060=CT\\ MR", 0),
        (f"{STEP}0040,0001=US1\\ XRAY1 \\ALL", 3),
        (f"{STEP}0040,0020=SCHEDULED\\ARRIVED", 3),
        (f"{STEP}0040,0020=COMPLETED", 0),
        ("0010,0040=F\\M", 3),
        ('0010,0040=""', 0),
        ("0010,0030=20200101 - 20231231", 2),
        ("0010,0030=2023.08.01", 2),
        ("0010,0010=^", 3),
        ("0010,0010=WANG*^*^*^*^*", 2),
        ("0010,0010=OUYANG^*", 1),
        ("0010,0010=WANG^", 0),
    ],
)
def test_every_way_of_matching_is_the_standards(tmp_path: Path, key: str, count: int) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS}) as gateway:
        for number, more in enumerate(({}, {}, {"name": "欧阳锋", "birth_date": "1958-07-31"})):
            register(gateway, number, **more)
        asked = (*ALL[:-5], *(one for one in ALL[-5:] if one not in key), "0008,0005=ISO_IR 192")
        keys = tuple(one for one in asked if one.partition("=")[0] not in (key.partition("=")[0], "0008,0005"))
        assert len(findscu(gateway, tmp_path / "out", "0008,0005=ISO_IR 192", key, returned=keys)) == count


@pytest.mark.parametrize(
    ("keyword", "value", "is_of_step"),
    [
        ("PatientID", "QH-1\\QH-2", False),
        ("PatientName", "WANG^XIAOMING\\LI^SI", False),
        ("PatientBirthDate", "20230801\\20230802", False),
        ("PatientBirthDate", "2026-13-45", False),
        ("PatientBirthDate", "20261345", False),
        ("PatientBirthDate", "202611", False),
        ("PatientBirthDate", "2023*", False),
        ("ScheduledProcedureStepStartDate", "20261231-20260101", True),
        ("ScheduledProcedureStepStartTime", "2500", True),
        ("ScheduledProcedureStepStartTime", "10*", True),
        ("StudyInstanceUID", "1.2.840.*", False),
        ("AccessionNumber", "A\\B", False),
    ],
)
@pytest.mark.parametrize("is_empty", [False, True])
def test_a_key_that_cannot_be_matched_is_answered_with_its_tag_and_never_with_nobody(
    tmp_path: Path, keyword: str, value: str, is_of_step: bool, is_empty: bool
) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS}) as gateway:
        if not is_empty:
            register(gateway)
        tag = tag_for_keyword(keyword)
        assert tag is not None
        key = (
            pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) + len(value) % 2)
            + value.encode()
            + b" " * (len(value) % 2)
        )
        item = pack("<HHL", 0xFFFE, 0xE000, len(key)) + key
        with RawClient(gateway.port, [(MODALITY_WORKLIST, [IMPLICIT])], calling="XRAY1") as client:
            client.send_fragments(1, client.command(0x0020, MODALITY_WORKLIST, data=True), command=True, size=1000)
            identifier = pack("<HHL", 0x0040, 0x0100, len(item)) + item if is_of_step else key
            client.send_fragments(1, identifier, command=False, size=1000)
            answer = client.answer()
        assert (answer.status, answer.offending) == (0xA900, tag)  # PS3.4 Table K.4-1, PS3.7 C.4.2
        assert 0 < len(answer.comment) <= 64


def answers(gateway: Running, query: Dataset) -> list[tuple[int, Dataset | None]]:
    """The statuses of the answers to XRAY1, and their data sets."""
    machine = AE("XRAY1")
    machine.add_requested_context(MODALITY_WORKLIST)
    association = machine.associate("127.0.0.1", gateway.port)
    told = [(int(answer.Status), data_set) for answer, data_set in association.send_c_find(query, MODALITY_WORKLIST)]
    association.release()
    return told


def test_a_stranger_with_wildcards_gets_no_name_and_the_doctor_says_who_asked(tmp_path: Path) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS}) as gateway:
        register(gateway)
        stranger = AE("EVIL")
        stranger.add_requested_context(MODALITY_WORKLIST)
        association = stranger.associate("127.0.0.1", gateway.port)
        assert association.accepted_contexts == []
        association.abort()
    config = configuration(tmp_path / "state", worklist={"stations": STATIONS})
    assert [check.reason.code for check in examine(config, gateway.state)] == ["doctor.caller_worklist"]


def test_a_machine_that_asks_for_everybody_is_told_its_own_and_no_more_than_the_most(tmp_path: Path) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS}) as gateway:
        for number in range(MOST_ANSWERS + 1):
            register(gateway, number)
        register(gateway, 9999, examination="breast_us")
        for ae, told, status in (("XRAY1", MOST_ANSWERS, 0xA700), ("US1", 1, 0x0000)):
            machine = AE(ae)
            machine.add_requested_context(MODALITY_WORKLIST)
            association = machine.associate("127.0.0.1", gateway.port)
            query = Dataset()
            query.PatientName, query.PatientID = "*" * 60, None
            answers = list(association.send_c_find(query, MODALITY_WORKLIST))
            association.release()
            assert (len(answers) - 1, answers[-1][0].Status) == (told, status)
            assert {answer.Status for answer, _ in answers[:-1]} == {0xFF00}


@pytest.mark.parametrize(
    ("identifier", "refused"),
    [
        (b"\x10\x00\x10\x00\xf0\xff\xff\xffWANG", 0xC000),
        (b"\x40\x00\x00\x01\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 40, 0xC000),
        (pack("<HHL", 0x0010, 0x0030, 4) + b"MAYO", 0xA900),
        (b"\x08\x00\x05\x00\x0a\0\0\0ISO_IR 192" + pack("<HHL", 0x0010, 0x0010, 4) + b"\xff\xfe\x80\x81", 0xA900),
    ],
    ids=["cut", "nested", "no date", "no letters"],
)
def test_a_broken_question_gets_a_status_and_the_association_goes_on(
    tmp_path: Path, identifier: bytes, refused: int
) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS}) as gateway:
        register(gateway)
        with RawClient(gateway.port, [(MODALITY_WORKLIST, [IMPLICIT])], calling="XRAY1") as client:
            for data, status in ((identifier, refused), (encode(Dataset(), True, True), 0xFF00)):
                client.send_fragments(1, client.command(0x0020, MODALITY_WORKLIST, data=True), command=True, size=100)
                client.send_fragments(1, data, command=False, size=100)
                assert client.answer().status == status


def test_an_image_made_from_the_list_brings_the_registered_patient_back(tmp_path: Path) -> None:
    with running(tmp_path / "state", worklist={"stations": STATIONS}) as gateway:
        register(gateway, 1, name="欧阳锋")
        [told] = findscu(gateway, tmp_path / "out")
        image = save(
            tmp_path,
            "made.dcm",
            film(
                PatientName=str(told.PatientName).partition("=")[0],
                PatientID=told.PatientID,
                PatientBirthDate=told.PatientBirthDate,
                PatientSex=told.PatientSex,
                PatientAge=None,
                StudyInstanceUID=told.StudyInstanceUID,
                AccessionNumber=told.AccessionNumber,
            ),
        )
        subprocess.run([peer("storescu"), "127.0.0.1", str(gateway.port), image], check=True)
        [case] = gateway.clinical.load_cases()
        assert case.reference is not None
        known = Patients(gateway.clinical, gateway.state).load_displayed(case.reference)
        assert (known.registration, known.patient.name, known.patient.age) == (told.AccessionNumber, "欧阳锋", "003Y")
