"""The JSON line of a case keeps the contract that things outside the repository rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from firmware_app.core.records import (
    Case,
    Feature,
    FileRecord,
    FileStatus,
    Finding,
    Lesion,
    LesionSightings,
    PackIdentity,
    Priority,
    Quality,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.dicom.errors import Truncated
from firmware_app.reading import hints
from firmware_app.reading.errors import AGE_OUTSIDE
from firmware_app.results.case_json import case_to_json

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "case.schema.json").read_text("utf-8"))

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
    Quality(hints=(hints.make_hint(hints.VIEW_ASSUMED),)),
)
UNJUDGED = Reading(
    Scope.INSTANCE, ("i-2",), ReadingStatus.CANNOT_JUDGE, Reason.from_error(AGE_OUTSIDE(age=10)), None, Timing(0, 0, 1)
)
CASE = Case(
    "c-1",
    "1.2.3",
    "CR",
    1,
    Priority.SOON,
    (
        FileRecord("a.dcm", "i-1", FileStatus.READ, None),
        FileRecord("b.dcm", "i-2", FileStatus.CANNOT_JUDGE, Reason.from_error(AGE_OUTSIDE(age=10))),
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
    (FileRecord("d", None, FileStatus.REFUSED, Reason.from_error(Truncated(where="the pixels"))),),
    (),
    (),
    (),
)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("case", [CASE, HOMELESS], ids=["case", "homeless"])
def test_the_object_keeps_the_schema(case: Case, language: str) -> None:
    made = json.loads(json.dumps(case_to_json(case, language)))
    jsonschema.validate(made, SCHEMA, jsonschema.Draft202012Validator)


def test_labels_and_sentences_are_in_the_asked_language() -> None:
    english, chinese = case_to_json(CASE, "en"), case_to_json(CASE, "zh_CN")
    assert english["findings"][0]["label"] == "Pneumonia"
    assert chinese["findings"][0]["label"] == "肺炎"
    assert "10 years" in english["files"][1]["reason"]["text"]
    assert english["files"][1]["reason"]["code"] == chinese["files"][1]["reason"]["code"] == "age"


def test_a_number_is_what_the_reading_said_and_the_verdict_goes_with_it() -> None:
    finding = case_to_json(CASE, "en")["readings"][0]["findings"][0]
    assert finding == {
        "code": "pneumonia",
        "label": "Pneumonia",
        "probability": 0.9123,
        "threshold": 0.41,
        "positive": True,
    }
    assert case_to_json(CASE, "en")["readings"][0]["milliseconds"] == {"decode": 9.5, "infer": 5.25, "total": 20.0}


def test_hints_are_sentences() -> None:
    hint = case_to_json(CASE, "en")["readings"][0]["quality"]["hints"][0]
    assert hint["code"] == "hint.view_assumed"
    assert hint["text"].startswith("The film does not say")


def test_a_lesion_that_was_put_together_says_of_what_and_keeps_the_schema() -> None:
    whole = Lesion(
        "i-1",
        3,
        (1, 2, 30, 40),
        0.71234,
        area_px=900,
        long_axis_mm=12.5,
        tags={"finding": "mass"},
        long_axis_px=50.0,
        chances={"malignant": 0.35},
        features=(Feature("shape", "oval", 0.8, 0.9),),
        outline=((1.0, 2.0), (30.0, 2.0), (30.0, 40.0)),
        axes=((1.0, 2.0, 30.0, 40.0),),
        seen=LesionSightings((("i-1", 3), ("i-1", 5)), 8, {"long_axis_mm": (12.0, 13.0)}, {"malignant": 1}),
    )
    made = json.loads(json.dumps(case_to_json(replace(CASE, lesions=(whole,)), "en")))
    jsonschema.validate(made, SCHEMA, jsonschema.Draft202012Validator)
    (lesion,) = made["lesions"]
    assert lesion["seen"] == {
        "frames": 2,
        "of": 8,
        "marks": [{"instance": "i-1", "frame": 3}, {"instance": "i-1", "frame": 5}],
        "ranges": {"long_axis_mm": [12.0, 13.0]},
        "votes": {"malignant": 1},
    }
    shape = {"name": "shape", "term": "oval", "confidence": 0.8, "source": "computed", "measure": 0.9}
    assert lesion["features"] == [shape]
    assert made["scores"] == {"mass": 0.7123, "malignant": 0.35}
