"""A clip is read in the frames that its pack asks for, and the reading says which they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import UltrasoundMultiFrameImageStorage

from firmware_app.core.records import Reading, ReadingStatus
from tests import films, reading_rig, screens, toy_pack
from tests.reading_rig import Rig

SIZE = {"rows": 300, "columns": 400}
BESIDE = "hint.beside"  # the toy pack goes by brightness, and letters are the brightest that is on a screen


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
