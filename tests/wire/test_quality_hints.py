"""What is wrong with how an image was taken reaches the doctor as a sentence: in the case's line and on its page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydicom.dataset import FileDataset

from converters.synthetic_images.phantom import chest
from firmware_app.core.records import Reading, ReadingStatus
from firmware_app.packs.manifest import MANIFEST_FILE
from firmware_app.results import case_json, case_text
from tests import films, reading_rig, toy_pack
from tests.reading_rig import Rig

Pixels = np.ndarray[Any, Any]


def phantom(sigma: float = 0.0) -> Pixels:
    drawn = chest("adult", 0, seed=20261121).astype(np.float32)
    levels = Image.fromarray((255 * (drawn - drawn.min()) / np.ptp(drawn)).astype(np.uint8))
    return np.asarray(levels.filter(ImageFilter.GaussianBlur(sigma)), np.uint16) * 16


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Rig]:
    """An adult pack that asks for chest films as they should be, and that the AP view moves."""
    packs = toy_pack.write_both(tmp_path / "packs")
    path = packs / "toy-adult" / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["quality"] = {"kind": "chest_film", "confounders": [{"sign": "view_ap", "why": "made up for this test"}]}
    path.write_text(json.dumps(manifest))
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as made:
        yield made


def read_film(box: Rig, dataset: FileDataset) -> tuple[Reading, dict[str, Any], str]:
    """The reading of a film, its case as JSON, and the case's page in text."""
    instance = box.admit(dataset)
    reading, case = box.read(instance), box.case(instance)
    return reading, case_json.case_to_json(case, "en")["readings"][0], case_text.format_page(case, "en")


def test_a_blurred_film_is_read_and_its_doctor_told(box: Rig) -> None:
    reading, line, text = read_film(box, films.film(phantom(12)))
    assert reading.status is ReadingStatus.READ
    assert line["quality"]["acceptable"] is True
    assert {
        "code": "hint.blur",
        "text": "The image is blurred: small shadows cannot be seen. Please repeat it.",
    } in line["quality"]["hints"]
    assert "Please repeat it." in text
    blur = next(hint for hint in reading.quality.hints if hint.code == "hint.blur")
    assert isinstance(blur.details["number"], float)
