"""A film below the least size of its pack gets a sentence with both sizes and no number, and the model is not asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmware_app.core.records import Priority, Reading, ReadingStatus
from firmware_app.reading.inference import Inference, InferenceResult
from firmware_app.results import case_json
from tests import films, reading_rig, toy_pack

LEAST = 120
SMALL, LARGE = films.shapes(1, 160, LEAST - 1), films.shapes(2, 160, LEAST)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A pack with an input of 64 pixels that asks for `LEAST`."""
    pack = toy_pack.write(tmp_path / "packs", "toy-adult", "adult", 18, None)
    toy_pack.set_least_size(pack, LEAST)
    return tmp_path / "packs"


def test_a_film_below_the_packs_least_size_is_refused_before_the_model_is_asked(
    tmp_path: Path, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, infer = [], Inference.infer

    def noted(self: Inference, pack: str, instance: str, *more: Any) -> InferenceResult:
        asked.append(instance)
        return infer(self, pack, instance, *more)

    monkeypatch.setattr(Inference, "infer", noted)
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as box:
        small, large = box.admit(films.film(SMALL)), box.admit(films.film(LARGE))
        box.read(small, large)
        refused, read, case = box.reading(small), box.reading(large), box.case(small)
        assert (box.state.display / small.reference / "frame-000.png").exists(), "a person must see the film"
        line = case_json.case_to_json(case, "zh_CN")
    assert asked == [large.reference]
    assert read.status is ReadingStatus.READ
    assert (refused.status, reading_rig.read_reason_code(refused)) == (ReadingStatus.CANNOT_JUDGE, "reading.too_small")
    assert (refused.findings, case.priority, refused.quality.acceptable) == ((), Priority.CANNOT_JUDGE, False)
    assert _sizes(refused) == {"columns": LEAST - 1, "rows": 160, "least": LEAST, "pack": "toy-adult"}
    (said,) = line["readings"]
    for part in (f"{LEAST - 1} × 160", f"{LEAST} 像素", "请从检查设备发送原图"):
        assert part in said["reason"]["text"]


def _sizes(reading: Reading) -> dict[str, object]:
    assert reading.reason is not None
    return dict(reading.reason.details)
