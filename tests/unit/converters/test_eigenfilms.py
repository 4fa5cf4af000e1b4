"""Drawn films show nobody: a film that is like one person's would be seen and refused."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from converters.synthetic_images import eigenfilms
from firmware_app.imaging.model_input import InputSpec, to_model_input

COUNT = 60


def smooth(count: int, side: int) -> NDArray[np.uint8]:
    """Films of different people: a dark pair of lungs, each with its own size, place and shades."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    films = []
    for _ in range(count):
        tall, wide, shade = rng.uniform(0.2, 0.4), rng.uniform(0.1, 0.2), rng.uniform(40.0, 120.0)
        film = 200.0 + rng.uniform(-40, 40) * y + rng.uniform(-40, 40) * x
        for middle in (0.3, 0.7):
            centre = middle + rng.uniform(-0.05, 0.05)
            film -= shade * (((y - 0.5) / tall) ** 2 + ((x - centre) / wide) ** 2 < 1.0)
        films.append(to_model_input(film.astype(np.float32), InputSpec("film", side, side))[0, 0])
    return np.asarray(np.rint(np.stack(films) * 255.0), dtype=np.uint8)


@pytest.fixture(scope="module")
def near() -> eigenfilms.Neighbourhood:
    return eigenfilms.neighbourhood(smooth(COUNT, eigenfilms.DISTANCE_PX), [str(index) for index in range(COUNT)])


def test_a_copy_of_a_training_film_is_no_distance_away_even_when_its_greys_are_changed(
    near: eigenfilms.Neighbourhood,
) -> None:
    greys = near.films[17].reshape(eigenfilms.DISTANCE_PX, eigenfilms.DISTANCE_PX)
    copy = np.rint(greys * 150.0 + 60.0).astype(np.uint8)
    assert near.distance(copy) < 0.3
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        near.evidence(copy)


def test_films_of_one_patient_do_not_make_the_usual_distance_smaller() -> None:
    films = smooth(COUNT, eigenfilms.DISTANCE_PX)
    twice = np.concatenate([films, films])
    people = [str(index) for index in range(COUNT)]
    alone = eigenfilms.neighbourhood(films, people).usual
    assert eigenfilms.neighbourhood(twice, people * 2).usual == pytest.approx(alone, rel=1e-4)
    strangers = [str(index) for index in range(2 * COUNT)]
    assert eigenfilms.neighbourhood(twice, strangers).usual == pytest.approx(0.0, abs=1e-3)


def test_a_draw_has_the_rank_it_claims_and_repeats_with_its_seed() -> None:
    films = smooth(COUNT, eigenfilms.BASIS_PX)
    basis = eigenfilms.basis(films, np.arange(COUNT) % 2, seed=1)
    assert basis.components.shape == (COUNT // eigenfilms.FILMS_EACH, eigenfilms.BASIS_PX**2)
    first = eigenfilms.draw(basis, 1, np.random.default_rng(5))
    assert np.array_equal(first, eigenfilms.draw(basis, 1, np.random.default_rng(5)))
    film = eigenfilms.render(basis, first)
    assert film.shape == (eigenfilms.FILM_PX, eigenfilms.FILM_PX)
    step = eigenfilms.change(first * 100.0, basis, 1, eigenfilms.FIRST_STEP, np.random.default_rng(6))
    assert (np.abs(step - basis.centre[1]) <= eigenfilms.WIDEST * basis.spread[1] + 1e-9).all()
