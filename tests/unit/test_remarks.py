"""What a doctor says of a case is kept for good, with name and time, whatever is said after it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.remarks import Kind, OwnFigures, Remarks, clean
from firmware_app.cases.worklist import Worklist
from firmware_app.core.errors import CaseUnknown
from firmware_app.core.records import (
    Finding,
    Header,
    Instance,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Scope,
    Timing,
)


@pytest.fixture
def clinical(tmp_path: Path) -> Clinical:
    """With one case, in which the box found one thing and did not find another."""
    made = Clinical(tmp_path / "clinical.db")
    made.create()
    header = Header("1.2", "1.2.3.1", "1.2.3", "1.2.3.9", "1.2.840.10008.1.2", modality="CR")
    instance = made.admit(path="a", file="images/a", sha256="a" * 64, size=1, header=header, association=None)
    assert isinstance(instance, Instance)
    findings = (Finding("pneumonia", {"en": "Pneumonia"}, 0.9, 0.5), Finding("fluid", {"en": "Fluid"}, 0.1, 0.5))
    reading = Reading(
        Scope.INSTANCE,
        (instance.reference,),
        ReadingStatus.READ,
        None,
        PackIdentity("p", "1", "o", "fp32"),
        Timing(1, 1, 2),
        findings,
    )
    made.finish(instance, reading, Priority.URGENT)
    made.close_revisions(0)
    return made


def test_a_later_word_stands_beside_the_earlier_ones(clinical: Clinical) -> None:
    (case,), worklist, remarks = clinical.references(), Worklist(clinical), Remarks(clinical.database)
    (image,) = clinical.images(case)
    worklist.judge(case, "pneumonia", "agree", "Li")
    worklist.judge(case, "pneumonia", "disagree", "Li")
    worklist.withdraw(case, "pneumonia", "Li")
    remarks.add(case, Kind.MISSED, " Rib\u202e 7 \r\n broken ", "Li", image.reference)
    remarks.add(case, Kind.IMPRESSION, "Refer.", "Wang")
    said = [(one.kind, one.text, one.instance, one.actor) for one in remarks.of_case(case)]
    assert said == [
        (Kind.VERDICT, "agree", "", "Li"),
        (Kind.VERDICT, "disagree", "", "Li"),
        (Kind.VERDICT, "", "", "Li"),
        (Kind.MISSED, "Rib 7\nbroken", image.reference, "Li"),
        (Kind.IMPRESSION, "Refer.", "", "Wang"),
    ]
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        clinical.database.connection.execute("UPDATE remarks SET text = 'x'")
    with pytest.raises(CaseUnknown):
        remarks.add("c-" + "0" * 20, Kind.NOTE, "x", "Li")
    for text, of in (("  \n ", ""), ("x", "i-" + "0" * 20)):
        with pytest.raises(ValueError, match=r".*"):
            remarks.add(case, Kind.NOTE, text, "Li", of)


def test_ones_own_figures_count_the_last_word_on_each_finding(clinical: Clinical) -> None:
    (case,), worklist, remarks = clinical.references(), Worklist(clinical), Remarks(clinical.database)
    for finding, verdict in (("pneumonia", "unsure"), ("pneumonia", "agree"), ("fluid", "disagree")):
        worklist.judge(case, finding, verdict, "Li")
    worklist.judge(case, "fluid", "agree", "Wang")
    expected = (OwnFigures("fluid", False, "disagree", 1), OwnFigures("pneumonia", True, "agree", 1))
    assert remarks.own("Li") == expected
    worklist.withdraw(case, "fluid", "Li")
    assert remarks.own("Li") == expected[1:]


def test_a_long_text_is_cut_and_its_lines_are_kept() -> None:
    assert clean("a\n\n\n\nb") == "a\n\nb"
    assert len(clean("x" * 9_000)) == 2_000
