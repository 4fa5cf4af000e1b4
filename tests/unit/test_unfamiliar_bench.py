"""The bench of foreign images says what was missed, and varies a film mildly whatever its range of greys is."""

import numpy as np
import pytest

from bench import foreign_sets, unfamiliar
from bench.unfamiliar import Line
from tests import films

FILM = films.shapes(3, 200, 150).astype(np.float32)


def test_own_films_that_are_refused_and_foreign_ones_that_are_not_told_apart_are_missed_goals() -> None:
    own = ("pack", "onnxruntime fp32", "own films, noise of 1 %", 100, 90)
    lines = (
        Line(*own, 0.04, (0.01, 0.09)),
        Line(*own, 0.70, (0.60, 0.78)),
        Line(*own, 0.70, (0.60, 0.78), 0.96, (0.95, 0.97)),
        Line(*own, 0.70, (0.60, 0.78), 0.94, (0.92, 0.96)),
    )
    rows = unfamiliar._table(lines).splitlines()[2:]
    assert [row.split(" | ")[-1].removesuffix(" |") for row in rows] == ["reached", "missed", "reached", "missed"]
    assert "70.0% (60.0%–78.0%)" in rows[1]


@pytest.mark.parametrize("name", foreign_sets.MILD)
def test_a_mild_variation_changes_a_film_little_and_always_in_the_same_way(name: str) -> None:
    how = foreign_sets.mildly(foreign_sets.MILD[name])
    out = how(FILM)
    assert np.array_equal(out, how(FILM))
    assert np.allclose(out, how(FILM * 3.0 - 100.0), atol=0.02)
    assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0
    if out.shape == FILM.shape:
        plain = foreign_sets.mildly(lambda film: film)(FILM)
        assert 0.0 < np.abs(out - plain).mean() < 0.1
