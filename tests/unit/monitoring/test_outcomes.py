"""Outcomes from a table: every line that cannot be used is named, and then nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.cases.suspensions import Suspensions
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data
from firmware_app.monitoring import outcomes
from firmware_app.monitoring.errors import OUTCOMES_UNUSABLE, OutcomesUnreadable
from firmware_app.monitoring.outcomes import OutcomeImport
from tests.local_films import FINDING, PLACE, binormal, create_database, read_image
from tests.refusals import raises_refusal


@dataclass(frozen=True)
class Clinic:
    clinical: ClinicalDatabase
    state: StateDir
    cases: list[str]

    @property
    def table(self) -> OutcomeImport:
        return OutcomeImport(self.clinical, self.state)

    def truth(self, number: int) -> tuple[Truth, Source] | None:
        word = Confirmations(self.clinical.database).find_truth(self.cases[number], FINDING)
        return (word.truth, word.source) if word else None


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    clinical = create_database(tmp_path)
    cases = [read_image(clinical, number, 0.9, study_date="2026.01.05") for number in range(4)]
    rows = clinical.database.connection.execute("SELECT reference FROM instances ORDER BY sequence").fetchall()
    for number, row in enumerate(rows):
        said = {"patient_id": f"P{number // 3}", "accession": f"A{number}"}  # the first three are one patient's
        patient_data.write_identity(said, tmp_path / "display" / row[0])
    return Clinic(clinical, StateDir(tmp_path), cases)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_register_in_chinese_is_taken_in_each_encoding(clinic: Clinic, encoding: str) -> None:
    text = "检查号,患者编号,检查日期,结果,来源\r\nA0,,,阳性,检验\r\n,P1,2026年1月5日,阴性,转诊\r\n"
    checked = clinic.table.check(text.encode(encoding))
    assert checked.errors == ()
    assert clinic.table.store(checked, "li").added == 2
    assert clinic.truth(0) == (Truth.POSITIVE, Source.LABORATORY)
    assert clinic.truth(3) == (Truth.NEGATIVE, Source.REFERRAL)


def test_each_line_that_cannot_be_used_has_its_reason_and_nothing_is_imported(clinic: Clinic) -> None:
    lines = [
        "case;accession;patient_id;exam_date;finding;outcome",
        f"{clinic.cases[3]};;;;;positive",  # the one good line
        "c-none;;;;;positive",
        ";A9;;;;positive",
        ";;P0;2026-01-05;;positive",
        ";;P0;yesterday;;positive",
        ";;P0;;;positive",
        ";A0;;;cough;positive",
        ";A0;;;;perhaps",
        f"{clinic.cases[3]};;;;;negative",
    ]
    checked = clinic.table.check("\n".join(lines).encode())
    assert [(error.line, error.reason.code) for error in checked.errors] == [
        (3, outcomes.NO_SUCH_CASE),
        (4, outcomes.NO_SUCH_CASE),
        (5, outcomes.SEVERAL_CASES),
        (6, outcomes.NO_DATE),
        (7, outcomes.NO_CASE_NAMED),
        (8, outcomes.NO_SUCH_FINDING),
        (9, outcomes.NO_OUTCOME),
        (10, outcomes.CONTRADICTED),
    ]
    with raises_refusal(OUTCOMES_UNUSABLE) as refused:
        clinic.table.store(checked, "li")
    assert refused.value.lines == 8
    assert clinic.truth(3) is None


def test_no_reason_quotes_the_register(clinic: Clinic) -> None:
    checked = clinic.table.check(b"accession,finding,outcome\nNobody^1,,positive\nA0,,Nobody\nA0,Nobody,positive\n")
    assert len(checked.errors) == 3
    assert "Nobody" not in repr(checked.errors)
    assert all(isinstance(error.reason, Reason) and error.reason.text("zh_CN") for error in checked.errors)


def test_the_same_file_again_adds_nothing(clinic: Clinic) -> None:
    data = f"case,outcome\n{clinic.cases[0]},1\n{clinic.cases[1]},0\n".encode()
    assert clinic.table.store(clinic.table.check(data), "li").added == 2
    again = clinic.table.store(clinic.table.check(data), "li")
    assert (again.added, again.known) == (0, 2)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"case,name\nc-1,x\n", "outcome"),
        (b"outcome\n1\n", "names the case"),
        (b"case,outcome\n\xff\xff\xff", "GB18030"),
    ],
)
def test_a_file_that_is_no_table_of_outcomes_is_refused_whole(clinic: Clinic, data: bytes, why: str) -> None:
    with pytest.raises(OutcomesUnreadable, match=why):
        clinic.table.check(data, "register.csv")


def test_an_import_that_shows_a_pack_unfit_suspends_it(tmp_path: Path) -> None:
    clinical, lines = create_database(tmp_path), ["case,outcome"]
    for number, (score, truth) in enumerate(binormal(120, 0.5)):
        lines.append(f"{read_image(clinical, number, score)},{int(truth)}")
    table = OutcomeImport(clinical, StateDir(tmp_path))
    assert table.store(table.check("\n".join(lines).encode()), "li", complete=True).suspended == (PLACE,)
    assert Suspensions(clinical.database).find_suspension(PLACE) is not None
