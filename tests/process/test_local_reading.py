"""The reader follows the clinic: a pack that is provisional says so, a suspended one gives no number."""

from __future__ import annotations

from pathlib import Path

from firmware_app.cases.accounts import Role
from firmware_app.cases.confirmations import Confirmations
from firmware_app.cases.suspensions import Suspensions, _write
from firmware_app.core.drift_tests import NUMBERS
from firmware_app.core.records import LocalState, Priority, Reading, ReadingStatus
from firmware_app.imaging.image_limits import DRIFT_MEASURES, QUALITY_LIMITS
from firmware_app.monitoring.operating_points import OperatingPoints
from firmware_app.results import case_json
from tests import films, reading_rig


def test_a_pack_on_a_machine_from_provisional_to_calibrated_to_suspended(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path)) as rig, reading_rig.reader(rig) as reader:

        def read_one() -> Reading:
            instance = rig.admit(films.film())
            assert reading_rig.read_all(reader) == 1
            return rig.reading(instance)

        first = read_one()
        assert first.local is LocalState.PROVISIONAL
        (finding,) = first.findings
        ((place, code),) = Confirmations(rig.clinical.database).list_sites()
        assert code == finding.code
        (film,) = Confirmations(rig.clinical.database).load_images(place, code).films
        assert abs(film.score - finding.probability) < 1e-9
        (row,) = rig.clinical.database.connection.execute("SELECT * FROM watched")
        assert abs(row["score"] - finding.probability) < 1e-9
        measured = {name for name in NUMBERS if row[name] is not None}
        checked = QUALITY_LIMITS[reader.inference.packs[place.pack].manifest.quality.kind]
        assert measured - {"score", "distance"} == {name for name in DRIFT_MEASURES if name in checked}

        points = OperatingPoints(rig.clinical.database, rig.state.clinical_db.parent)
        files = reader.inference.packs[place.pack].manifest.files
        threshold = (finding.probability + finding.positive) / 2  # on the other side of the film's score
        proposal = points.propose(place, files, code, threshold, {}, "wang", Role.TECHNICIAN)
        assert points.agree(place, code, proposal.digest, "li", Role.DOCTOR) is not None
        second = read_one()
        assert second.local is LocalState.CALIBRATED
        assert second.findings[0].positive is not finding.positive

        points.undo(place, code, "li")
        assert read_one().findings[0].threshold == finding.threshold

        with rig.clinical.database.transaction() as connection:
            _write(connection, place, "suspended", {}, "box")
        third = read_one()
        assert (third.status, third.local) == (ReadingStatus.CANNOT_JUDGE, LocalState.SUSPENDED)
        assert third.reason is not None
        assert (third.reason.code, third.reason.details["pack"]) == ("pack.unfit_here", place.pack)
        case = rig.clinical.load_case(next(iter(rig.clinical.list_references()[-1:])))
        assert case.priority is Priority.CANNOT_JUDGE
        said = case_json.case_to_json(case, "en")["local_calibration"]
        assert (said["state"], said["code"]) == ("suspended", "pack.unfit_here")
        assert (rig.state.display / third.instances[0] / "frame-000.png").exists(), "a person must see the film"

        Suspensions(rig.clinical.database).resume(place, "li")
        assert read_one().status is ReadingStatus.READ
