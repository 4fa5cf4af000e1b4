"""A film of which the model is not sure gets a reason and no number, through the reader itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from firmware_app.core.records import Priority, ReadingStatus
from firmware_app.packs.manifest import MANIFEST_FILE
from firmware_app.results import case_json
from tests import films, reading_rig, toy_pack

ABSTAIN = {"error": 0.1, "films": 100, "given": 0.7, "given_ci": [0.6, 0.8], "wrong": 0.1, "wrong_ci": [0.05, 0.2]}


def abstains(pack: Path, **entry: float) -> Mapping[str, Any]:
    manifest = json.loads((pack / MANIFEST_FILE).read_text())
    manifest["abstain"] = {**ABSTAIN, **entry}
    (pack / MANIFEST_FILE).write_text(json.dumps(manifest))
    return dict(manifest)


def test_a_film_between_the_limits_gets_a_reason_and_no_number_and_one_beyond_them_is_read(tmp_path: Path) -> None:
    packs = toy_pack.write_both(tmp_path / "packs")
    grey = films.shapes(100, 96, 80)
    inverted = np.asarray(grey.max() - grey, np.uint16)
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as box:
        first, second = box.admit(films.film(grey)), box.admit(films.film(inverted))
        box.read(first, second)
        ordered = sorted((box.reading(one).findings[0].probability, place) for place, one in enumerate((first, second)))
    low, high = ordered[0][0], ordered[1][0]
    assert low < high  # and without the entry both have a number
    abstains(packs / "toy-adult", low=(low + high) / 2.0, high=1.0)
    other = tmp_path / "other"
    other.mkdir()
    with reading_rig.rig(reading_rig.config(other, packs)) as box:
        both = box.admit(films.film(grey)), box.admit(films.film(inverted))
        box.read(*both)
        sure, unsure = box.reading(both[ordered[0][1]]), box.reading(both[ordered[1][1]])
        case = box.case(both[ordered[1][1]])
        line = case_json.case_to_json(case, "zh_CN")
        heat_map = box.state.display / both[ordered[1][1]].reference / "bright.png"
        assert not heat_map.exists()
    assert (sure.status, sure.findings[0].probability) == (ReadingStatus.READ, low)
    assert unsure.reason is not None
    assert (unsure.status, unsure.reason.code, unsure.findings) == (ReadingStatus.CANNOT_JUDGE, "pack.unsure", ())
    assert (case.findings, case.priority) == ((), Priority.CANNOT_JUDGE)
    assert "toy-adult" in unsure.reason.text("en")
    assert "把握不足" in line["readings"][0]["reason"]["text"]
