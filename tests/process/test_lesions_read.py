"""An ultrasound clip through both children: its marks come out with sizes in millimetres, and are one lesion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundMultiFrameImageStorage

from firmware_app.cli import offline_reading
from firmware_app.cli.errors import BACKGROUND_UNKNOWN
from firmware_app.core.records import Case
from tests import films, reading_rig, toy_pack
from tests.refusals import raises_refusal

ROWS, COLUMNS = 256, 512
SPOT = (128, 96, 256, 192)
"""x0, y0, x1, y1 of the bright place: 2 × 3 of the model's 8 × 8 cells."""
FRAMES = 6
GONE = 3
"""The frame without it."""


def outlining(folder: Path) -> Path:
    """The toy pack, whose map is the picture made small, as one that outlines what is bright, and has rules."""
    words = {"en": "See a doctor.", "zh": "请就诊。"}
    row = {"advice": words, "rule": words, "source": "Guideline, 2020;1:2", "finding": "bright"}
    rules = {
        "background": [{"code": "virus", "label": words, "diagnoses": ["I10:B18.1"]}],
        "rows": [{**row, "code": "seen"}, {**row, "code": "raised", "background": ["virus"]}],
    }
    pack = toy_pack.write(folder, "toy-adult", "adult", 18, None)
    toy_pack.make_segmenter(pack, "US", "CHEST", FRAMES, follow_up=rules)
    return folder


def clip(**attributes: Any) -> Any:
    """Waves of tissue with a bright line at the top, and a bright spot in all frames but one."""
    down, across = np.mgrid[0:ROWS, 0:COLUMNS]
    tissue = 60 + 25 * np.sin(across / 30) * np.sin(down / 20) + np.random.default_rng(3).normal(0, 3, (ROWS, COLUMNS))
    pixels = np.repeat(tissue[np.newaxis], FRAMES, axis=0).astype(np.uint8)
    pixels[:, :8] = 240
    x0, y0, x1, y1 = SPOT
    pixels[[frame for frame in range(FRAMES) if frame != GONE], y0:y1, x0:x1] += np.uint8(150)
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = COLUMNS - 1, ROWS - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.02
    return films.film(
        pixels,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PlanarConfiguration=None,
        Rows=ROWS,
        Columns=COLUMNS,
        NumberOfFrames=FRAMES,
        FrameTime=40.0,
        Modality="US",
        ViewPosition=None,
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        SequenceOfUltrasoundRegions=[region],
        **attributes,
    )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("box")
    with reading_rig.rig(reading_rig.config(folder, outlining(folder / "packs"))) as box:
        instance = box.admit(clip())
        box.read(instance)
        return box.case(instance)


def test_the_marks_of_a_clip_are_one_lesion_and_the_reading_keeps_them_all(case: Case) -> None:
    (reading,), (lesion,) = case.readings, case.lesions
    assert [mark.frame for mark in reading.lesions] == [0, 1, 2, 4, 5]
    assert reading.frames is not None
    assert reading.frames.rate_hz == pytest.approx(25.0)
    assert len(reading.frames.weights) == FRAMES
    assert max(reading.frames.weights) == 1.0
    assert lesion.seen is not None
    assert (lesion.seen.frames, lesion.seen.of) == (5, FRAMES)


def test_facts_from_the_command_line_and_from_coded_diagnoses_raise_the_advice(tmp_path: Path) -> None:
    config = reading_rig.config(tmp_path, outlining(tmp_path / "packs"))
    coded = Dataset()
    coded.CodingSchemeDesignator, coded.CodeValue = "I10", "B18.1"
    plain = films.save(tmp_path, "plain.dcm", clip())
    stated = films.save(tmp_path, "stated.dcm", clip(AdmittingDiagnosesCodeSequence=[coded]))

    def advised(*paths: Path, **background: bool) -> list[str]:
        cases = offline_reading.read_paths(paths, config, background=background)
        return [case.follow_up.code for case in cases if case.follow_up is not None]

    assert advised(plain, stated) == ["follow_up.seen", "follow_up.raised"]
    assert advised(plain, virus=True) == ["follow_up.raised"]
    with raises_refusal(BACKGROUND_UNKNOWN, match="virus"):
        advised(plain, hepatitis=True)
