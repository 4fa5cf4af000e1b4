"""From a map to a finding and to a heat map: arithmetic a person can check."""

import math

import numpy as np
import pytest

from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.tasks import activation_map, classify
from firmware_app.packs.tasks.classify import Calibration, FindingSpec

PLATT = Calibration(kind="platt", slope=2.0, intercept=-1.0)


def spec(channel: int = 0, threshold: float = 0.5) -> FindingSpec:
    return FindingSpec(
        code="opacity",
        label=LocalisedText(en="Opacity", zh="阴影"),
        channel=channel,
        bias=0.25,
        calibration=PLATT,
        threshold=threshold,
        threshold_rule="none",
        priority="soon",
    )


def test_the_probability_is_the_calibrated_mean_of_the_map() -> None:
    activation = np.stack([np.zeros((2, 2)), np.array([[1.0, 2.0], [3.0, 0.0]])]).astype(np.float32)
    (finding,) = classify.make_findings(activation, [spec(channel=1)])
    assert finding.probability == pytest.approx(1.0 / (1.0 + math.exp(-(2.0 * (1.5 + 0.25) - 1.0))))
    assert finding.code == "opacity"
    assert finding.label == {"en": "Opacity", "zh_CN": "阴影"}


def test_a_finding_is_positive_from_its_threshold_on() -> None:
    activation = np.full((1, 3, 3), 0.25, np.float32)
    assert classify.make_findings(activation, [spec(threshold=0.5)])[0].positive
    assert not classify.make_findings(activation, [spec(threshold=0.51)])[0].positive


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_never_becomes_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="no probability"):
        classify.calibrate(value, PLATT)


def test_a_channel_the_map_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="channel 1"):
        classify.make_findings(np.zeros((1, 2, 2), np.float32), [spec(channel=1)])
    with pytest.raises(ValueError, match="channel 1"):
        activation_map.draw_activation_map(np.zeros((1, 2, 2), np.float32), 1, 4.0)


def test_a_weak_map_looks_weak_and_evidence_against_is_not_drawn() -> None:
    strong = np.array([[[8.0, 2.0], [-5.0, 0.0]]], np.float32)
    assert activation_map.draw_activation_map(strong, 0, 4.0).tolist() == [[1.0, 0.5], [0.0, 0.0]]
    assert activation_map.draw_activation_map(strong / np.float32(100.0), 0, 4.0).max() == pytest.approx(0.02)
    with pytest.raises(ValueError, match="not positive"):
        activation_map.draw_activation_map(strong, 0, 0.0)
