"""Earlier studies out of a real Orthanc: the same patient's come by themselves, others when a person says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.earlier_studies import EarlierStudies, FetchState
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.archive_search import ArchiveSearch
from firmware_app.results import due_cases
from firmware_app.uplink.outbox import Outbox
from tests import films, orthanc
from tests.archive_rig import read_all
from tests.finished import open_state

PATIENT = {"PatientID": "QH-7", "IssuerOfPatientID": "QINGHE", "PatientBirthDate": "19580731", "PatientSex": "M"}
OPEN = {"DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True}
TODAY = {**PATIENT, "StudyDate": "20261124"}


def film(folder: Path, name: str, **said: Any) -> Path:
    folder.mkdir(exist_ok=True)
    return films.save(folder, f"{name}.dcm", films.film(films.shapes(len(name)), **said))


class Clinic:
    """A box with a case of today, and an archive that it may search."""

    def __init__(self, tmp_path: Path, server: orthanc.Orthanc, **archive: Any) -> None:
        self.server, self.folder = server, tmp_path / "films"
        self.state: StateDir
        self.state, self.clinical, self.door = open_state(tmp_path / "state")
        pacs = {"host": "127.0.0.1", "port": server.port, "ae_title": orthanc.TITLE, "query": True, **archive}
        self.config = Config.model_validate({"state": {"dir": self.state.root}, "pacs": pacs})
        self.case = self.door.accept_file(film(self.folder, "today", **TODAY)).case
        self.earlier = EarlierStudies(self.clinical.database)
        read_all(self.state, self.clinical)

    def archives(self, name: str, **said: Any) -> None:
        path = film(self.folder, name, StudyDescription=name, **{**PATIENT, "StudyDate": "20250101", **said})
        self.server.request("/instances", path.read_bytes())

    def search(self, case: str | None = None) -> dict[str, tuple[FetchState, str]]:
        """The studies by their description: state and doubts."""
        self.earlier.request_search(case or self.case, "li")
        self.turn()
        return {
            one.said.description: (one.state, " ".join(one.said.doubts))
            for one in self.earlier.list_for_case(case or self.case)
        }

    def turn(self) -> None:
        ArchiveSearch(self.config, self.door).run_pending()


@contextmanager
def clinic(tmp_path: Path, **archive: Any) -> Iterator[Clinic]:
    with orthanc.running(tmp_path / "orthanc", **OPEN) as server:
        made = Clinic(tmp_path, server, **archive)
        try:
            yield made
        finally:
            made.clinical.database.close()


def test_a_study_of_the_same_patient_is_fetched_and_of_any_other_waits_for_a_person(tmp_path: Path) -> None:
    with clinic(tmp_path) as box:
        box.archives("same")
        box.archives("of another issuer", IssuerOfPatientID="COUNTY")
        box.archives("without an issuer", IssuerOfPatientID="")
        box.archives("born on another day", PatientBirthDate="19580713")
        box.archives("of a woman", PatientSex="F")
        box.archives("of another number", PatientID="QH-70")
        box.archives("of today", StudyDate="20261124")
        assert box.search() == {
            "same": (FetchState.FETCHED, ""),
            "of another issuer": (FetchState.FOUND, "issuer"),
            "without an issuer": (FetchState.FOUND, "issuer"),
            "born on another day": (FetchState.FOUND, "birth_date"),
            "of a woman": (FetchState.FOUND, "sex"),
        }
        [same] = [one for one in box.earlier.list_for_case(box.case) if one.state is FetchState.FETCHED]
        assert (same.kept, same.reason) == (1, None)
        assert same.here is not None
        [row] = box.clinical.database.connection.execute("SELECT source, closed_at FROM associations").fetchall()
        assert (row["source"], row["closed_at"] is not None) == ("archive:ORTHANC", True)
        [unsure] = [one for one in box.earlier.list_for_case(box.case) if one.said.description == "without an issuer"]
        box.earlier.confirm(box.case, unsure.sequence, "li")
        box.turn()
        [sure] = [one for one in box.earlier.list_for_case(box.case) if one.said.description == "without an issuer"]
        assert (sure.state, sure.kept) == (FetchState.FETCHED, 1)
        said = [(one.actor, one.action) for one in Audit(box.clinical.database).latest(9) if "earlier" in one.action]
        assert said == [
            ("box", "earlier.fetched"),
            ("li", "earlier.confirmed"),
            ("box", "earlier.fetched"),
            ("li", "earlier.searched"),
        ]


def test_a_fetched_study_is_read_last_alarms_nobody_and_is_sent_nowhere(tmp_path: Path) -> None:
    with clinic(tmp_path) as box:
        box.archives("same")
        box.search()
        fresh = box.door.accept_file(film(box.folder, "after it", PatientID="QH-8")).case
        claim = box.clinical.claim()
        assert claim is not None
        assert claim.instance.case == fresh
        before = box.clinical.database.connection.execute("SELECT COUNT(*) FROM outbox").fetchone()[0]
        [earlier] = [one.here for one in box.earlier.list_for_case(box.case)]
        assert earlier is not None
        read_all(box.state, box.clinical)
        box.clinical.close_revisions(-1, report=Outbox(box.clinical.database).put)
        assert box.clinical.load_case(earlier).readings
        assert box.clinical.database.connection.execute("SELECT COUNT(*) FROM outbox").fetchone()[0] == before
        assert earlier not in {row.case for row in CaseLists(box.clinical).list_rows("open", 99)}
        assert earlier not in {case.case for case in due_cases.list_due_cases(box.clinical.database)}
        # The machine itself sends an image of that study: it is a study of the clinic's own from then on.
        [said] = [one.said for one in box.earlier.list_for_case(box.case)]
        box.door.accept_file(film(box.folder, "late", **PATIENT, StudyInstanceUID=said.study_uid, StudyDate="20250101"))
        assert earlier in {row.case for row in CaseLists(box.clinical).list_rows("open", 99)}


def test_what_the_archive_sends_under_another_patient_stays_out(tmp_path: Path) -> None:
    """Orthanc tells of a study what its first object says of the patient."""
    with clinic(tmp_path, issuer="QINGHE") as box:
        study, series = "1.2.826.7.1", "1.2.826.7.2"
        box.archives("first", StudyInstanceUID=study, SeriesInstanceUID=series, IssuerOfPatientID="")
        box.archives("other", StudyInstanceUID=study, SeriesInstanceUID=series, IssuerOfPatientID="COUNTY")
        found = box.search()
        [one] = box.earlier.list_for_case(box.case)
        assert len(found) == one.kept == 1
        assert one.reason is not None
        assert one.reason.code == "earlier.incomplete"
        codes = [
            row[0] for row in box.clinical.database.connection.execute("SELECT code FROM arrivals WHERE code > ''")
        ]
        assert codes == ["intake.identity_mismatch"]
