"""What another clinic's machine gives of a film: mild, in the film's own range, and always the same."""

import numpy as np
import pytest

from converters.synthetic_images import acquisition_shift as shift
from tests import films

FILM = shift.unit(films.shapes(3, 200, 150).astype(np.float32))


def test_a_film_of_any_range_is_brought_to_0_and_1_and_a_dead_pixel_does_not_set_the_scale() -> None:
    grey = films.shapes(3, 200, 150).astype(np.float32)
    assert np.allclose(shift.unit(grey * 7.0 - 300.0), FILM, atol=1e-4)
    grey[5, 5] = 1e6
    assert np.abs(shift.unit(grey) - FILM).mean() < 0.01
    assert (float(FILM.min()), float(FILM.max())) == (0.0, 1.0)


@pytest.mark.parametrize("grey", [shift.BLACK, shift.WHITE])
def test_a_frame_covers_its_sides_and_nothing_else(grey: float) -> None:
    out = shift.frame(FILM, [0.02, 0.01, 0.0, 0.03], grey)
    assert np.all(out[:, :3] == grey)
    assert np.all(out[:2] == grey)
    assert np.all(out[194:] == grey)
    assert np.array_equal(out[2:194, 3:], FILM[2:194, 3:])


def test_what_is_moved_is_found_where_it_went() -> None:
    assert np.allclose(shift.move(FILM, 0.0), FILM, atol=1e-5)
    right = shift.move(FILM, 0.0, across=0.02, down=0.01)
    assert np.allclose(right[2:, 3:], FILM[:-2, :-3], atol=1e-4)
    there_and_back = shift.move(shift.move(FILM, 3.0), -3.0)
    assert np.abs(there_and_back - FILM)[20:-20, 20:-20].mean() < 0.01
    assert np.abs(shift.move(FILM, 3.0) - FILM)[20:-20, 20:-20].mean() > 0.01
    larger = shift.move(FILM, 0.0, zoom=1.04)
    assert abs(float(larger[100, 75] - FILM[100, 75])) < 0.02


def test_every_variation_is_mild_and_hangs_on_seed_and_name_alone() -> None:
    varied_films = [shift.vary(FILM, 7, f"film{number}") for number in range(60)]
    for number, film in enumerate(varied_films):
        assert (film.shape, film.dtype.name) == (FILM.shape, "float32")
        assert 0.0 <= float(film.min()) <= float(film.max()) <= 1.0
        assert np.array_equal(film, shift.vary(FILM, 7, f"film{number}"))
        assert np.corrcoef(film.ravel(), FILM.ravel())[0, 1] > 0.6
    changed = sum(not np.array_equal(film, FILM) for film in varied_films)
    assert changed >= 50
    assert not np.array_equal(varied_films[0], shift.vary(FILM, 8, "film0"))
