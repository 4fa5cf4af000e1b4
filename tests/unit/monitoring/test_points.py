"""The clinic's own operating point: two people, one content, one signature; else the pack's own threshold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.model_scores import ModelSite
from firmware_app.monitoring.errors import POINT_ROLE_MISSING, NoOperatingPoint, ProposalOutdated, SamePersonAgreed
from firmware_app.monitoring.operating_points import FOLDER, OperatingPoints, Proposal
from tests.local_films import FINDING, PLACE, create_database
from tests.refusals import Expected, raises_refusal

FILES = {"model.onnx": "a" * 64}
FIGURES = {"confirmed": 120, "positives": 40, "sensitivity": [0.9, 0.78, 0.96]}


@pytest.fixture
def clinical(tmp_path: Path) -> ClinicalDatabase:
    return create_database(tmp_path)


@pytest.fixture
def points(clinical: ClinicalDatabase, tmp_path: Path) -> OperatingPoints:
    return OperatingPoints(clinical.database, tmp_path / "clinical")


def propose(points: OperatingPoints, threshold: float = 0.3) -> Proposal:
    return points.propose(PLACE, FILES, FINDING, threshold, FIGURES, "wang", Role.TECHNICIAN)


def in_force(points: OperatingPoints) -> Path:
    assert points.agree(PLACE, FINDING, propose(points).digest, "li", Role.DOCTOR) is not None
    (path,) = points._folder.glob("*.json")
    return path


def test_one_person_alone_changes_nothing_and_two_do(points: OperatingPoints, clinical: ClinicalDatabase) -> None:
    proposal = propose(points)
    assert points.find_in_force(PLACE, FINDING, FILES) is None
    assert proposal.agreed == {"technician": "wang"}
    for actor, role in (("zhao", Role.TECHNICIAN), ("li", Role.DOCTOR)):
        point = points.agree(PLACE, FINDING, proposal.digest, actor, role)
    assert point is not None
    assert (point.threshold, point.figures) == (0.3, FIGURES)
    assert point.agreed == {"technician": "zhao", "doctor": "li"}
    assert points.find_proposal(PLACE, FINDING) is None
    assert [entry.action for entry in Audit(clinical.database).latest(9)] == [
        "calibration.in_force",
        "calibration.agreed",
        "calibration.agreed",
        "calibration.proposed",
    ]


@pytest.mark.parametrize(
    ("actor", "role", "error"), [("wang", Role.DOCTOR, SamePersonAgreed), ("chen", Role.AUDITOR, POINT_ROLE_MISSING)]
)
def test_neither_the_same_person_nor_an_auditor_is_the_second(
    points: OperatingPoints, actor: str, role: Role, error: Expected
) -> None:
    with raises_refusal(error):
        points.agree(PLACE, FINDING, propose(points).digest, actor, role)
    assert points.find_in_force(PLACE, FINDING) is None


def test_who_looked_at_another_proposal_agrees_to_nothing(points: OperatingPoints) -> None:
    first = propose(points)
    propose(points, 0.2)
    with pytest.raises(ProposalOutdated):
        points.agree(PLACE, FINDING, first.digest, "li", Role.DOCTOR)


@pytest.mark.parametrize(
    ("place", "finding", "files"),
    [
        (ModelSite(PLACE.pack, "1.0.1", PLACE.machine), FINDING, FILES),
        (ModelSite(PLACE.pack, PLACE.version, "m-" + "2" * 20), FINDING, FILES),
        (ModelSite("other", PLACE.version, PLACE.machine), FINDING, FILES),
        (PLACE, "cough", FILES),
        (PLACE, FINDING, {"model.onnx": "b" * 64}),
    ],
)
def test_a_point_holds_for_what_it_is_bound_to_and_for_nothing_else(
    points: OperatingPoints, place: ModelSite, finding: str, files: dict[str, str]
) -> None:
    path = in_force(points)
    other = path.with_name(f"{place.pack}.{place.version}.{place.machine}.{finding}.json")
    if other != path:  # not even when somebody copies the file there
        other.write_bytes(path.read_bytes())
    assert points.find_in_force(PLACE, FINDING, FILES) is not None
    assert points.find_in_force(place, finding, files) is None


def test_an_altered_file_and_a_lost_key_mean_the_packs_own_threshold(points: OperatingPoints) -> None:
    path = in_force(points)
    whole = path.read_text()
    altered = json.loads(whole)
    altered["content"]["threshold"] = 0.01
    path.write_text(json.dumps(altered))
    assert points.find_in_force(PLACE, FINDING, FILES) is None
    assert points.is_altered(PLACE, FINDING)
    path.write_text(whole)
    assert points.find_in_force(PLACE, FINDING, FILES) is not None
    (path.parent / "signing.key").write_bytes(bytes(32))
    assert points.find_in_force(PLACE, FINDING, FILES) is None


def test_one_call_goes_back_and_the_file_stays(points: OperatingPoints, clinical: ClinicalDatabase) -> None:
    path = in_force(points)
    points.undo(PLACE, FINDING, "li")
    assert points.find_in_force(PLACE, FINDING, FILES) is None
    assert len(list((path.parent / "undone").glob("*.json"))) == 1
    assert Audit(clinical.database).latest(1)[0].action == "calibration.undone"
    with pytest.raises(NoOperatingPoint):
        points.undo(PLACE, FINDING, "li")


def test_a_new_point_takes_the_place_of_the_old_one(points: OperatingPoints, tmp_path: Path) -> None:
    in_force(points)
    second = points.agree(PLACE, FINDING, propose(points, 0.2).digest, "li", Role.DOCTOR)
    assert second is not None
    assert second.threshold == 0.2
    assert len(list((tmp_path / "clinical" / FOLDER / "undone").glob("*.json"))) == 1
