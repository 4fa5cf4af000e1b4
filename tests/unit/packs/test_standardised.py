"""The operating point on a new machine: as many spreads from the mean of its scores as at home, within bounds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from converters.evaluation import threshold
from firmware_app.core.operating_point import COUNTS, MOST_MOVED, LogOdds, standardise_limit, usable_count
from firmware_app.packs.manifest import Manifest
from tests import toy_pack

HOME = LogOdds(-0.5, 1.2)


def test_a_limit_follows_the_mean_and_the_spread_of_the_machine() -> None:
    assert standardise_limit(-0.27, HOME, LogOdds(0.1, 1.2)) == pytest.approx(0.33)
    assert standardise_limit(0.7, HOME, LogOdds(-0.5, 0.9)) == pytest.approx(0.4)


def test_shifted_films_are_called_as_the_same_films_at_home() -> None:
    rng = random.Random(1)
    films = [rng.gauss(-0.5, 1.2) for _ in range(200)]
    there = [0.6 + 0.8 * film for film in films]
    home, here = (LogOdds.from_probabilities([1 / (1 + np.exp(-odd)) for odd in odds]) for odds in (films, there))
    limit = standardise_limit(0.2, home, here)
    assert [one >= limit for one in there] == [film >= 0.2 for film in films]


@pytest.mark.parametrize(("mean", "moved"), [(-9.0, -MOST_MOVED), (9.0, MOST_MOVED)])
def test_no_limit_moves_farther_than_the_bound(mean: float, moved: float) -> None:
    assert standardise_limit(0.2, HOME, LogOdds(mean, 1.2)) == pytest.approx(0.2 + moved)


def test_limits_are_set_after_fifty_films_and_stay_after_two_hundred() -> None:
    films = (0, 49, 50, 99, 100, 199, 200, 5000)
    assert [usable_count(film) for film in films] == [0, 0, 50, 50, 100, 100, 200, COUNTS[-1]]


def test_scores_at_home_are_mixed_at_the_assumed_prevalence() -> None:
    labels, odds = np.array([1, 1, 1, 0]), np.array([2.0, 3.0, 4.0, -1.0])
    usual = threshold.usual_scores(labels, odds, 0.25)
    assert usual == {"mean": 0.0, "spread": pytest.approx(1.7795, abs=1e-4), "prevalence": 0.25, "films": 4}
    own = threshold.usual_scores(labels, odds, None)
    assert (own["mean"], own["spread"], own["prevalence"]) == (2.0, pytest.approx(odds.std(), abs=1e-4), 0.75)


def test_a_manifest_takes_usual_scores_of_its_one_finding_alone(tmp_path: Path) -> None:
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    toy_pack.set_usual_scores(folder, mean=-0.5, spread=1.2)
    told = json.loads((folder / "manifest.json").read_text())
    usual = Manifest.load(folder).findings[0].usual_scores
    assert usual is not None
    assert usual.log_odds == HOME
    told["findings"].append(told["findings"][0] | {"code": "other"})
    with pytest.raises(ValidationError, match="one finding"):
        Manifest.for_task("classify").model_validate(told)
