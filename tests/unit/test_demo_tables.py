"""What the demo says of the real chest film of an adult."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset

from firmware_app.demo import tables
from firmware_app.demo.samples import ADULT_CHEST, DemoImage

SAMPLES = [DemoImage("CT slice 693", "real", Dataset()), DemoImage(ADULT_CHEST, "real", Dataset())]


def cases(code: str | None) -> list[dict[str, Any]]:
    refused = {"readings": [{"reason": {"code": "reading.no_pack", "text": "…"}}]}
    return [refused, {"readings": [{"reason": {"code": code, "text": "…"} if code else None}]}]


@pytest.mark.parametrize(("language", "word"), [("en", "looks unlike the films"), ("zh_CN", "差异过大")])
def test_an_adult_film_without_a_number_says_in_one_sentence_why(language: str, word: str) -> None:
    assert word in tables.why_no_number(SAMPLES, cases("reading.unfamiliar"), language)


def test_an_adult_film_with_a_number_needs_no_sentence() -> None:
    assert tables.why_no_number(SAMPLES, cases(None), "en") == ""
