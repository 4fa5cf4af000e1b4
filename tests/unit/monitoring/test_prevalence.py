"""What a probability and a mark are worth at the clinic's prevalence, against counting made-up films one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_app.core.records import Finding, PackIdentity
from firmware_app.core.settings import Config
from firmware_app.packs import prevalence_adjustment
from firmware_app.packs.evidence import Measurement
from firmware_app.packs.manifest import Manifest
from tests import toy_pack
from web import pack_texts

SHARES = st.floats(0.0005, 0.9995)


def logit(share: float) -> float:
    return math.log(share / (1.0 - share))


@given(st.floats(0.0001, 0.9999), SHARES, SHARES)
def test_the_shift_adds_the_difference_of_the_logits(probability: float, given_: float, wanted: float) -> None:
    moved = prevalence_adjustment.shift_probability(probability, given_, wanted)
    assert logit(moved) == pytest.approx(logit(probability) + logit(wanted) - logit(given_), abs=1e-6)


def test_the_shift_is_what_counting_films_of_the_rarer_population_gives() -> None:
    """A score with ten values: counts of films with and without the finding, and the same films in other numbers."""
    with_it, without = [1, 2, 3, 5, 8, 13, 20, 30, 45, 60], [90, 70, 50, 40, 30, 20, 12, 6, 3, 1]
    sick, well = sum(with_it), sum(without)
    for wanted in (0.01, 0.2, 0.5, 0.9):
        more_well = sick / wanted * (1 - wanted) / well  # each healthy film stands for so many
        for ill, healthy in zip(with_it, without, strict=True):
            counted = ill / (ill + healthy * more_well)
            moved = prevalence_adjustment.shift_probability(ill / (ill + healthy), sick / (sick + well), wanted)
            assert moved == pytest.approx(counted, rel=1e-9)


@given(st.floats(0, 1), st.floats(0, 1), SHARES, SHARES)
def test_no_decision_changes_with_the_prevalence(
    probability: float, threshold: float, given_: float, wanted: float
) -> None:
    finding = Finding("bright", {"en": "Bright"}, probability, threshold)
    manifest = _manifest(calibration_prevalence=given_)
    (moved,) = prevalence_adjustment.adjust_to_clinic([finding], manifest, {"bright": wanted})
    assert moved.positive is finding.positive


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_certainty_stays_certain(share: float) -> None:
    assert prevalence_adjustment.shift_probability(share, 0.7, 0.01) == share


@pytest.mark.parametrize(("given_", "wanted"), [(0.0, 0.5), (0.5, 1.0)])
def test_a_prevalence_of_none_or_all_is_refused(given_: float, wanted: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        prevalence_adjustment.shift_probability(0.5, given_, wanted)


def test_without_a_clinics_number_nothing_is_shifted() -> None:
    finding = Finding("bright", {"en": "Bright"}, 0.8, 0.6)
    assert prevalence_adjustment.adjust_to_clinic([finding], _manifest(), {"other": 0.1}) == (finding,)


def test_the_calibrations_prevalence_goes_before_the_trainings() -> None:
    assert prevalence_adjustment.pack_prevalence(_manifest()) == 0.5
    assert prevalence_adjustment.pack_prevalence(_manifest(calibration_prevalence=0.3)) == 0.3


def test_predictive_values_are_what_counting_ten_thousand_films_gives() -> None:
    films, sensitivity, specificity, share = 10_000, 0.96, 0.97, 0.02
    sick = films * share
    hits, false_alarms = sensitivity * sick, (1 - specificity) * (films - sick)
    clear, missed = specificity * (films - sick), (1 - sensitivity) * sick
    ppv, npv = prevalence_adjustment.compute_predictive_values(sensitivity, specificity, share)
    assert ppv == pytest.approx(hits / (hits + false_alarms))
    assert npv == pytest.approx(clear / (clear + missed))


def test_a_test_that_marks_nothing_or_everything_says_no_more_than_the_prevalence() -> None:
    for sensitivity, specificity in ((0.0, 1.0), (1.0, 0.0)):
        assert list(prevalence_adjustment.compute_predictive_values(sensitivity, specificity, 0.1)) == pytest.approx(
            [0.1, 0.9]
        )


@pytest.mark.parametrize(
    ("share", "counted"),
    [
        (0.5, (5, 10)),
        (0.84, (8, 10)),
        (0.12, (12, 100)),
        (0.97, (97, 100)),
        (0.004, (4, 1000)),
        (0.0, (1, 1000)),
        (1.0, (999, 1000)),
    ],
)
def test_a_share_is_told_in_films_and_never_as_none_or_all(share: float, counted: tuple[int, int]) -> None:
    assert prevalence_adjustment.as_counts(share) == counted


def test_a_pack_that_does_not_say_enough_gets_no_predictive_value() -> None:
    row = _measured()
    rare = {"bright": 0.02, "dark": 0.02}
    assert prevalence_adjustment.find_predictive_values(_manifest(), row, "bright", rare) is not None
    assert prevalence_adjustment.find_predictive_values(_manifest(), None, "bright", rare) is None
    assert (
        prevalence_adjustment.find_predictive_values(
            _manifest(), row.model_copy(update={"specificity": None}), "bright", rare
        )
        is None
    )
    assert prevalence_adjustment.find_predictive_values(_manifest(), row, "dark", rare) is None


def test_the_packs_own_prevalence_promises_no_clinic_anything() -> None:
    assert (
        prevalence_adjustment.find_predictive_values(
            _manifest(calibration_prevalence=0.3), _measured(), "bright", {"dark": 0.02}
        )
        is None
    )


def test_the_viewer_is_told_of_the_very_form_that_read_the_film(tmp_path: Path) -> None:
    folder = toy_pack.write(tmp_path / "packs", "toy", "adult", 18, None)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["measured"] = [_measured().model_dump(mode="json")]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    config = Config.model_validate(
        {
            "state": {"dir": tmp_path / "state"},
            "packs": {"dir": tmp_path / "packs"},
            "reader": {"prevalence": {"bright": 0.02}},
        }
    )
    texts = pack_texts.texts(config, PackIdentity("toy", "0.0.1", "onnxruntime", "fp32"), "en")
    assert texts is not None
    assert texts.worth is not None
    assert texts.worth.prevalence == 0.02
    assert texts.worth.ppv == pytest.approx(0.96 * 0.02 / (0.96 * 0.02 + 0.03 * 0.98))
    assert texts.worth.ppv_range is not None
    assert texts.worth.ppv_range[0] < texts.worth.ppv < texts.worth.ppv_range[1]
    other = pack_texts.texts(config, PackIdentity("toy", "0.0.1", "openvino", "int8"), "en")
    assert other is not None
    assert other.worth is None


def _manifest(**changes: object) -> Manifest:
    manifest = toy_pack._manifest("toy", "adult", 18, None, 0.5, {"fp32": b"x"})
    return Manifest.for_task("classify").model_validate({**manifest, **changes})


def _measured() -> Measurement:
    return Measurement(
        runtime="onnxruntime",
        precision="fp32",
        split="test",
        n=700,
        positives=500,
        auc=0.99,
        auc_ci=None,
        threshold=0.5,
        sensitivity=0.96,
        sensitivity_ci=(0.94, 0.98),
        specificity=0.97,
        specificity_ci=(0.95, 0.99),
        command="lantern-convert evaluate",
    )
