"""A task of another package: one module and its entry point, and its lesions stand in the case's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from firmware_app.packs.manifest import Manifest
from firmware_app.packs.tasks import registry
from firmware_app.results import case_json, case_text, key_images
from tests import films, made_task, reading_rig
from tests.made_task import BRIGHT, COLUMNS, ROWS, picture
from tests.peers import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs" / "case.schema.json").read_text("utf-8"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made_task.install(tmp_path / "site", monkeypatch)
    yield
    registry.list_task_modules.cache_clear()
    Manifest.for_task.cache_clear()


@pytest.mark.usefixtures("installed")
def test_a_second_tasks_boxes_and_mask_stand_in_the_case(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path / "box", made_task.write(tmp_path / "packs"))) as box:
        instance = box.admit(films.film(picture()))
        box.read(instance)
        whole = box.case(instance)
        case, page = case_json.case_to_json(whole, "en"), case_text.format_page(whole, "zh_CN")
        drawn = key_images.load_marked_frame(box.state.display / instance.reference, 0, whole.lesions)
        mask = np.asarray(Image.open(box.state.display / instance.reference / "spot.png"))
    jsonschema.validate(case, SCHEMA)
    (lesion,) = case["lesions"]
    assert lesion == {
        "instance": instance.reference,
        "frame": 0,
        "box": list(BRIGHT),
        "score": pytest.approx(1.0, abs=1e-3),
        "area_px": 24 * 12,
        "long_axis_mm": None,
        "short_axis_mm": None,
        "volume_mm3": None,
        "tags": {"finding": "spot"},
    }
    assert case["readings"][0]["lesions"] == [lesion]
    assert "第 1 帧，x 48 至 72，y 12 至 24：评分 1.00" in page
    assert drawn[12, 60].tolist() == drawn[18, 48].tolist() == [255, 216, 77]
    assert (case["priority"], case["findings"][0]["positive"]) == ("urgent", True)
    assert (mask / 255).mean() == pytest.approx(1 / 64, rel=0.05), "the mask covers one cell of 64"
    down, across = (np.average(axis, weights=mask) for axis in np.indices(mask.shape))
    assert across / mask.shape[1] == pytest.approx(60 / COLUMNS, abs=0.02)
    assert down / mask.shape[0] == pytest.approx(18 / ROWS, abs=0.02)
