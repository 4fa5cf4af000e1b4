"""The model of the training films: what tells kinds of film apart may move little, and rounding is no strangeness."""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
CHANCE = np.random.default_rng(5)
MIXED = CHANCE.normal(size=(12, 40)) / np.sqrt(40)


def features(films: int, shifted: float = 0.0) -> Features:
    """Features of 40 channels that hang on 12 causes, the last of which hardly moves, unless it is ``shifted``."""
    causes = CHANCE.normal(size=(films, 12)) * np.geomspace(1.0, 0.15, 12)
    causes[:, -1] += shifted
    return np.asarray(causes @ MIXED + CHANCE.normal(0, 0.005, (films, 40)), np.float32)


def test_a_film_that_differs_in_what_hardly_moves_in_training_is_found() -> None:
    from converters import typicality

    model = typicality.fitted([features(600)])
    near = [model.distance(one) for one in features(200)]
    far = [model.distance(one) for one in features(200, shifted=1.2)]
    assert np.quantile(near, 0.95) < np.quantile(far, 0.05)


def test_what_rounding_moves_makes_no_film_strange() -> None:
    from converters import typicality

    exact, strange = features(600), features(200, shifted=1.2)
    shift = CHANCE.normal(0, 0.05, 40).astype(np.float32)
    rounded = exact + shift + CHANCE.normal(0, 0.02, exact.shape).astype(np.float32)
    groups = [str(number) for number in range(600)]

    def found(learnt: list[Features]) -> float:
        """How many strange films the rounded file finds at its own limit."""
        limit = np.quantile(typicality.held_out(learnt, [rounded], groups, 1)[0], typicality.PASSES)
        model = typicality.fitted(learnt)
        noise = CHANCE.normal(0, 0.02, strange.shape).astype(np.float32)
        return float(np.mean([model.distance(one) > limit for one in strange + shift + noise]))

    assert found([exact, rounded]) > 0.9
    assert found([exact, rounded]) >= found([exact])


def test_a_limit_is_set_without_the_films_it_judges() -> None:
    from converters import typicality

    exact = features(100)
    groups = [str(number // 2) for number in range(100)]
    model = typicality.fitted([exact])
    inside = np.mean([model.distance(one) for one in exact])
    assert typicality.held_out([exact], [exact], groups, 1)[0].mean() > inside
