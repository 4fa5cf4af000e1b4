"""Outcomes from a table: what the laboratory or the hospital says of cases, as a CSV file of a register or of Excel.

Each line names a case (by its reference, by the accession number, or by patient id and date of the examination) and its
outcome.  Column names and values may be English or Chinese, the file UTF-8, GB18030 or UTF-16; comma, semicolon or tab.
Every line that cannot be used is named with its reason, and then nothing is imported.  No reason quotes the file, which
holds patients' ids.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.cases.model_scores import ModelSite
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data
from firmware_app.monitoring.errors import OUTCOMES_UNUSABLE, OutcomesUnreadable

MOST_BYTES: Final = 20_000_000
_COLUMNS: Final = {
    "case": ("case", "case_reference", "病例", "病例编号"),
    "accession": ("accession", "accession_number", "accessionnumber", "检查号", "检查编号", "检查单号", "申请单号"),
    "patient": ("patient_id", "patientid", "patient", "患者编号", "患者id", "病人编号", "病历号", "门诊号", "住院号"),
    "date": ("exam_date", "study_date", "date", "检查日期", "拍片日期", "日期"),
    "finding": ("finding", "征象", "所见"),
    "outcome": ("outcome", "truth", "result", "结果", "检查结果", "确诊结果", "结局"),
    "source": ("source", "来源"),
}
_TRUTHS: Final = {
    Truth.POSITIVE: ("positive", "pos", "yes", "true", "1", "+", "阳性", "是", "有", "确诊"),
    Truth.NEGATIVE: ("negative", "neg", "no", "false", "0", "-", "阴性", "否", "无", "没有", "排除"),
    Truth.UNSURE: ("unsure", "unknown", "indeterminate", "?", "不确定", "未定", "待定", "不明"),
}
_SOURCES: Final = {
    Source.LABORATORY: ("laboratory", "lab", "实验室", "化验", "检验", "检验科"),
    Source.REFERRAL: ("referral", "hospital", "转诊", "上级医院", "医院"),
    Source.CSV: ("csv", "other", "其他", "其它"),
}
_Word = TypeVar("_Word", Truth, Source)
_DATE: Final = re.compile(r"(\d{4})\D?(\d{1,2})\D?(\d{1,2})日?(?:\s.*)?")

NO_CASE_NAMED: Final = register(
    "outcomes.no_case_named", N_("It names no case: neither a case, nor an accession number, nor patient id and date.")
)
NO_SUCH_CASE: Final = register("outcomes.no_such_case", N_("No case of this box fits."))
SEVERAL_CASES: Final = register(
    "outcomes.several_cases", N_("{count} cases of this box fit. Name one by its accession number or its reference.")
)
NO_OUTCOME: Final = register(
    "outcomes.no_outcome", N_("Its outcome is none of: positive, negative, unsure (阳性, 阴性, 不确定).")
)
NO_SOURCE: Final = register("outcomes.no_source", N_("Its source is none of: laboratory, referral (检验, 转诊)."))
NO_DATE: Final = register("outcomes.no_date", N_("Its date cannot be read. Write it as 2026-01-31."))
NO_SCORE: Final = register("outcomes.no_score", N_("No model has given a number for this case, so it tells nothing."))
SEVERAL_FINDINGS: Final = register(
    "outcomes.several_findings",
    N_("Models look for several findings in this case ({findings}): add a column “finding”."),
)
NO_SUCH_FINDING: Final = register(
    "outcomes.no_such_finding", N_("Its finding is not one that a model looks for in this case ({findings}).")
)
CONTRADICTED: Final = register("outcomes.contradicted", N_("Line {other} gives another outcome for the same case."))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One usable line."""

    line: int
    case: str
    finding: str
    truth: Truth
    source: Source


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line, numbered as an editor does, cannot be used."""

    line: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class CheckedOutcomes:
    """A whole file: its usable lines, and the errors of the others."""

    outcomes: tuple[Outcome, ...]
    errors: tuple[LineError, ...]


@dataclass(frozen=True, slots=True)
class ImportedOutcomes:
    """What an import did: new words, lines that said what was known already, and where a pack was suspended."""

    added: int
    known: int
    suspended: tuple[ModelSite, ...]


class OutcomeImport:
    """The import of one box."""

    def __init__(self, clinical: ClinicalDatabase, state: StateDir) -> None:
        self._clinical, self._state = clinical, state
        self._confirmations = Confirmations(clinical.database)

    def check(self, data: bytes, name: str = "") -> CheckedOutcomes:
        """Look at every line of the file *data*; writes nothing.  Raises `OutcomesUnreadable`, naming it *name*."""
        index = _Index.from_database(self._clinical.database.connection, self._state)
        found: dict[tuple[str, str, Source], Outcome] = {}
        errors = []
        for line, row in _read_rows(data, name):
            outcome = index.parse_outcome(line, row)
            if isinstance(outcome, Reason):
                errors.append(LineError(line, outcome))
                continue
            before = found.setdefault((outcome.case, outcome.finding, outcome.source), outcome)
            if before.truth is not outcome.truth:
                errors.append(LineError(line, Reason(CONTRADICTED, {"other": before.line})))
        return CheckedOutcomes(tuple(found.values()), tuple(errors))

    def store(self, checked: CheckedOutcomes, actor: str, *, complete: bool = False) -> ImportedOutcomes:
        """Store every outcome of *checked*, all in one transaction, and test the packs afterwards.

        *complete*: the file has the outcomes of all films of its time, not of chosen ones.  Raises `OUTCOMES_UNUSABLE`
        where a line has an error; then nothing is stored.
        """
        if checked.errors:
            raise OUTCOMES_UNUSABLE(lines=len(checked.errors))
        says, new = self._confirmations, []
        with self._clinical.database.transaction() as connection:
            for outcome in checked.outcomes:
                last = [
                    word
                    for word in says.list_for_case(outcome.case)
                    if (word.finding, word.source) == (outcome.finding, outcome.source)
                ]
                if not (last and last[-1].truth is outcome.truth):
                    new.append(outcome)
            before = says.count_confirmed(connection, {(one.case, one.finding) for one in new})
            for one in new:
                says.write(
                    connection,
                    one.case,
                    one.finding,
                    truth=one.truth,
                    source=one.source,
                    actor=actor,
                    complete=complete,
                )
            suspended = says.suspend_unfit(connection, before)
        return ImportedOutcomes(len(new), len(checked.outcomes) - len(new), suspended)


def _read_rows(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line, column -> value) of every line that is not empty, under our own names of the columns."""
    if len(data) > MOST_BYTES:
        raise OutcomesUnreadable(path=name, detail=f"it has more than {MOST_BYTES // 1_000_000} MB")
    text = _decode_text(data, name)
    first = text.partition("\n")[0]
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        heads = [_match_column(head) for head in next(reader, [])]
        if "outcome" not in heads:
            raise OutcomesUnreadable(path=name, detail="no column is called “outcome” or “结果”")
        if not {"case", "accession"} & set(heads) and not {"patient", "date"} <= set(heads):
            detail = "no column names the case: “case”, “accession”, or “patient_id” and “exam_date”"
            raise OutcomesUnreadable(path=name, detail=detail)
        for row in reader:
            if any(value.strip() for value in row):
                values = zip(heads, row, strict=False)
                yield reader.line_num, {head: value.strip() for head, value in values if head}
    except csv.Error as error:
        raise OutcomesUnreadable(path=name, detail=str(error)) from None


def _decode_text(data: bytes, name: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise OutcomesUnreadable(path=name, detail="its characters are neither UTF-8 nor GB18030")


def _match_column(head: str) -> str:
    word = head.strip().casefold().replace(" ", "_")
    return next((name for name, heads in _COLUMNS.items() if word in heads), "")


@dataclass(frozen=True, slots=True)
class _Index:
    """The cases of the box by what a line may name them."""

    findings: Mapping[str, tuple[str, ...]]
    accessions: Mapping[str, frozenset[str]]
    visits: Mapping[tuple[str, str], frozenset[str]]

    @classmethod
    def from_database(cls, connection: sqlite3.Connection, state: StateDir) -> _Index:
        """All cases; patients' ids come from the images' own files, and from what a person has entered."""
        findings: dict[str, tuple[str, ...]] = {}
        for row in connection.execute("SELECT DISTINCT case_reference, finding FROM scored ORDER BY finding"):
            findings[row[0]] = (*findings.get(row[0], ()), row[1])
        entered: dict[str, set[str]] = {}
        for row in connection.execute("SELECT case_reference, patient_id FROM identities WHERE patient_id IS NOT NULL"):
            entered.setdefault(row[0], set()).add(_clean_id(row[1]))
        accessions: dict[str, set[str]] = {}
        visits: dict[tuple[str, str], set[str]] = {}
        rows = connection.execute(
            "SELECT reference, case_reference, json_extract(header, '$.study_date') AS date FROM instances"
        )
        for row in rows:
            case, said = row["case_reference"], _read_identity(state.display / row["reference"])
            if accession := _clean_id(said.get("accession", "")):
                accessions.setdefault(accession, set()).add(case)
            for patient in {_clean_id(said.get("patient_id", "")), *entered.get(case, ())} - {""}:
                visits.setdefault((patient, _keep_digits(row["date"] or "")), set()).add(case)
        return cls(
            findings,
            {key: frozenset(cases) for key, cases in accessions.items()},
            {key: frozenset(cases) for key, cases in visits.items()},
        )

    def parse_outcome(self, line: int, row: Mapping[str, str]) -> Outcome | Reason:
        """The outcome that a line gives, or why it gives none."""
        case = self._find_case(row)
        if isinstance(case, Reason):
            return case
        known = self.findings.get(case, ())
        if not known:
            return Reason(NO_SCORE)
        finding = row.get("finding", "")
        if finding and finding not in known:
            return Reason(NO_SUCH_FINDING, {"findings": ", ".join(known)})
        if not finding and len(known) > 1:
            return Reason(SEVERAL_FINDINGS, {"findings": ", ".join(known)})
        truth, source = _match_word(_TRUTHS, row.get("outcome", "")), _match_word(_SOURCES, row.get("source", ""))
        if truth is None:
            return Reason(NO_OUTCOME)
        if source is None and row.get("source"):
            return Reason(NO_SOURCE)
        return Outcome(line, case, finding or known[0], truth, source or Source.CSV)

    def _find_case(self, row: Mapping[str, str]) -> str | Reason:
        if case := row.get("case", ""):
            return case if case in self.findings else Reason(NO_SUCH_CASE)
        if accession := _clean_id(row.get("accession", "")):
            fitting = self.accessions.get(accession, frozenset())
        elif (patient := _clean_id(row.get("patient", ""))) and row.get("date"):
            date = _parse_date(row["date"])
            if date is None:
                return Reason(NO_DATE)
            fitting = self.visits.get((patient, date), frozenset())
        else:
            return Reason(NO_CASE_NAMED)
        if not fitting:
            return Reason(NO_SUCH_CASE)
        return next(iter(fitting)) if len(fitting) == 1 else Reason(SEVERAL_CASES, {"count": len(fitting)})


def _match_word(words: Mapping[_Word, tuple[str, ...]], text: str) -> _Word | None:
    return next((word for word, names in words.items() if text.strip().casefold() in names), None)


def _parse_date(text: str) -> str | None:
    """``20260131`` of a date as people write it; ``None`` for anything else."""
    match = _DATE.fullmatch(text.strip())
    return f"{match[1]}{int(match[2]):02d}{int(match[3]):02d}" if match else None


def _keep_digits(date: str) -> str:
    """A DA value, also with the dots of ACR-NEMA, as digits alone."""
    return re.sub(r"\D", "", date)


def _clean_id(text: str) -> str:
    """An id without what a spreadsheet adds: spaces, or the ``.0`` of a number."""
    return re.sub(r"\.0$", "", text.strip()).casefold()


def _read_identity(folder: Path) -> Mapping[str, str]:
    try:
        content = json.loads((folder / patient_data.IDENTITY_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)} if isinstance(content, dict) else {}
