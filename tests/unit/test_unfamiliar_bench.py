"""The bench of foreign images says what was missed, and varies a film mildly whatever its range of greys is."""

import numpy as np
import pytest

from bench import foreign_sets, unfamiliar
from bench.foreign_sets import Frame
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


def test_lungs_are_told_by_their_probe_and_as_if_every_curved_one_were_known() -> None:
    frames = [Frame(clip, FILM) for clip in ("a.mov", "a.mov", "b.mp4", "c.jpg")]
    away, probes = np.array([1.0, 2.0, 3.0, 4.0]), {"a.mov": "linear", "b.mp4": "convex", "c.jpg": "convex"}
    parts_of = {
        name: ([one.group for one in some], list(far))
        for name, some, far in unfamiliar._by_probe(frames, away, probes, bound=True)
    }
    assert parts_of == {
        "lung ultrasound, curved probe": (["b.mp4", "c.jpg"], [3.0, 4.0]),
        "lung ultrasound, linear probe": (["a.mov", "a.mov"], [1.0, 2.0]),
        "lung ultrasound, were every curved probe known": ([one.group for one in frames], [1.0, 2.0, np.inf, np.inf]),
    }
    parts = [name for name, _, _ in unfamiliar._by_probe(frames[:2], away[:2], probes, bound=False)]
    assert parts == ["lung ultrasound, linear probe"]
