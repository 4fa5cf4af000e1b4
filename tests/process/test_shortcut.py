"""A reading that rests on marks in an ultrasound picture gets a reason and no number, through the reader itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import FileDataset
from pydicom.uid import UltrasoundImageStorage

from firmware_app.core.records import Priority, ReadingStatus
from firmware_app.results import case_json
from tests import drawn_marks, films, reading_rig, toy_pack

ROWS, COLUMNS = 270, 360


def picture(pixels: drawn_marks.Pixels) -> FileDataset:
    made = films.film(
        pixels.astype(np.uint8),
        Modality="US",
        BodyPartExamined="BREAST",
        ViewPosition=None,
        SOPClassUID=UltrasoundImageStorage,
    )
    made.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    return made


def tissue() -> drawn_marks.Pixels:
    """Grey tissue."""
    return drawn_marks.draw_tissue(2, ROWS, COLUMNS) * np.float32(0.4)


def add_letters(pixels: drawn_marks.Pixels) -> drawn_marks.Pixels:
    """*pixels* with large letters, which a model of 64 pixels still sees."""
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).text((60, 100), "RT LOQ", fill=255, font=ImageFont.load_default(40))
    return np.asarray(image, np.float32)


def echoes() -> drawn_marks.Pixels:
    """Grey tissue with a bright lesion."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    bright = np.exp(-(((y - 135) / 30) ** 2) - ((x - 180) / 50) ** 2)
    return np.asarray(np.clip(tissue() + 220 * bright, 0, 255), np.float32)


def test_what_rests_on_marks_is_not_judged_and_what_rests_on_tissue_is_read(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    toy_pack.use_brightest_model(toy_pack.write(packs, "toy", "adult", 18, None), "US", "BREAST")
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as box:
        of_marks, of_tissue = box.admit(picture(add_letters(tissue()))), box.admit(picture(echoes()))
        box.read(of_marks, of_tissue)
        refused, read, case = box.reading(of_marks), box.reading(of_tissue), box.case(of_marks)
        line = case_json.case_to_json(case, "zh_CN")
    assert (refused.status, reading_rig.read_reason_code(refused)) == (ReadingStatus.CANNOT_JUDGE, "explain.shortcut")
    assert (refused.findings, case.findings, case.priority) == ((), (), Priority.CANNOT_JUDGE)
    assert refused.reason is not None
    assert "looked at marks, not at tissue" in refused.reason.text("en")
    assert "而不是组织" in line["readings"][0]["reason"]["text"]
    assert (read.status, [finding.positive for finding in read.findings]) == (ReadingStatus.READ, [True])
    assert not any(hint.code == "hint.beside" for hint in read.quality.hints)
