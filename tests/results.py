"""A case made by code with findings, lesions and a doctor's word, and the programs that check its objects."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import DisplayedPatient, Patient
from firmware_app.cases.verdicts import CaseCompletion, DoctorVerdict
from firmware_app.core import clock
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import (
    Case,
    Finding,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.core.rows import dump_json
from firmware_app.dicom.header import examine_file
from firmware_app.results.case_view import CaseView, SourceImage
from firmware_app.results.dicom_objects import objects
from firmware_app.results.dicom_objects.objects import ResultObject
from tests import peers

PACK = PackIdentity("chest-xray-child", "0.2.2", "onnxruntime", "int8")
PDF = b"%PDF-1.7\n%%EOF\n"  # to the objects a report is bytes; one of odd length
_PIXELMED = "/usr/share/java/pixelmed.jar"
# The compiled templates have more XPath operators than Java allows a style sheet by default.
_LIMITS = [f"-Djdk.xml.{name}=0" for name in ("xpathExprOpLimit", "xpathTotalOpLimit", "xpathExprGrpLimit")]


def make_case_view(path: Path, display: Path, *, header: bool = True, signed: bool = False, **changes: Any) -> CaseView:
    """The result of a case with the image at *path*; its frame is rendered into *display*."""
    known = examine_file(path).header if header else None
    rows, columns = (known.rows, known.columns) if known and known.rows and known.columns else (128, 96)
    render(display, rows, columns)
    findings = (
        Finding("pneumonia", {"en": "Signs of pneumonia", "zh_CN": "肺炎征象"}, 0.93, 0.41),
        Finding("suspicious_shadow", {"en": "Suspicious shadow", "zh_CN": "可疑阴影"}, 0.13, 0.41),
    )
    lesions = (
        Lesion(
            "i-1",
            0,
            (columns * 0.2, rows * 0.2, columns * 0.6, rows * 0.5),
            0.9,
            long_axis_mm=12.3,
            short_axis_mm=5.6,
            area_mm2=55.0,
            tags={"finding": "pneumonia"},
            picture=(columns, rows),
            outline=((columns * 0.2, rows * 0.2), (columns * 0.6, rows * 0.3), (columns * 0.4, rows * 0.5)),
        ),
        Lesion(
            "i-1",
            0,
            (columns * 0.1, rows * 0.1, columns * 0.3, rows * 0.3),
            0.6,
            long_axis_px=20.0,
            short_axis_px=10.0,
            tags={"finding": "pneumonia"},
            picture=(columns, rows),
        ),
    )
    time = Timing(1.0, 2.0, 3.0)
    readings = (
        Reading(Scope.INSTANCE, ("i-1",), ReadingStatus.READ, None, PACK, time, findings, lesions),
        Reading(Scope.INSTANCE, ("i-1",), ReadingStatus.CANNOT_JUDGE, Reason("routing.no_pack"), None, time),
    )
    modality = known.modality if known else None
    case = Case("c-1f2e3d4c", "1.2", modality, 1, Priority.URGENT, (), readings, findings, lesions)
    said_at = clock.parse_stamp("2026-11-23T12:00:00+08:00")
    made = CaseView(
        case=case,
        known=DisplayedPatient(Patient("王小明", "P-1", "045Y", "M")),
        images=(SourceImage("i-1", str(path), str(display), known),),
        verdicts=(DoctorVerdict("pneumonia", "disagree", "李医生", said_at),),
        done=CaseCompletion("李医生", said_at) if signed else None,
        box="某某卫生院",
        language="zh_CN",
        key="ab" * 32,
        software="Lantern 0.1",
        version=1,
        made_at="2026-11-23T12:00:05+08:00",
    )
    return replace(made, **changes)


def write_objects(result: CaseView, folder: Path) -> dict[str, Path]:
    """The files of all objects by their names."""
    folder.mkdir(exist_ok=True)
    return {one.file_name: objects.write_object(one, folder) for one in make_objects(result)}


def make_objects(result: CaseView) -> list[ResultObject]:
    return list(objects.make_objects(result, PDF))


def validate_object(path: Path) -> list[str]:
    """The errors that dicom3tools' dciodvfy sees in an object."""
    told = subprocess.run([peers.peer("dciodvfy"), "-new", path], capture_output=True, text=True, check=False)
    return [line for line in (told.stdout + told.stderr).splitlines() if "Error" in line]


def validate_report(path: Path) -> list[str]:
    """The errors that PixelMed's DicomSRValidator sees in a structured report."""
    if not Path(_PIXELMED).is_file():
        peers.skip_missing_packages("libpixelmed-java")
    command = [peers.peer("java"), *_LIMITS, "-cp", f"{_PIXELMED}:/usr/share/java/*"]
    told = subprocess.run(
        [*command, "com.pixelmed.validate.DicomSRValidator", path], capture_output=True, text=True, check=False
    )
    assert "IOD validation complete" in told.stdout
    return [line for line in told.stdout.splitlines() if "Error" in line]


def dump_report(path: Path) -> str:
    """The report as dcmtk's dsrdump shows it."""
    return subprocess.run([peers.peer("dsrdump"), path], capture_output=True, text=True, check=True).stdout


def add_reading(clinical: ClinicalDatabase, case: str) -> None:
    """Give *case* a reading: its first image could not be judged."""
    instance = clinical.list_images(case)[0].reference
    reason, time = Reason("routing.no_pack"), Timing(1.0, 2.0, 3.0)
    reading = Reading(Scope.INSTANCE, (instance,), ReadingStatus.CANNOT_JUDGE, reason, None, time)
    with clinical.database.transaction() as connection:
        connection.execute(
            "INSERT INTO readings (key, case_reference, body, at) VALUES (?, ?, ?, ?)",
            (instance, case, dump_json(reading), clock.stamp_text()),
        )


def render(display: Path, rows: int, columns: int) -> None:
    """Put a frame of that size into *display*, as the reader does."""
    display.mkdir(exist_ok=True)
    greys = np.tile(np.linspace(0, 65535, columns), (rows, 1)).astype(np.uint16)
    Image.fromarray(greys).save(display / "frame-000.png")
    facts = {
        "frame": 0,
        "frames": 1,
        "frames_shown": 1,
        "rows": rows,
        "columns": columns,
        "shown_rows": rows,
        "shown_columns": columns,
        "colour": False,
        "window": {"centre": 30000, "width": 60000},
        "slope": 1.0,
        "intercept": 0.0,
    }
    (display / "frame-000.json").write_text(json.dumps(facts))
