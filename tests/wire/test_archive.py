"""Results to a real Orthanc: each object once, whoever is killed, and called sent only when Orthanc has committed."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

from pydicom import dcmread

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.dicom.commitment import NO_SUCH_OBJECT
from firmware_app.results.archive_queue import SENT, SendingQueue, SendingStage
from tests import orthanc
from tests.archive_rig import await_true, films_sent, read_all, sender, stages
from tests.wire import gateways

RESULTS = {"SR": 1, "OT": 1, "SEG": 1, "PR": 1, "DOC": 1}
"""By modality; OT is the Secondary Capture, DOC the printed report."""


def all_sent(clinical: ClinicalDatabase, cases: list[str]) -> bool:
    found = [stage for case in cases for stage in stages(clinical, case).values()]
    return len(found) == len(RESULTS) * len(cases) and set(found) <= SENT


def test_images_come_from_orthanc_and_the_results_are_there_once_whoever_was_killed(tmp_path: Path) -> None:
    server = orthanc.Orthanc(tmp_path / "orthanc")
    with server.running(), gateways.process(tmp_path / "state") as box:
        server.add_modality("LANTERN", box.port)
        sent = [
            server.request("/instances", path.read_bytes())["ID"] for path in films_sent(tmp_path / "films", count=3)
        ]
        server.request("/modalities/lantern/store", sent)
        queue = SendingQueue(box.clinical.database)
        # Else the sender would send nothing of this, since it was read before the clinic had an archive.
        queue.set_archives({"pacs": f"127.0.0.1:{server.port} ORTHANC"})
        cases = read_all(box.state, box.clinical)
        assert len(cases) == 3

        def arrived(number: int) -> bool:
            counts = queue.count_by_stage().get("pacs", {})
            return sum(n for stage, n in counts.items() if stage is not SendingStage.WAITING) >= number

        def said() -> list[str]:
            return [archive.reason.code for archive in queue.list_archives() if archive.reason]

        with sender(box.state, server.port) as first:
            await_true(lambda: arrived(2), "Orthanc has two objects")
            server.kill()
            first.send_signal(signal.SIGKILL)
        with sender(box.state, server.port):
            await_true(lambda: said() == ["pacs.unreachable"], "the sender says that Orthanc is away")
            assert not all_sent(box.clinical, cases)
            server.start()
            server.add_modality("LANTERN", box.port)
            await_true(lambda: all_sent(box.clinical, cases), "every result is sent")
            await_true(lambda: not list(box.state.outgoing.rglob("*.dcm")), "nothing is left on the disk")
        held = server.list_instances()
        assert Counter(held.values()) == {"CR": 3, **{modality: 3 * n for modality, n in RESULTS.items()}}
        assert {one.sop_instance_uid for case in cases for one in queue.list_of_case(case)} <= held.keys()


def test_the_box_answers_orthanc_that_asks_whether_its_images_are_kept(tmp_path: Path) -> None:
    """Orthanc asks, hangs up, and is dialled: it takes the answer on another association only."""
    server = orthanc.Orthanc(tmp_path / "orthanc")
    with (
        server.running(),
        gateways.process(
            tmp_path / "state", dicom={"commitment_to": {orthanc.TITLE: f"127.0.0.1:{server.port}"}}
        ) as box,
    ):
        server.add_modality("LANTERN", box.port)
        kept, absent = films_sent(tmp_path / "films", count=2)
        sent = server.request("/instances", kept.read_bytes())["ID"]
        unsent = server.request("/instances", absent.read_bytes())["ID"]
        server.request("/modalities/lantern/store", [sent])
        to = {"LANTERN_DICOM__COMMITMENT_TO": f'{{"{orthanc.TITLE}": "127.0.0.1:{server.port}"}}'}
        with sender(box.state, server.port, LANTERN_PACS__HOST="", LANTERN_PACS__SEND="false", **to):
            asked = server.request("/modalities/lantern/storage-commitment", {"Resources": [sent, unsent]})["Path"]
            await_true(lambda: server.request(asked)["Status"] != "Pending", "Orthanc has the box's answer")
        said = server.request(asked)
        assert said["Status"] == "Failure"
        assert [one["SOPInstanceUID"] for one in said["Success"]] == [str(dcmread(kept).SOPInstanceUID)]
        assert [one["FailureReason"] for one in said["Failures"]] == [NO_SUCH_OBJECT]
