"""An image unlike those that a pack learnt from gets a reason and no number, whatever its header says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import UltrasoundMultiFrameImageStorage

from firmware_app.core.errors import RuntimeFault
from firmware_app.core.records import Priority, Reading, ReadingStatus
from firmware_app.packs.errors import PackManifestInvalid
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.manifest import MANIFEST_FILE, Manifest
from firmware_app.packs.pack_folder import Pack
from firmware_app.reading.children import golden_cases
from firmware_app.results import case_json
from tests import films, reading_rig, toy_pack
from tests.reading_rig import Rig

Pixels = np.ndarray[Any, Any]
LIMIT = 4.0


def draw_known(number: int) -> Pixels:
    """Two dark fields in a bright one: what the pack learns from, and more of the kind."""
    return films.shapes(number, 96, 80)


def draw_foreign(number: int) -> Pixels:
    """Two bright fields in a dark one: connected shapes in every grey, as fit to be a film as the others."""
    return np.asarray(4095 - draw_known(number), np.uint16)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Rig]:
    """An adult pack that knows its films, a child pack that has said nothing of its own, a pack for clips."""
    packs = toy_pack.write_both(tmp_path / "packs")
    clips = toy_pack.write(packs, "toy-clips", "any", None, None)
    manifest = json.loads((clips / MANIFEST_FILE).read_text())
    manifest["route"] |= {"modalities": ["US"], "body_parts": ["BREAST"], "views": []}
    manifest["frames"] = {"rule": "interval", "budget": 4}
    (clips / MANIFEST_FILE).write_text(json.dumps(manifest))
    for pack in (packs / "toy-adult", clips):
        toy_pack.add_typicality(pack, [draw_known(number) for number in range(40)], LIMIT)
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as made:
        yield made


def read(box: Rig, *datasets: FileDataset) -> list[Reading]:
    """The reading of each, by one reader."""
    instances = [box.admit(dataset) for dataset in datasets]
    box.read(*instances)
    return [box.reading(instance) for instance in instances]


def clip(*frames: Pixels) -> FileDataset:
    said: dict[str, Any] = {"Modality": "US", "BodyPartExamined": "BREAST", "ViewPosition": None, "PatientAge": None}
    said |= {"NumberOfFrames": len(frames), "Rows": 96, "SOPClassUID": UltrasoundMultiFrameImageStorage}
    return films.film(np.concatenate(frames), **said)


def test_an_image_like_those_learnt_from_is_read_and_so_is_any_by_a_pack_that_has_not_said_what_they_were(
    box: Rig,
) -> None:
    like, of_a_child = read(box, films.film(draw_known(100)), films.film(draw_foreign(100), PatientAge="003Y"))
    assert (like.status, like.reason) == (ReadingStatus.READ, None)
    assert 0.0 < like.findings[0].probability < 1.0
    assert of_a_child.status is ReadingStatus.READ
    assert of_a_child.pack is not None
    assert of_a_child.pack.name == "toy-child"


def test_an_image_unlike_them_gets_a_reason_a_sentence_and_no_number(box: Rig) -> None:
    strange = box.admit(films.film(draw_foreign(100)))
    reading, case = box.read(strange), box.case(strange)
    assert reading.reason is not None
    assert (reading.status, reading.reason.code) == (ReadingStatus.CANNOT_JUDGE, "reading.unfamiliar")
    assert (reading.findings, case.findings, case.priority) == ((), (), Priority.CANNOT_JUDGE)
    assert "unlike those that the model “toy-adult” learnt from" in reading.reason.text("en")
    assert float(reading.reason.details["distance"]) > float(reading.reason.details["limit"]) == LIMIT
    shown = box.state.display / strange.reference
    assert (shown / "frame-000.png").exists()  # a doctor sees it all the same
    assert not (shown / "bright.png").exists()
    line = case_json.case_to_json(case, "en")
    assert line["readings"][0]["reason"]["code"] == "reading.unfamiliar"


def test_a_strange_frame_of_a_clip_does_not_count_and_a_clip_of_strange_frames_gets_no_number(box: Rig) -> None:
    mixed, strange, *alone = read(
        box,
        clip(draw_known(100), draw_known(101), draw_foreign(102), draw_known(103)),
        clip(draw_foreign(100), draw_known(101), draw_foreign(102), draw_foreign(103)),
        *(clip(draw_known(number)) for number in (100, 101, 103)),
    )
    assert mixed.status is ReadingStatus.READ
    assert mixed.frames is not None
    assert mixed.frames.read == (0, 1, 3)
    assert mixed.frames.strongest["bright"] in (0, 1, 3)
    assert [hint.text("en") for hint in mixed.quality.hints] == [
        "The image holds 4 frames; 4 of them were read: 1, 2, 3, 4.",
        "Frames that look unlike what the model learnt from were not counted: 3.",
    ]
    probabilities = sorted(one.findings[0].probability for one in alone)
    assert mixed.findings[0].probability == pytest.approx(sum(probabilities[1:]) / 2)
    assert strange.reason is not None
    assert (strange.reason.code, strange.findings, strange.frames) == ("reading.unfamiliar", (), None)


def test_a_model_that_gives_no_features_is_the_runtimes_fault_and_not_the_images(tmp_path: Path) -> None:
    folder = toy_pack.write(tmp_path, "toy-adult", "adult", 18, None)
    toy_pack.add_typicality(folder, [draw_known(number) for number in range(3)], LIMIT)
    (folder / "fp32.onnx").write_bytes(toy_pack.onnx())
    with pytest.raises(RuntimeFault, match="no feature vector"):
        golden_cases.run_variant(Pack.load(folder), ExecutionVariant("onnxruntime", "fp32"), {"threads": 1})


def test_a_manifest_that_judges_features_names_the_output_that_gives_them(tmp_path: Path) -> None:
    folder = toy_pack.write(tmp_path, "toy-adult", "adult", 18, None)
    toy_pack.add_typicality(folder, [draw_known(number) for number in range(3)], LIMIT)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    del manifest["output"]["features"]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(PackManifestInvalid, match="feature vector"):
        Manifest.load(folder)
