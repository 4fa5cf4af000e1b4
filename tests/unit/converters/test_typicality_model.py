"""The model of the training films: what tells kinds of film apart may move little, and rounding is no strangeness."""

import numpy as np
from numpy.typing import NDArray

from converters.packing import typicality_model
from converters.synthetic_images import acquisition_shift
from firmware_app.imaging.model_input import InputSpec
from tests import films

Features = NDArray[np.float32]
CHANCE = np.random.default_rng(5)
MIXED = CHANCE.normal(size=(12, 40)) / np.sqrt(40)


def features(count: int, shifted: float = 0.0) -> Features:
    """Features of 40 channels that hang on 12 causes, the last of which hardly moves, unless it is ``shifted``."""
    causes = CHANCE.normal(size=(count, 12)) * np.geomspace(1.0, 0.15, 12)
    causes[:, -1] += shifted
    return np.asarray(causes @ MIXED + CHANCE.normal(0, 0.005, (count, 40)), np.float32)


def test_a_film_that_differs_in_what_hardly_moves_in_training_is_found() -> None:
    model = typicality_model.fit([features(600)])
    near = [model.distance(feature) for feature in features(200)]
    far = [model.distance(feature) for feature in features(200, shifted=1.2)]
    assert np.quantile(near, 0.95) < np.quantile(far, 0.05)


def test_a_limit_is_set_without_the_films_it_judges() -> None:
    exact = features(100)
    groups = [str(number // 2) for number in range(100)]
    model = typicality_model.fit([exact])
    inside = np.mean([model.distance(one) for one in exact])
    assert typicality_model.hold_out([exact], [exact], groups, 1)[0].mean() > inside


def test_a_film_is_varied_by_its_name_and_a_seed_alone_and_stays_ready_for_the_model() -> None:
    spec = InputSpec("film", 64, 64)
    ready = np.stack(
        [
            np.rint(255.0 * acquisition_shift.unit(films.shapes(number, 64, 64).astype(np.float32))).astype(np.uint8)
            for number in range(8)
        ]
    )
    names = [f"film{number}" for number in range(8)]
    varied = typicality_model.vary(ready, names, spec, 1)
    assert np.array_equal(varied[::-1], typicality_model.vary(ready[::-1], names[::-1], spec, 1))
    assert not np.array_equal(varied, typicality_model.vary(ready, names, spec, 2))
    assert (varied.shape, varied.dtype.name) == (ready.shape, "uint8")
    assert all(film.min() == 0 and film.max() == 255 for film in varied)  # stretched as the box does it
