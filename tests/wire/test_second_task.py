"""A task of another package: one module and its entry point, and its lesions stand in the case's JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from firmware_app.packs.manifest import Manifest
from firmware_app.records import ReadingStatus
from firmware_app.reports import case_line
from firmware_app.tasks import register
from tests import films, reading_rig, toy_pack, toy_task
from tests.peers import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs" / "case.schema.json").read_text("utf-8"))
ROWS, COLUMNS = 96, 192
BRIGHT = (48, 12, 72, 24)
"""x0, y0, x1, y1 of what the network finds: one cell of its 8 × 8."""
EXPECTED = {"findings": {"spot": 1.0}, "lesions": [[*map(float, BRIGHT), 1.0]]}


def picture() -> np.ndarray[Any, Any]:
    x0, y0, x1, y1 = BRIGHT
    grey = np.random.default_rng(5).integers(0, 80, (ROWS, COLUMNS), np.uint8)
    grey[y0 - 3 : y1 + 3, x0 - 3 : x1 + 3] = 255  # so much larger that no grey of the cell is mixed with the dark
    return grey


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a distribution that brings the toy task on everybody's path."""
    about = folder / "toy_task-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-task\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{register.GROUP}]\n{toy_task.key} = {toy_task.__name__}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
    register.modules.cache_clear()
    Manifest.of_task.cache_clear()


def write(folder: Path, expected: object = EXPECTED) -> Path:
    """A pack for the toy task, with one golden image that is *expected* to be answered so."""
    pack, data = toy_pack.write(folder, "toy-adult", "adult", 18, None), toy_pack.boxes_onnx()
    (pack / "fp32.onnx").write_bytes(data)
    Image.fromarray(picture()).save(pack / "golden.png")
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["task"], words = toy_task.key, {"en": "Spot", "zh": "斑点"}
    manifest["output"] = {"boxes": "boxes", "scores": "scores", "mask": "mask"}
    manifest["findings"] = [
        {"code": "spot", "label": words, "threshold": 0.9, "threshold_rule": "none", "priority": "urgent"}
    ]
    manifest["artefacts"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["golden"] = [{
        "kind": "phantom", "path": "golden.png", "tolerance": {"fp32": 0.01}, "expected": {"fp32": expected},
        "sha256": hashlib.sha256((pack / "golden.png").read_bytes()).hexdigest(),
    }]  # fmt: skip
    (pack / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(tmp_path / "site", monkeypatch)
    yield
    register.modules.cache_clear()
    Manifest.of_task.cache_clear()


@pytest.mark.usefixtures("installed")
def test_a_second_tasks_boxes_and_mask_stand_in_the_case(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path / "box", write(tmp_path / "packs"))) as box:
        instance = box.admit(films.film(picture()))
        with reading_rig.reader(box) as reader:
            assert reading_rig.read_all(reader) == 1
        case = case_line.case_object(box.case(instance), "en")
        mask = np.asarray(Image.open(box.state.display / instance.reference / "spot.png"))
    jsonschema.validate(case, SCHEMA)
    (lesion,) = case["lesions"]
    assert lesion == {
        "instance": instance.reference, "frame": 0, "box": list(BRIGHT), "score": pytest.approx(1.0, abs=1e-3),
        "area_px": 24 * 12, "long_axis_mm": None, "short_axis_mm": None, "volume_mm3": None,
        "tags": {"finding": "spot"},
    }  # fmt: skip
    assert case["readings"][0]["lesions"] == [lesion]
    assert (case["priority"], case["findings"][0]["positive"]) == ("urgent", True)
    assert (mask / 255).mean() == pytest.approx(1 / 64, rel=0.05), "the mask covers one cell of 64"
    down, across = (np.average(axis, weights=mask) for axis in np.indices(mask.shape))
    assert across / mask.shape[1] == pytest.approx(60 / COLUMNS, abs=0.02)
    assert down / mask.shape[0] == pytest.approx(18 / ROWS, abs=0.02)


@pytest.mark.usefixtures("installed")
def test_a_model_that_marks_another_place_than_its_golden_case_gives_no_number(tmp_path: Path) -> None:
    moved = {**EXPECTED, "lesions": [[60.0, 12.0, 84.0, 24.0, 1.0]]}
    with reading_rig.rig(reading_rig.config(tmp_path / "box", write(tmp_path / "packs", moved))) as box:
        instance = box.admit(films.film(picture()))
        with reading_rig.reader(box) as reader:
            reading_rig.read_all(reader)
        reading = box.reading(instance)
    assert reading is not None
    assert (reading.status, reading.lesions) == (ReadingStatus.CANNOT_JUDGE, ())
