"""Candidate boxes from image labels: arithmetic by hand, and a cut that is chosen without any outline."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from converters.failures import GateFailed
from converters.tasks import classify as maker
from converters.tasks import weak_labels
from firmware_app.core.records import FINDING_TAG
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.interface import Frame, FramePolicy, Section
from firmware_app.results import case_text

PLAIN = {"kind": "platt", "slope": 1.0, "intercept": -2.0}
MARKS = {"calibration": PLAIN, "threshold": 0.6, "threshold_rule": "none", "reach": 0.5}
FRAME = Frame(rows=80, columns=160, number=3, instance="i-1")


def section(marks: dict[str, Any] | None = MARKS) -> Section:
    spec = classify.Finding.model_validate(
        {
            "code": "disc",
            "label": {"en": "Disc", "zh": "圆盘"},
            "channel": 1,
            "bias": 1.0,
            "calibration": PLAIN,
            "threshold": 0.15,
            "threshold_rule": "none",
            "priority": "soon",
            "marks": marks,
        }
    )
    return Section(classify.Output(map="map", full_scale=4.0), (spec,), FramePolicy())


def outputs(*places: tuple[slice, slice, float], elsewhere: float = -0.8) -> dict[str, Any]:
    cells = np.full((1, 2, 8, 8), elsewhere, np.float32)
    for rows, columns, value in places:
        cells[0, 1, rows, columns] = value
    return {"map": cells}


STRONG, SECOND, WEAK = (slice(1, 3), slice(2, 5), 6.0), (slice(6, 8), slice(0, 1), 3.0), (slice(6, 7), slice(6, 7), 2.0)


def test_connected_cells_of_half_the_strongest_are_a_candidate_with_the_score_of_its_own_peak() -> None:
    said = classify.answer(section(), outputs(STRONG, SECOND, WEAK), FRAME)
    assert said.findings[0].positive
    first, second = said.lesions  # with the bias 7, 4 and 3: half of 7 is 3.5
    assert first.box == (40.0, 10.0, 100.0, 30.0)
    assert second.box == (0.0, 60.0, 20.0, 80.0)
    assert [first.score, second.score] == pytest.approx([1 / (1 + math.exp(-5.0)), 1 / (1 + math.exp(-2.0))])
    assert (first.instance, first.frame) == ("i-1", 3)
    assert first.tags == {FINDING_TAG: "disc", "source": "activation map"}
    assert first.outline == ()
    assert "heat map" in case_text.describe_lesion(first, 1, said.findings, "en")


def test_a_place_that_is_lost_is_far_from_the_golden_case_and_a_pack_without_marks_knows_findings_alone() -> None:
    right, wrong = (classify.answer(section(), one, FRAME) for one in (outputs(STRONG), outputs(SECOND)))
    recorded = classify.golden(right)
    assert maker.Classify().golden_probability(recorded, "disc") == recorded["findings"]["disc"]
    assert classify.difference(classify.expectation(section(), recorded), right).apart < 1e-4
    assert classify.difference(classify.expectation(section(), recorded), wrong).what == "box"
    bare = classify.answer(section(), outputs(elsewhere=-9.0), FRAME)
    expected = classify.expectation(section(), classify.golden(bare))
    assert classify.difference(expected, bare).apart < 1e-4
    assert classify.difference(expected, right).apart > 0.3
    plain = section(None)
    assert classify.golden(classify.answer(plain, outputs(STRONG), FRAME)) == recorded["findings"]
    with pytest.raises(ValueError, match="something else"):
        classify.expectation(plain, recorded)


def held_back(rng: np.random.Generator, count: int = 200) -> tuple[Any, Any, Any]:
    """Maps of a network that is often wrong: labels, cells and logits; a film with the finding has a strong cell."""
    labels = np.arange(count) % 2
    cells = rng.normal(-1.0, 1.0, (count, 8, 8)).astype(np.float32)
    cells[np.arange(count), rng.integers(0, 8, count), rng.integers(0, 8, count)] += 2.0 + 3.0 * labels
    return labels, cells, cells.mean(axis=(1, 2), dtype=np.float64) + 0.25


def test_the_cut_leaves_as_many_marks_without_the_finding_as_were_asked_for() -> None:
    labels, cells, logits = held_back(np.random.default_rng(5))
    shown = np.ones(len(labels), dtype=np.bool_)
    for allowed in (0.05, 0.2):
        marks = classify.MarksSpec.model_validate(weak_labels.choose(cells, logits, labels, shown, allowed))
        found = [len(classify.find_candidate_boxes(cell.astype(np.float64) + 0.25, marks)) for cell in cells]
        stray = sum(np.array(found)[labels == 0]) / 100
        assert allowed - 0.03 <= stray <= allowed
        assert sum(np.array(found)[labels == 1]) > 4 * sum(np.array(found)[labels == 0])
    with pytest.raises(GateFailed, match="stronger place"):
        weak_labels.choose(cells, logits, 1 - labels, shown, 0.2)
