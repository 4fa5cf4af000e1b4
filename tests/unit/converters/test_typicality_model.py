"""The model of the training films: what tells kinds of film apart may move little, and rounding is no strangeness."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from converters.data.splits import RECIPES
from converters.packing import typicality_model
from converters.recipe import Recipe, load_recipe
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
    model = typicality_model.fitted([features(600)])
    near = [model.distance(one) for one in features(200)]
    far = [model.distance(one) for one in features(200, shifted=1.2)]
    assert np.quantile(near, 0.95) < np.quantile(far, 0.05)


def test_what_rounding_moves_makes_no_film_strange() -> None:
    exact, strange = features(600), features(200, shifted=1.2)
    shift = CHANCE.normal(0, 0.05, 40).astype(np.float32)
    rounded = exact + shift + CHANCE.normal(0, 0.02, exact.shape).astype(np.float32)
    groups = [str(number) for number in range(600)]

    def found(learnt: list[Features]) -> float:
        """How many strange films the rounded file finds at its own limit."""
        limit = np.quantile(typicality_model.held_out(learnt, [rounded], groups, 1)[0], typicality_model.PASSES)
        model = typicality_model.fitted(learnt)
        noise = CHANCE.normal(0, 0.02, strange.shape).astype(np.float32)
        return float(np.mean([model.distance(one) > limit for one in strange + shift + noise]))

    assert found([exact, rounded]) > 0.9
    assert found([exact, rounded]) >= found([exact])


def test_a_limit_is_set_without_the_films_it_judges() -> None:
    exact = features(100)
    groups = [str(number // 2) for number in range(100)]
    model = typicality_model.fitted([exact])
    inside = np.mean([model.distance(one) for one in exact])
    assert typicality_model.held_out([exact], [exact], groups, 1)[0].mean() > inside


def test_the_directions_are_those_of_a_singular_value_decomposition() -> None:
    learnt = features(300)
    model = typicality_model.fitted([learnt])
    _, singular, directions = np.linalg.svd((learnt.astype(np.float64) - learnt.mean(axis=0)) / model.scale)
    count = len(model.variances)
    assert np.allclose(model.variances, singular[:count] ** 2 / (len(learnt) - 1), rtol=1e-3)
    assert np.allclose(np.abs(np.sum(model.components * directions[:count], axis=1)), 1.0, atol=1e-3)


def test_a_film_is_varied_by_its_name_and_a_seed_alone_and_stays_ready_for_the_model() -> None:
    spec = InputSpec("film", 64, 64)
    ready = np.stack(
        [
            np.rint(255.0 * acquisition_shift.unit(films.shapes(number, 64, 64).astype(np.float32))).astype(np.uint8)
            for number in range(8)
        ]
    )
    names = [f"film{number}" for number in range(8)]
    varied = typicality_model.varied(ready, names, spec, 1)
    assert np.array_equal(varied[::-1], typicality_model.varied(ready[::-1], names[::-1], spec, 1))
    assert not np.array_equal(varied, typicality_model.varied(ready, names, spec, 2))
    assert (varied.shape, varied.dtype.name) == (ready.shape, "uint8")
    assert all(film.min() == 0 and film.max() == 255 for film in varied)  # stretched as the box does it


def test_chest_films_are_varied_and_ultrasound_and_volumes_are_not() -> None:
    said = {
        path.stem: load_recipe(path).typicality.other_clinics
        for path in RECIPES.glob("*[a-z].toml")
        if not path.name.endswith(".words.toml")
    }
    assert said == {
        "breast-ultrasound": False,
        "chest-xray-adult": True,
        "chest-xray-child": True,
        "liver-ultrasound": False,
    }
    outlines = load_recipe(RECIPES.parent / "examples" / "meshnet.toml").model_dump()
    with pytest.raises(ValidationError, match="no such variations of volumes"):
        Recipe.model_validate({**outlines, "typicality": {"other_clinics": True}})
