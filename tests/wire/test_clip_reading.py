"""A clip is read in the frames that its pack asks for, and the reading says which they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from firmware_app.core.records import Reading, ReadingStatus
from firmware_app.results import case_json
from tests import films, reading_rig, screens, toy_pack
from tests.peers import REPOSITORY
from tests.reading_rig import Rig

SIZE = {"rows": 300, "columns": 400}
BESIDE = "hint.beside"  # the toy pack goes by brightness, and letters are the brightest that is on a screen
SCHEMA = json.loads((REPOSITORY / "docs" / "case.schema.json").read_text("utf-8"))


def pack(folder: Path, frames: dict[str, Any] | None, finding: dict[str, Any] | None = None, **entry: Any) -> Path:
    """A toy pack for ultrasound of the breast that takes clips as *frames* says; *entry* is of its input."""
    made = toy_pack.write(folder, "toy-ultrasound", "any", None, None)
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["route"] |= {"modalities": ["US"], "body_parts": ["BREAST"], "views": []}
    manifest["input"] |= entry
    manifest["findings"][0] |= finding or {}
    if frames is not None:
        manifest["frames"] = frames
    (made / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Any]:
    """Makes rigs whose only pack takes clips as told."""
    opened: list[Any] = []

    def make(frames: dict[str, Any] | None, **entry: Any) -> Rig:
        packs = pack(tmp_path / f"packs{len(opened)}", frames, **entry)
        manager = reading_rig.rig(reading_rig.config(tmp_path / f"box{len(opened)}", packs))
        opened.append(manager)
        return manager.__enter__()

    yield make
    for manager in opened:
        manager.__exit__(None, None, None)


def clip(brightness: list[float], **attributes: Any) -> FileDataset:
    """A clip whose frames are as bright as told, of maximum 1, and else alike but for the sliding tissue."""
    drawn = list(screens.draw_clip("curved", 3, len(brightness), **SIZE))
    frames = [(one.pixels * share).astype(np.uint8) for one, share in zip(drawn, brightness, strict=True)]
    said: dict[str, Any] = {"Modality": "US", "BodyPartExamined": "BREAST", "ViewPosition": None, "PatientAge": None}
    said |= {"NumberOfFrames": len(frames), "Rows": 300, "SOPClassUID": UltrasoundMultiFrameImageStorage}
    return films.film(np.concatenate(frames), **(said | attributes))


def read_clip(box: Rig, dataset: FileDataset) -> tuple[Reading, Path]:
    instance = box.admit(dataset)
    return box.read(instance), box.state.display / instance.reference


def test_a_clip_says_which_frames_were_read_and_where_the_finding_is_strongest(boxes: Any) -> None:
    box = boxes({"rule": "interval", "budget": 3, "aggregate": "mean_of_top", "top": 2})
    reading, shown = read_clip(box, clip([1.0] * 6))
    assert reading.status is ReadingStatus.READ
    assert reading.frames is not None
    assert (reading.frames.of, reading.frames.read) == (6, (1, 3, 5))
    assert reading.frames.strongest["bright"] in (1, 3, 5)
    assert [hint.code for hint in reading.quality.hints] == [BESIDE, "hint.frames_read"]
    assert reading.quality.hints[1].text("en") == "The image holds 6 frames; 3 of them were read: 2, 4, 6."
    assert (shown / "bright.png").exists()
    alone = []
    for frame in (1, 3, 5):
        only = clip([1.0] * 6)
        only.PixelData = only.PixelData[300 * 400 * frame : 300 * 400 * (frame + 1)]
        only.NumberOfFrames = 1
        alone.append(read_clip(box, only)[0].findings[0].probability)
    assert reading.findings[0].probability == pytest.approx(sum(sorted(alone)[1:]) / 2)
    assert reading.frames.strongest["bright"] == (1, 3, 5)[int(np.argmax(alone))]


def test_the_best_frames_are_read_and_an_empty_one_is_not(boxes: Any) -> None:
    reading, _ = read_clip(boxes({"rule": "score", "budget": 4}), clip([1, 0, 1, 0, 1, 1]))
    assert reading.status is ReadingStatus.READ
    assert reading.frames is not None
    assert not {1, 3} & set(reading.frames.read)


def test_the_line_of_a_clip_keeps_the_contracts_form_and_a_still_says_nothing_of_frames(boxes: Any) -> None:
    box = boxes({"rule": "score", "budget": 4})
    moving, still = box.admit(clip([1.0] * 6)), box.admit(clip([1.0], SOPClassUID=UltrasoundImageStorage))
    box.read(moving, still)
    for instance, has in ((moving, True), (still, False)):
        line = json.loads(json.dumps(case_json.case_to_json(box.case(instance), "en")))
        jsonschema.validate(line, SCHEMA)
        assert ("frames" in line["readings"][0]) == has
        assert line["files"][0]["status"] == "read"


@pytest.mark.parametrize(
    ("letters", "threshold", "said"),
    [(True, 0.5, True), (False, 0.5, False), (True, 0.95, False)],
    ids=["letters", "no letters", "a negative finding"],
)
def test_a_model_that_goes_by_letters_around_the_sector_is_told_of_in_the_line_of_the_case(
    boxes: Any, letters: bool, threshold: float, said: bool
) -> None:
    drawn = screens.draw_screen("curved", 3, **SIZE)
    pixels = drawn.pixels if letters else np.where(drawn.drawn, 0, drawn.pixels).astype(np.uint8)
    attributes: dict[str, Any] = {"SOPClassUID": UltrasoundImageStorage, "Modality": "US", "BodyPartExamined": "BREAST"}
    box = boxes(None, finding={"threshold": threshold})
    instance = box.admit(films.film(pixels, **attributes, ViewPosition=None, PatientAge=None))
    box.read(instance)
    line = json.loads(json.dumps(case_json.case_to_json(box.case(instance), "en")))
    jsonschema.validate(line, SCHEMA)
    assert line["readings"][0]["status"] == "read"  # it never costs the number
    assert line["readings"][0]["findings"][0]["positive"] is (threshold == 0.5)
    hints = line["readings"][0]["quality"]["hints"]
    assert [hint["code"] for hint in hints] == [BESIDE] * said
    assert all("per cent of what the machine went by is not the body" in hint["text"] for hint in hints)


def test_colour_doppler_is_said_where_a_grey_picture_is_asked_for(boxes: Any) -> None:
    grey = screens.draw_screen("linear", 5, **SIZE).pixels
    rgb = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    rgb[120:200, 160:240] = (220, 40, 20)
    attributes: dict[str, Any] = {"SOPClassUID": UltrasoundImageStorage, "Modality": "US", "BodyPartExamined": "BREAST"}
    reading, _ = read_clip(boxes(None), films.film(rgb, **attributes, ViewPosition=None, PatientAge=None))
    assert [hint.code for hint in reading.quality.hints] == [BESIDE, "hint.colour_doppler"]


def region(kind: int) -> Dataset:
    """A region of *kind* (PS3.3 C.8.5.5.1.2) over the whole of a screen."""
    made = Dataset()
    made.RegionSpatialFormat, made.RegionDataType, made.RegionFlags = 1, kind, 0
    made.RegionLocationMinX0, made.RegionLocationMinY0 = 0, 0
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = SIZE["columns"] - 1, SIZE["rows"] - 1
    return made


@pytest.mark.parametrize(("kinds", "said"), [((1,), []), ((1, 2), ["hint.colour_flow"])], ids=["tissue", "flow"])
def test_colour_flow_that_the_header_tells_of_is_said_where_no_flow_is_drawn(
    boxes: Any, kinds: tuple[int, ...], said: list[str]
) -> None:
    rgb = np.repeat(screens.draw_screen("linear", 5, **SIZE).pixels[:, :, np.newaxis], 3, axis=2)
    attributes: dict[str, Any] = {"SOPClassUID": UltrasoundImageStorage, "Modality": "US", "BodyPartExamined": "BREAST"}
    attributes |= {"SequenceOfUltrasoundRegions": [region(kind) for kind in kinds]}
    reading, _ = read_clip(boxes(None), films.film(rgb, **attributes, ViewPosition=None, PatientAge=None))
    assert [hint.code for hint in reading.quality.hints] == said
