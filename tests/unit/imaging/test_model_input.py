"""The one preprocessing: what a film becomes, whatever machine it came from."""

import numpy as np
import pytest

from firmware_app.imaging.model_input import InputSpec, to_model_input

SPEC = InputSpec("film", 224, 224)


def film(height: int, width: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Smooth greys with some grain, as a film has."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    wave = np.sin(y / height * 9.0) + np.cos(x / width * 7.0)
    return np.asarray(wave + 0.1 * rng.standard_normal((height, width)), dtype=np.float32)


def test_any_film_becomes_one_tensor_between_zero_and_one() -> None:
    for shape in ((224, 224), (1500, 1000), (28, 28), (1, 900)):
        tensor = to_model_input(film(*shape), SPEC)
        assert tensor.shape == (1, 1, 224, 224)
        assert tensor.dtype == np.float32
        assert tensor.min() == 0.0
        assert tensor.max() == 1.0


def test_bit_depth_exposure_and_offset_do_not_matter() -> None:
    plain = film(300, 280)
    other = plain * np.float32(1234.5) - np.float32(777.0)
    assert np.abs(to_model_input(plain, SPEC) - to_model_input(other, SPEC)).max() < 1e-4


def test_burned_in_letters_do_not_set_the_scale() -> None:
    plain = film(448, 448)
    lettered = plain.copy()
    lettered[10:20, 10:30] = 1e6
    difference = np.abs(to_model_input(plain, SPEC) - to_model_input(lettered, SPEC))
    assert np.median(difference) < 0.01


def test_the_whole_film_is_squashed_so_that_places_scale_linearly() -> None:
    marked = np.zeros((400, 800), np.float32)
    marked[100:140, 600:680] = 1.0
    rows, columns = np.nonzero(to_model_input(marked, SPEC)[0, 0] > 0.5)
    assert rows.mean() / 224 == pytest.approx(120 / 400, abs=0.01)
    assert columns.mean() / 224 == pytest.approx(640 / 800, abs=0.01)


@pytest.mark.parametrize("shape", [(4, 4, 3), (16,), (0, 5)])
def test_what_is_not_a_frame_is_refused_with_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape[0])):
        to_model_input(np.zeros(shape, np.float32), SPEC)


def test_a_specification_no_film_could_meet_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match="99"):
        InputSpec("film", 224, 224, low_percentile=99.0, high_percentile=1.0)
    with pytest.raises(ValueError, match="0 x 224"):
        InputSpec("film", 0, 224)
    with pytest.raises(ValueError, match="name"):
        InputSpec("", 224, 224)
