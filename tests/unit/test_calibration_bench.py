"""A small run of the simulation behind local calibration: its intervals hold the truth, unfit packs are suspended."""

from __future__ import annotations

from bench import calibration
from bench.calibration import FIT, UNFIT
from firmware_app.cases.model_scores import SamplingShares

SHARES = SamplingShares(0.1, 0.1)


def test_the_intervals_of_small_clinics_hold_the_truth() -> None:
    for wrong, laboratory, allowed in ((0.0, 1.0, 0.0), (0.15, None, 0.15)):
        rows = calibration.coverage(30, 100, wrong, laboratory, allowed, SHARES, 1)
        assert sum(row.held for row in rows) / sum(row.clinics for row in rows) >= 0.93


def test_most_unfit_packs_are_suspended_within_100_films_and_few_fit_ones() -> None:
    assert calibration.suspended(20, UNFIT, 100, SHARES, 1) >= 16
    assert calibration.suspended(20, FIT[2], 100, SHARES, 1) <= 2
