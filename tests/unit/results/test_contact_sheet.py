"""The page and the table over many cases: in order of urgency, and harmless whatever a file is called."""

from __future__ import annotations

import csv
import io
import re

import pytest

from firmware_app.core.lesion import Lesion
from firmware_app.core.records import (
    Case,
    FileRecord,
    FileStatus,
    Finding,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.results import overview

PACK = PackIdentity("breast-ultrasound", "1.0.0", "onnxruntime", "int8")


def case(reference: str, priority: Priority, name: str = "a.dcm", probability: float = 0.9) -> Case:
    """A case of one image with one finding and, where it is positive, one lesion."""
    finding = Finding("mass", {"en": "Mass", "zh_CN": "肿块"}, probability, 0.5)
    lesion = Lesion(
        "i-1",
        0,
        (10.0, 20.0, 50.0, 60.0),
        0.87,
        long_axis_mm=12.34,
        short_axis_mm=8.1,
        area_mm2=78.5,
        tags={"finding": "mass"},
    )
    judged = priority is not Priority.CANNOT_JUDGE
    reason = None if judged else Reason("quality.blank", {"greys": 1})
    status = FileStatus.READ if judged else FileStatus.CANNOT_JUDGE
    findings, lesions = ((finding,) if judged else ()), ((lesion,) if judged and finding.positive else ())
    reading = Reading(
        Scope.INSTANCE, ("i-1",), ReadingStatus(status.value), reason, PACK, Timing(1, 1, 1), findings, lesions
    )
    return Case(
        reference, None, "US", 1, priority, (FileRecord(name, "i-1", status, reason),), (reading,), findings, lesions
    )


def rows(*cases: Case) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(overview.format_csv(cases, "en"))))


def test_the_most_urgent_stands_first_and_what_could_not_be_judged_before_what_is_routine() -> None:
    cases = [
        case("c-1", Priority.ROUTINE, probability=0.1),
        case("c-2", Priority.CANNOT_JUDGE),
        case("c-3", Priority.SOON),
        case("c-4", Priority.URGENT),
        case("c-5", Priority.SOON, probability=0.95),
    ]
    page = overview.render_overview(cases, lambda _: None, "en")
    assert re.findall(r"\bc-\d", page) == ["c-4", "c-5", "c-3", "c-2", "c-1"]


def test_nothing_that_a_file_brings_becomes_markup() -> None:
    evil = '"><script>alert(1)<\\script>.png'
    shown = overview.PictureLinks(f"c-1/{evil}", f"c-1/{evil}")
    page = overview.render_overview([case("c-1", Priority.SOON, evil)], lambda _: shown, "en")
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3


def test_a_card_says_finding_lesion_with_its_size_and_why_there_is_no_result() -> None:
    page = overview.render_overview(
        [case("c-1", Priority.SOON), case("c-2", Priority.CANNOT_JUDGE)], lambda _: None, "en"
    )
    assert "Mass: found, 0.90 (threshold 0.50)" in page
    assert "Lesion 1, Mass, score 0.87. Long axis 12.3 mm, short axis 8.1 mm. Area 78 mm²." in page
    assert "(quality.blank)" in page
    assert "Not for diagnostic use without a doctor." in page


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    page = overview.render_overview(
        [case("c-1", Priority.SOON)], lambda _: overview.PictureLinks("c-1/a", "c-1/b"), "zh_CN"
    )
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["c-1/b", "c-1/a"]
    assert "<script" not in page
    assert 'lang="zh-CN"' in page


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])
def test_no_cell_is_a_formula(name: str) -> None:
    for row in rows(case("c-1", Priority.SOON, name), case("c-2", Priority.CANNOT_JUDGE, name)):
        assert row["File"] == "'" + name.replace("\t", "\\t")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;owned\x07.dcm", "\\x1b]0;owned\\x07.dcm"),
        ("film\u202egnp.dcm", "film\\u202egnp.dcm"),
        ("a\u2066b\u200e.dcm", "a\\u2066b\\u200e.dcm"),
        ("a\r\nb\x9b2J", "a\\r\\nb\\x9b2J"),
        ("清河 胸片.dcm", "清河 胸片.dcm"),
    ],
)
def test_no_cell_holds_what_a_terminal_would_obey(name: str, shown: str) -> None:
    for row in rows(case("c-1", Priority.SOON, name), case("c-2", Priority.CANNOT_JUDGE, name)):
        assert row["File"] == shown


def test_finding_lesion_and_file_without_a_result_have_a_row_each() -> None:
    finding, lesion, none = rows(case("c-1", Priority.SOON), case("c-2", Priority.CANNOT_JUDGE))
    assert (finding["Row"], finding["Verdict"], finding["Probability"]) == ("finding", "found", "0.9")
    assert (lesion["Row"], lesion["Number"], lesion["Long axis (mm)"]) == ("lesion", "1", "12.34")
    assert (none["Row"], none["Verdict"], none["Reason's code"]) == ("no result", "cannot judge", "quality.blank")
