"""What a doctor says of a case is kept for good, with name and time, whatever is said after it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.remarks import DoctorFigures, RemarkKind, Remarks
from tests.cases import make_finding, read_case


@pytest.fixture
def clinical(tmp_path: Path) -> ClinicalDatabase:
    """With one case, in which the box found one thing and did not find another."""
    made = ClinicalDatabase(tmp_path / "clinical.db")
    made.create()
    read_case(made, findings=(make_finding(), make_finding(0.1, "fluid")))
    return made


def test_a_later_word_stands_beside_the_earlier_ones(clinical: ClinicalDatabase) -> None:
    (case,), worklist, remarks = clinical.list_references(), CaseLists(clinical), Remarks(clinical.database)
    (image,) = clinical.list_images(case)
    worklist.judge(case, "pneumonia", "agree", "Li")
    worklist.judge(case, "pneumonia", "disagree", "Li")
    worklist.withdraw(case, "pneumonia", "Li")
    remarks.add(case, RemarkKind.MISSED, " Rib\u202e 7 \r\n broken ", "Li", image.reference)
    remarks.add(case, RemarkKind.IMPRESSION, "Refer.", "Wang")
    said = [(one.kind, one.text, one.instance, one.actor) for one in remarks.list_for_case(case)]
    assert said == [
        (RemarkKind.VERDICT, "agree", "", "Li"),
        (RemarkKind.VERDICT, "disagree", "", "Li"),
        (RemarkKind.VERDICT, "", "", "Li"),
        (RemarkKind.MISSED, "Rib 7\nbroken", image.reference, "Li"),
        (RemarkKind.IMPRESSION, "Refer.", "", "Wang"),
    ]
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        clinical.database.connection.execute("UPDATE remarks SET text = 'x'")
    with pytest.raises(CaseUnknown):
        remarks.add("c-" + "0" * 20, RemarkKind.NOTE, "x", "Li")
    for text, of in (("  \n ", ""), ("x", "i-" + "0" * 20)):
        with pytest.raises(ValueError, match=r".*"):
            remarks.add(case, RemarkKind.NOTE, text, "Li", of)


def test_ones_own_figures_count_the_last_word_on_each_finding(clinical: ClinicalDatabase) -> None:
    (case,), worklist, remarks = clinical.list_references(), CaseLists(clinical), Remarks(clinical.database)
    for finding, verdict in (("pneumonia", "unsure"), ("pneumonia", "agree"), ("fluid", "disagree")):
        worklist.judge(case, finding, verdict, "Li")
    worklist.judge(case, "fluid", "agree", "Wang")
    expected = (DoctorFigures("fluid", False, "disagree", 1), DoctorFigures("pneumonia", True, "agree", 1))
    assert remarks.count_own_verdicts("Li") == expected
    worklist.withdraw(case, "fluid", "Li")
    assert remarks.count_own_verdicts("Li") == expected[1:]
