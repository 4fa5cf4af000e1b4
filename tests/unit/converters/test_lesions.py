"""Lesions are counted one by one: which are found, at how many false marks, and how well outlines agree."""

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.statistics import lesions
from converters.statistics.lesions import Marks
from firmware_app.imaging import pixel_operations


def disc(side: int, *middles: tuple[int, int], radius: int = 3) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:side, 0:side]
    mask = np.zeros((side, side), dtype=bool)
    for row, column in middles:
        mask |= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return mask


def count_by_flood(mask: NDArray[np.bool_]) -> int:
    """The number of components by a plain flood, cell by cell."""
    left = {tuple(int(one) for one in cell) for cell in np.argwhere(mask)}
    count = 0
    while left:
        count += 1
        front = [left.pop()]
        while front:
            cell = front.pop()
            near = {other for other in left if max(abs(a - b) for a, b in zip(cell, other, strict=True)) <= 1}
            left -= near
            front += near
    return count


@pytest.mark.parametrize("shape", [(24, 31), (9, 8, 7)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1.0])
def test_components_are_those_of_a_flood(shape: tuple[int, ...], share: float) -> None:
    mask = np.random.default_rng(4).random(shape) < share
    numbers, count = pixel_operations.label_components(mask)
    assert count == count_by_flood(mask)
    assert np.array_equal(numbers > 0, mask)
    assert set(np.unique(numbers)) - {0} == set(range(1, count + 1))


def test_dice_is_one_for_the_same_outline_and_nought_for_another_place() -> None:
    one, other = disc(40, (10, 10)), disc(40, (30, 30))
    assert lesions.dice(one, one) == 1.0
    assert lesions.dice(one, other) == 0.0
    assert lesions.dice(np.zeros_like(one), np.zeros_like(one)) == 1.0
    assert lesions.dice(one, one | other) == pytest.approx(2 / 3)


def test_a_lesion_is_hit_by_a_mark_that_covers_it_and_not_by_a_speck_or_a_flood() -> None:
    truth = disc(64, (20, 20), (44, 44), radius=5)
    chance = np.zeros((64, 64), dtype=np.float32)
    chance[disc(64, (21, 20), radius=5)] = 0.9
    chance[disc(64, (10, 55), radius=4)] = 0.7
    marked = lesions.mark(chance, truth, 0.5)
    assert list(marked.hits) == pytest.approx([0.9, 0.0])
    assert list(marked.false) == pytest.approx([0.7])
    speck = np.zeros((64, 64), dtype=np.float32)
    speck[20, 20] = 1.0
    assert lesions.mark(speck, truth, 0.5).hits == (0.0, 0.0)
    flood = np.ones((64, 64), dtype=np.float32)
    assert lesions.mark(flood, truth, 0.5) == Marks((0.0, 0.0), (1.0,), lesions.dice(flood > 0, truth))


def test_the_froc_counts_hits_above_the_cut_that_keeps_false_marks_within_the_rate() -> None:
    films = [Marks((0.9, 0.4), (0.8,), 0.5), Marks((0.6,), (0.3, 0.5), 0.4), Marks((), (), 1.0), Marks((0.0,), (), 0.0)]
    assert lesions.froc(films, (0.0, 0.25, 0.5, 0.75)) == ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.75))


def test_films_are_pooled_with_intervals_and_empty_ones_do_not_flatter_dice() -> None:
    films = [Marks((0.9,), (), 0.8), Marks((0.0,), (0.6,), 0.2), Marks((), (), 1.0)]
    pooled = lesions.measure_lesions(films, ["a", "b", "c"])
    assert pooled.dice == pytest.approx(0.5)
    assert (pooled.lesions.hits, pooled.lesions.n) == (1, 2)
    assert pooled.false_per_film == pytest.approx(1 / 3)
    assert pooled.lesions_ci == (0.0, 1.0)
    healthy = lesions.measure_lesions([Marks((), (), 1.0)], ["a"])
    assert (healthy.dice, healthy.dice_ci, healthy.lesions.value, healthy.lesions_ci) == (None, None, None, None)
    with pytest.raises(ValueError, match="films"):
        lesions.measure_lesions([], [])
