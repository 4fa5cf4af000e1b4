"""The JSON line of a case keeps the contract that things outside the repository rely on."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from firmware_app.errors import AgeOutside, Truncated
from firmware_app.reading import hints
from firmware_app.records import (
    Case,
    FileRecord,
    FileStatus,
    Finding,
    Lesion,
    PackIdentity,
    Priority,
    Quality,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.reports.case_line import case_object

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "case.schema.json").read_text("utf-8"))

FINDING = Finding("pneumonia", {"en": "Pneumonia", "zh_CN": "肺炎"}, 0.912345, 0.41)
READ = Reading(
    Scope.INSTANCE,
    ("i-1",),
    ReadingStatus.READ,
    None,
    PackIdentity("chest", "1.0.0", "onnxruntime", "int8"),
    Timing(9.5, 5.25, 20.0),
    (FINDING,),
    (Lesion("i-1", 0, (1, 2, 3, 4), 0.5),),
    Quality(hints=(hints.hint(hints.VIEW_ASSUMED),)),
)
UNJUDGED = Reading(
    Scope.INSTANCE, ("i-2",), ReadingStatus.CANNOT_JUDGE, Reason.of(AgeOutside(age=10)), None, Timing(0, 0, 1)
)
CASE = Case(
    "c-1",
    "1.2.3",
    "CR",
    1,
    Priority.SOON,
    (
        FileRecord("a.dcm", "i-1", FileStatus.READ, None),
        FileRecord("b.dcm", "i-2", FileStatus.CANNOT_JUDGE, Reason.of(AgeOutside(age=10))),
        FileRecord("c.dcm", "i-1", FileStatus.DUPLICATE, None),
    ),
    (READ, UNJUDGED),
    (FINDING,),
    (),
)
HOMELESS = Case(
    None,
    None,
    None,
    0,
    None,
    (FileRecord("d", None, FileStatus.REFUSED, Reason.of(Truncated(where="the pixels"))),),
    (),
    (),
    (),
)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("case", [CASE, HOMELESS], ids=["case", "homeless"])
def test_the_object_keeps_the_schema(case: Case, language: str) -> None:
    made = json.loads(json.dumps(case_object(case, language)))
    jsonschema.validate(made, SCHEMA, jsonschema.Draft202012Validator)


def test_labels_and_sentences_are_in_the_asked_language() -> None:
    english, chinese = case_object(CASE, "en"), case_object(CASE, "zh_CN")
    assert english["findings"][0]["label"] == "Pneumonia"
    assert chinese["findings"][0]["label"] == "肺炎"
    assert "10 years" in english["files"][1]["reason"]["text"]
    assert english["files"][1]["reason"]["code"] == chinese["files"][1]["reason"]["code"] == "age"


def test_a_number_is_what_the_reading_said_and_the_verdict_goes_with_it() -> None:
    finding = case_object(CASE, "en")["readings"][0]["findings"][0]
    assert finding == {
        "code": "pneumonia",
        "label": "Pneumonia",
        "probability": 0.9123,
        "threshold": 0.41,
        "positive": True,
    }
    assert case_object(CASE, "en")["readings"][0]["milliseconds"] == {"decode": 9.5, "infer": 5.25, "total": 20.0}


def test_hints_are_sentences() -> None:
    hint = case_object(CASE, "en")["readings"][0]["quality"]["hints"][0]
    assert hint["code"] == "hint.view_assumed"
    assert hint["text"].startswith("The film does not say")
